"""Memory of a training whose data do not fit into it: the resident set over time, in one figure.

Writes a Parquet file of random float32, trains on it as `kerasae train` does, in a process of
its own under a small `memory_budget`, and reads the resident set of that process from /proc twice
a second. The growth is the median of the last quarter of the time above that of the second: the
first quarter starts up, and a leak would show in the others.

    python benchmarks/memory.py [--gigabytes 2] [--columns 128] [--epochs 2] [--budget 64]
        [--folder /tmp]

The file is removed afterwards. Where Python cannot read /proc (other than Linux), it stops.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_TRAIN = """
import sys
import kerasae
file, epochs, budget = sys.argv[1], *map(int, sys.argv[2:])
splits = kerasae.data.load(file, batch_size=1024, memory_budget=budget * 2**20)
ae = kerasae.build("undercomplete", splits.shape, 8, hidden=(32,), scaler="standardize", seed=0)
ae.compile()
print("training begins", flush=True)
ae.fit(splits.train, validation_data=splits.validation, epochs=epochs, verbose=2)
"""


def write_file(path: Path, gigabytes: float, columns: int) -> int:
    """Write random float32 of a size, in row groups of some 16 MB; return the number of rows."""
    group = 2**22 // columns
    groups = max(1, round(gigabytes * 1e9 / (4 * columns * group)))
    names = [f"x{i}" for i in range(columns)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        for _ in range(groups):
            values = rng.random((columns, group), dtype="float32")
            writer.write_table(pa.table(list(values), names=names))
    return group * groups


def resident(process: int) -> float:
    """Return the resident set of a process in MiB, 0 once it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def main() -> None:
    """Write, train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--budget", type=int, default=64, help="MiB of samples held in memory")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="memory-") as folder:
        file = Path(folder) / "rows.parquet"
        rows = write_file(file, asked.gigabytes, asked.columns)
        size = file.stat().st_size
        print(f"{rows:,} rows of {asked.columns} columns, {size / 1e9:.2f} GB", flush=True)
        begun, seen = time.monotonic(), []
        words = [str(asked.epochs), str(asked.budget)]
        process = subprocess.Popen([sys.executable, "-c", _TRAIN, str(file), *words])
        try:
            while process.poll() is None:
                seen.append((time.monotonic() - begun, resident(process.pid)))
                if len(seen) % 20 == 0:
                    print(f"{seen[-1][0]:7.0f} s {seen[-1][1]:7.0f} MiB", flush=True)
                time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            sys.exit(f"The training ended with status {process.returncode}.")
    held = [value for _, value in seen if value]
    quarter = len(held) // 4
    second = statistics.median(held[quarter : 2 * quarter])
    last = statistics.median(held[3 * quarter :])
    print(f"largest {max(held):.0f} MiB; second quarter {second:.0f}, last quarter {last:.0f} MiB")
    print(f"growth {last - second:+.0f} MiB over {size * asked.epochs / 1e9:.1f} GB read")


if __name__ == "__main__":
    main()
