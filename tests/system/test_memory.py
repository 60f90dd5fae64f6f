"""Files that are larger than what a command may hold."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import kerasae

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="models are calibrated on the TensorFlow backend",
)

WIDTH = 24
PEAK = """
import sys
from kerasae.cli import main
try: main(sys.argv[1:])
finally: print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def write_table(path, count, group=50_000):
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(f"x{i}", pa.float32()) for i in range(WIDTH)])
    rng = np.random.default_rng(0)
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(0, count, group):
            x = rng.standard_normal((WIDTH, group), dtype="float32")
            writer.write_table(pa.Table.from_arrays([pa.array(c) for c in x], schema=schema))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
@pytest.mark.parametrize("verb", ["score", "detect"])
def test_a_million_rows_are_scored_in_the_memory_of_a_few(verb, tmp_path):
    """67 MB of float32 more; held as a whole (--batch-size 1000000) they take 650 MiB more."""
    ae = kerasae.build("undercomplete", (WIDTH,), 2, hidden=(6,))
    ae.calibrate(np.random.default_rng(1).normal(size=(500, WIDTH)).astype("float32"))
    ae.save(tmp_path / "model.keras")
    peaks = {}
    for count in (300_000, 1_000_000):
        write_table(tmp_path / "in.parquet", count)
        start = time.perf_counter()
        words = [
            verb,
            tmp_path / "model.keras",
            "-i",
            tmp_path / "in.parquet",
            "-o",
            tmp_path / "out.parquet",
        ]
        process = subprocess.run(
            [sys.executable, "-c", PEAK, *map(str, words)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )
        said, peak = process.stdout.strip().splitlines()
        assert said.startswith(f"{count:,} rows written to")
        peaks[count] = int(peak) / 1024
        seconds = time.perf_counter() - start
        print(f"{verb} of {count:,} rows: {seconds:.1f} s, peak {peaks[count]:.0f} MiB")
    # What grows from 100,000 rows to 300,000 is warming up; from 1 to 3 million nothing does.
    assert peaks[1_000_000] - peaks[300_000] < 48
