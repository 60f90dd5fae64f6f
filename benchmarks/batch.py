"""Files through a model: rows per second beside a bare loop of pyarrow over the signature.

The bare loop is `pyarrow.dataset.to_batches(2048)`, a call of the SavedModel for each batch, and
a Parquet writer. It looks at no value, and its model is loaded already, as ours is. Both take
turns in one process; the ratio is the median over the turns, above 1 where ours is faster.

    python benchmarks/batch.py [--repeats 5] [--scale 1.0] [--form parquet csv]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import csv

import kerasae.scoring

OUTPUTS = {"score": "score", "encode": "code", "detect": "anomaly_score"}
FILES = 4


def write_files(folder: Path, width: int, rows: int, form: str) -> None:
    """Write random tables of float32 into a folder."""
    folder.mkdir()
    for number in range(FILES):
        rng = np.random.default_rng(number)
        columns = rng.random((width, rows // FILES), dtype="float32")
        if form == "csv":
            columns = columns.round(4)
        table = pa.table([pa.array(c) for c in columns], names=[f"x{i}" for i in range(width)])
        if form == "csv":
            csv.write_csv(table, folder / f"{number}.csv")
        else:
            pq.write_table(table, folder / f"{number}.parquet", use_dictionary=False)


def bare(model: object, verb: str, folder: Path, form: str, target: Path) -> None:
    """Put all files of a folder through a signature, with nothing around it."""
    import tensorflow as tf

    function = model.signatures[verb]  # type: ignore[attr-defined]
    writer = None
    for batch in ds.dataset(folder, format=form).to_batches(batch_size=2048):
        if not batch.num_rows:
            continue
        x = np.stack([column.to_numpy() for column in batch.columns], axis=1)
        found = function(x=tf.constant(x, "float32"))
        if verb == "encode":
            arrays = {f"code_{i}": c for i, c in enumerate(found["code"].numpy().T)}
        else:
            arrays = {name: value.numpy() for name, value in found.items() if value.ndim == 1}
        table = pa.table(arrays)
        writer = writer or pq.ParquetWriter(target, table.schema)
        writer.write_table(table)
    writer.close()  # type: ignore[union-attr]


def models(folder: Path, width: int) -> tuple[object, object, object]:
    """Return a SavedModel as TensorFlow gives it, as ours, and the Keras model."""
    import tensorflow as tf

    hidden, code = ((128, 64), 32) if width > 100 else ((16, 8), 4)
    ae = kerasae.build("undercomplete", (width,), code, hidden=hidden, seed=0)
    ae.calibrate(np.random.default_rng(9).random((2000, width), dtype="float32"))
    version = kerasae.export(ae, folder / f"model{width}", verify=False)
    return tf.saved_model.load(str(version)), kerasae.load(version), ae


def main() -> None:
    """Time verbs, formats and widths, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--form", nargs="+", default=["parquet", "csv"])
    parser.add_argument("--width", nargs="+", type=int, default=[784, 20])
    arguments = parser.parse_args()
    print("| table | verb | bare, rows/s | SavedModel, rows/s | ratio | .keras, rows/s | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for width in arguments.width:
            raw, served, ae = models(Path(scratch), width)
            for form in arguments.form:
                rows = int(arguments.scale * (100_000 if width == 784 else 1_000_000))
                folder = Path(scratch, f"{form}{width}")
                write_files(folder, width, rows, form)
                for verb in OUTPUTS:
                    print(_line(raw, served, ae, verb, folder, form, rows, arguments), flush=True)
                shutil.rmtree(folder)


def _line(raw, served, ae, verb, folder, form, rows, arguments) -> str:  # type: ignore[no-untyped-def]
    out = folder.parent / "out"

    def ours(model: object) -> None:
        kerasae.scoring.apply(model, verb, folder, out, format="parquet")

    programs = {
        "bare": lambda: bare(raw, verb, folder, form, folder.parent / "bare.parquet"),
        "served": lambda: ours(served),
        "keras": lambda: ours(ae),
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(arguments.repeats + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
            shutil.rmtree(out, ignore_errors=True)

    def ratio(name: str) -> float:
        pairs = zip(seconds["bare"], seconds[name], strict=True)
        return statistics.median(base / own for base, own in pairs)

    speed = {name: rows / statistics.median(values) for name, values in seconds.items()}
    return (
        f"| {form}, {folder.name.removeprefix(form)} columns | {verb} | {speed['bare']:,.0f} | "
        f"{speed['served']:,.0f} | {ratio('served'):.2f} | {speed['keras']:,.0f} | "
        f"{ratio('keras'):.2f} |"
    )


if __name__ == "__main__":
    main()
