"""Reading and writing: data, models and run directories that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest

import kerasae
from kerasae import data, report, runs, serving


def read(name, **options):
    """Read a strange file as splits."""
    return lambda w: data.load(w.strange / name, **options)


def given(source, **options):
    return lambda w: data.load(source, **options)


def digits(**options):
    return given("digits", **options)


def opened(name, **options):
    return lambda w: kerasae.load(w.strange / name, **options)


ROWS = np.ones((50, 4), "float32")

DATA = {
    # Sources
    "none": (given(None), r"source='NoneType'"),
    "number": (given(3), r"source='int'"),
    "list": (given([[1.0, 2.0]]), r"source='list'"),
    "empty name": (given(""), r"source=''"),
    "unknown name": (given("digit"), r"source='digit'"),
    "missing file": (given("nowhere.csv"), r"Received: 'nowhere.csv'"),
    "missing beside": (lambda w: data.load(w.strange / "god.csv"), r"Did you mean 'good\.csv'\?"),
    "missing parquet by that name": (given(Path("a b/ü.parquet")), r"ü\.parquet"),
    "null byte": (given("a\0b.csv"), r"no such file"),
    "flat array": (given(np.ones(9)), r"source='array'"),
    "empty array": (given(np.ones((0, 3))), r"source='array'"),
    "array of text": (given(np.array([["a"]])), r"holds text"),
    "array of nan": (given(np.full((20, 2), np.nan)), r"row 0, column 0"),
    "array of huge": (given(np.full((20, 2), 1e300)), r"row 0, column 0"),
    "masked": (given(np.ma.masked_equal(np.eye(9), 1)), r"masked.*source='array'"),
    "two rows": (given(np.ones((1, 2))), r"source='array'"),
    # Files
    "empty npy": (read("nothing.npy"), r"'nothing.npy' cannot be read"),
    "empty npz": (read("nothing.npz"), r"nothing.npz' (cannot be read|is not an .npz)"),
    "empty csv": (read("nothing.csv"), r"'nothing.csv' is empty"),
    "empty parquet": (read("nothing.parquet"), r"cannot be read as Parquet"),
    "empty png": (read("nothing.png"), r"cannot be read as an image"),
    "garbage npy": (read("garbage.npy"), r"'garbage.npy' cannot be read"),
    "garbage npz": (read("garbage.npz"), r"is not an .npz file"),
    "garbage csv": (read("garbage.csv"), r"is not a text file"),
    "garbage parquet": (read("garbage.parquet"), r"cannot be read as Parquet"),
    "garbage png": (read("garbage.png"), r"cannot be read as an image"),
    "cut npy": (read("cut.npy"), r"'cut.npy' cannot be read"),
    "cut npz": (read("cut.npz"), r"cut.npz' (cannot be read|is not an .npz)"),
    "cut parquet": (read("cut.parquet"), r"cannot be read as Parquet"),
    "csv called parquet": (read("csv.parquet"), r"cannot be read as Parquet"),
    "compressed csv": (read("zipped.csv"), r"is not a text file"),
    "zeros": (read("zeros.csv"), r"is not a text file"),
    "pickle": (read("pickled.npy"), r"'pickled.npy' cannot be read"),
    "pickled objects": (read("objects.npy"), r"objects.npy' (cannot|holds)|Python objects"),
    "pickled in npz": (read("objects.npz"), r"Python objects"),
    "text npy": (read("text.npy"), r"holds text"),
    "complex npy": (read("complex.npy"), r"complex64 values"),
    "flat npy": (read("flat.npy"), r"'flat.npy'"),
    "scalar npy": (read("scalar.npy"), r"'scalar.npy'"),
    "no rows npy": (read("none.npy"), r"Received: source="),
    "nan npy": (read("nan.npy"), r"holds nan in row 3, column 1"),
    "huge npy": (read("huge.npy"), r"finite float32"),
    "two arrays": (read("two.npz"), r"under 'x'"),
    "header alone": (read("header.csv"), r"has no rows"),
    "ragged csv": (read("ragged.csv"), r"Row #3: Expected 2 columns, got 1"),
    "word in csv": (read("words.csv"), r"'four'.* row 3 .*column 'b'"),
    "missing value": (read("missing.csv"), r"row 3 .*column 'b'"),
    "infinite value": (read("infinite.csv"), r"inf.* row 3 .*column 'b'"),
    "same names": (read("twice.csv"), r"'a'.*'twice.csv'"),
    "text in parquet": (read("text.parquet"), r"'text.parquet'"),
    "null in parquet": (read("null.parquet"), r"has no value in row 1"),
    "no rows parquet": (read("none.parquet"), r"has no rows"),
    "other suffix": (read("page.html"), r"page.html"),
    "other last suffix": (read("table.parquet.txt"), r"table.parquet.txt"),
    "model": (read("foreign.keras"), r"foreign.keras"),
    "empty folder": (read("empty"), r"'empty'"),
    "folder called csv": (read("folder.csv"), r"'folder.csv'"),
    "folder of other tables": (read("mixed"), r"has no column 'b'"),
    # Arguments
    "unknown column": (read("good.csv", columns=["aa"]), r"columns=\['aa'\]"),
    "column as text": (read("good.csv", columns="a"), r"columns='a'"),
    "column number": (read("good.csv", columns=[0]), r"columns=\[0\]"),
    "column twice": (read("good.csv", columns=["a", "a"]), r"Received: source="),
    "no columns": (read("good.csv", columns=[]), r"columns=\[\]"),
    "unknown label": (read("good.csv", label="e"), r"label='e'"),
    "label among columns": (read("good.csv", columns=["a"], label="a"), r"label='a'"),
    "label of npy": (read("good.npy", label="y"), r"label='y'"),
    "label in npz": (read("good.npz", label="z"), r"label='z'"),
    "columns of npz": (read("good.npz", columns=["x"]), r"columns=\['x'\]"),
    "size of table": (read("good.csv", size=(2, 2)), r"size=\(2, 2\)"),
    "label of digits": (digits(label="y"), r"label='y'"),
    "batch zero": (digits(batch_size=0), r"batch_size=0"),
    "batch text": (digits(batch_size="8"), r"batch_size='8'"),
    "batch true": (digits(batch_size=True), r"batch_size=True"),
    "seed negative": (digits(seed=-1), r"seed=-1"),
    "seed huge": (digits(seed=2**64), r"seed=18446744073709551616"),
    "seed none": (digits(seed=None), r"seed=None"),
    "share negative": (digits(validation=-0.1), r"validation=-0.1"),
    "share fraction above one": (digits(test=1.5), r"test=1.5"),
    "share text": (digits(test="half"), r"test='half'"),
    "share nan": (digits(test=float("nan")), r"test=nan"),
    "all aside": (digits(validation=0.6, test=0.6), r"source='digits'"),
    "limit two": (digits(limit=2), r"limit=2"),
    "limit fraction": (digits(limit=10.5), r"limit=10.5"),
    "budget zero": (digits(memory_budget=0), r"memory_budget=0"),
    "binarize": (digits(binarize="stat"), r"binarize='stat'"),
    "binarize beyond one": (given(ROWS * 3, binarize="static"), r"binarize.*source='array'"),
    "window one": (given(ROWS, window=1), r"window=1"),
    "window text": (given(ROWS, window="10"), r"window='10'"),
    "window of a name": (digits(window=4), r"window=4"),
    "window longer": (given(ROWS, window=100), r"window=100"),
    "stride alone": (given(ROWS, stride=2), r"stride=2"),
    "stride longer": (given(ROWS, window=4, stride=9), r"stride=9"),
    "window and label": (read("good.csv", window=4, label="a"), r"label='a'"),
    "batches of nothing": (lambda w: data.batches(w.strange / "good.csv", 0), r"batch_size=0"),
    "batches of text": (
        lambda w: list(data.batches(w.strange / "words.csv")),
        r"'four', which is not a number",
    ),
    # Writing
    "write html": (lambda w: data.write("x.html", [ROWS]), r"x.html"),
    "write nowhere": (lambda w: data.write("no/such/x.npy", [ROWS]), r"no/such/x.npy"),
    "write over a folder": (lambda w: data.write(w.strange / "folder.npy", [ROWS]), r"folder.npy"),
    "write images over others": (lambda w: data.write(w.strange, [ROWS]), r"strange"),
    "write nothing": (lambda w: data.write("x.npy", []), r"batches="),
    "write unequal": (lambda w: data.write("x.npy", [ROWS, ROWS[:, :2]]), r"shape="),
    "write names": (lambda w: data.write("x.csv", [ROWS], ["a"]), r"names="),
    "write text": (lambda w: data.write("x.csv", [np.array([["a"]])]), r"dtype="),
    "write vectors as images": (lambda w: data.write("x", [ROWS]), r"shape="),
}

LOADING = {
    "nothing there": (lambda w: kerasae.load("nowhere"), r"There is no file or folder to load"),
    "empty path": (lambda w: kerasae.load(""), r"path must be"),
    "none": (lambda w: kerasae.load(None), r"path must be"),
    "number": (lambda w: kerasae.load(3), r"path must be .*Received: path=3"),
    "null byte": (lambda w: kerasae.load("a\0b"), r"There is no file or folder to load"),
    "empty file": (opened("nothing.keras"), r"which is not a Keras file"),
    "garbage": (opened("garbage.keras"), r"which is not a Keras file"),
    "cut": (opened("cut.keras"), r"which is not a Keras file"),
    "folder called keras": (opened("folder.keras"), r"path must be a SavedModel folder"),
    "another suffix": (opened("model.h5"), r"which is not a Keras file"),
    "csv": (opened("good.csv"), r"which is not a Keras file"),
    "photos in a zip": (opened("photos.keras"), r"cannot be read as a Keras file"),
    "no json": (opened("words.keras"), r"cannot be read as a Keras file"),
    "a list": (opened("list.keras"), r"cannot be read as a Keras file"),
    "no weights": (opened("weights.keras"), r"cannot be read as a Keras file"),
    "unknown class": (opened("unknown.keras"), r"cannot be read as a Keras file"),
    "empty folder": (opened("empty"), r"path must be a SavedModel folder"),
    "broken SavedModel": (opened("broken_export"), r"SavedModel cannot be read|cannot be"),
    "SavedModel of others": (opened("foreign_export"), r"with a signature 'info'"),
    "SavedModel without variables": (opened("unfinished_export"), r"cannot be"),
    "run with a broken model": (opened("broken_model"), r"which is not a Keras file"),
    "runtime of a Keras file": (
        lambda w: kerasae.load(w.keras, runtime="onnx"),
        r"Received: runtime=",
    ),
    "unknown runtime": (lambda w: kerasae.load(w.exported, runtime="torch"), r"runtime must be"),
    "no ONNX files": (lambda w: kerasae.load(w.exported, runtime="onnx"), r"has no ONNX files"),
}


def train(**options):
    given = {"variant": "linear", "data": ROWS, "epochs": 1, "verbose": 0, "out": "run"}
    return lambda w: kerasae.train(**{**given, **options})


def apply(verb, name, output="o.npy", *more, **options):
    return lambda w: kerasae.scoring.apply(
        w.ae, verb, [w.strange / each for each in (name, *more)], output, **options
    )


RUNS = {
    "variant": (train(variant="liner"), r"Did you mean 'linear'\?"),
    "option": (train(kl_weight=1), r"train has no argument and 'linear' no option"),
    "nearly an argument": (train(epoch=3), r"Did you mean 'epochs'\?"),
    "epochs": (train(epochs=0), r"epochs must be a whole number >= 1"),
    "epochs fraction": (train(epochs=1.5), r"epochs must be a whole number >= 1"),
    "patience": (train(patience=-1), r"patience must be a whole number >= 1"),
    "batch": (train(batch_size=0), r"batch_size must be a whole number >= 1"),
    "code": (train(latent_dim=0), r"latent_dim must be a whole number >= 1"),
    "seed": (train(seed=-1), r"seed must be a whole number"),
    "seed text": (train(seed="one"), r"seed must be a whole number"),
    "rate": (train(learning_rate=0), r"learning_rate must be a number > 0"),
    "rate nan": (train(learning_rate=float("nan")), r"learning_rate must be a number > 0"),
    "rate text": (train(learning_rate="0.1"), r"learning_rate must be a number > 0"),
    "rate true": (train(learning_rate=True), r"learning_rate must be a number > 0"),
    "precision": (train(precision="float31"), r"Did you mean 'float32'\?"),
    "network": (train(network="convo"), r"Did you mean 'conv'\?"),
    "network of vectors": (train(network="conv"), r"network='conv' .*Received: input_shape="),
    "resume and replace": (train(resume=True, replace=True), r"exclude each other"),
    "data": (train(data="digit"), r"Did you mean 'digits'\?"),
    "data missing": (train(data="nowhere.csv"), r"There is no such file"),
    "data list": (train(data=[[1.0]]), r"`source` must be"),
    "data nan": (train(data=ROWS * np.nan), r"finite float32"),
    "data option": (train(data_options={"limits": 3}), r"Did you mean 'limit'\?"),
    "data option taken": (train(data_options={"seed": 3}), r"`data_options` cannot hold seed"),
    "data options list": (train(data_options=["limit"]), r"data_options must be a dictionary"),
    "out is a file": (lambda w: train(out=w.keras)(w), r"which holds something else"),
    "out is another folder": (lambda w: train(out=w.strange)(w), r"which holds something else"),
    "out is below a file": (lambda w: train(out=w.keras / "run")(w), r"out must be"),
    "out is a run": (lambda w: train(out=w.run)(w), r"out exists"),
    "resume what is done": (lambda w: train(out=w.run, resume=True)(w), r"is finished"),
    "evaluate nothing": (lambda w: runs.evaluate("nowhere"), r"no file or folder to load"),
    "evaluate a file alone": (lambda w: runs.evaluate(w.keras), r"name data with a file"),
    "evaluate split": (lambda w: runs.evaluate(w.run, split="valid"), r"split must be"),
    "evaluate other data": (
        lambda w: runs.evaluate(w.run, w.strange / "three.npy"),
        r"samples of shape \(4,\)",
    ),
    "evaluate others' columns": (
        lambda w: runs.evaluate(w.run, w.strange / "words.csv"),
        r"has no column 'c'",
    ),
    "evaluate an export": (lambda w: runs.evaluate(w.exported, ROWS), r"cannot be changed"),
    "evaluate option": (lambda w: runs.evaluate(w.run, ROWS, limits=3), r"Did you mean 'limit'\?"),
    "evaluate seed": (lambda w: runs.evaluate(w.run, ROWS, seed=-1), r"seed"),
    "evaluate broken config": (
        lambda w: runs.evaluate(w.strange / "broken_config"),
        r"config.json must be JSON",
    ),
    "evaluate list config": (
        lambda w: runs.evaluate(w.strange / "list_config"),
        r"config.json must hold a JSON object",
    ),
    "evaluate empty config": (lambda w: runs.evaluate(w.strange / "empty_config"), r"name data"),
    "evaluate broken metrics": (
        lambda w: runs.evaluate(w.strange / "broken_metrics"),
        r"metrics.json must be JSON",
    ),
    "calibrate nothing": (lambda w: runs.calibrate("nowhere"), r"no file or folder to load"),
    "calibrate rate": (lambda w: runs.calibrate(w.run, false_alarm_rate=0), r"between 0 and 1"),
    "calibrate few": (lambda w: runs.calibrate(w.run), r"needs at least 99"),
    "calibrate training rows": (
        lambda w: runs.calibrate(w.run, w.folder / "rows.csv", false_alarm_rate=0.1),
        r"not trained on",
    ),
    "calibrate stride": (lambda w: runs.calibrate(w.run, stride=1), r"A stride needs data"),
    "calibrate split and stride": (
        lambda w: runs.calibrate(w.run, ROWS, stride=1, split="test"),
        r"A series has no splits",
    ),
    "sampler": (lambda w: runs.fit_sampler(w.run, "gauss"), r"Did you mean 'gaussian'\?"),
    "export to where": (lambda w: runs.export(w.keras), r"needs a folder to export to"),
    "export samples": (
        lambda w: runs.export(w.run, samples=w.strange / "three.npy"),
        r"samples must have shape",
    ),
    "export missing samples": (
        lambda w: runs.export(w.run, samples="nowhere.npy"),
        r"no such file",
    ),
    "export format": (lambda w: runs.export(w.run, also=["tflite"]), r"Received: also='tflite'"),
    "report of nothing": (lambda w: report.write_report("nowhere"), r"run directory"),
    "report of a file": (lambda w: report.write_report(w.keras), r"run directory"),
    "report broken": (
        lambda w: report.write_report(w.strange / "broken_config"),
        r"config.json must be JSON",
    ),
    "compare none": (lambda w: report.compare_rows([]), r"at least one run"),
    "compare folder of runs": (
        lambda w: report.Run.read(w.folder),
        r"Did you mean '.*/\*', the runs in it\?",
    ),
    "apply verb": (apply("encod", "good.npy"), r"Did you mean 'encode'\?"),
    "apply nothing": (apply("encode", "nowhere.npy"), r"nowhere.npy"),
    "apply batch": (apply("encode", "good.npy", batch_size=0), r"batch_size must be"),
    "apply rate": (apply("score", "good.npy", false_alarm_rate=0.1), r"is for detect"),
    "apply width": (apply("encode", "wide.csv", "o.csv"), r"5 columns"),
    "apply shape": (apply("encode", "three.npy"), r"must have shape"),
    "apply bad value": (apply("encode", "nan.npy"), r"row 3, column 1"),
    "apply several to a file": (apply("encode", "good.npy", "o.npy", "good.csv"), r"need a folder"),
    "apply keep": (apply("encode", "good.csv", "o.csv", keep=["e"]), r"has no column 'e'"),
    "apply columns": (apply("encode", "good.csv", "o.csv", columns="a"), r"columns must be a list"),
    "serve nothing": (lambda w: serving.serve("nowhere"), r"no file or folder to serve"),
    "serve unexported": (lambda w: serving.serve(w.run), r"has not been exported"),
    "serve a table": (lambda w: serving.serve(w.strange / "good.csv"), r"path must be a folder of"),
    "serve name": (lambda w: serving.serve(w.exported, name="ä b"), r"letters, digits"),
    "serve port": (lambda w: serving.serve(w.exported, port=70000), r"Received: port=70000"),
    "serve ports": (
        lambda w: serving.serve(w.exported, port=8123, grpc_port=8123),
        r"grpc_port=8123",
    ),
    "serve host": (lambda w: serving.serve(w.exported, host="no.such.host.invalid"), r"host="),
    "serve runtime": (lambda w: serving.serve(w.exported, runtime="torch"), r"runtime must be"),
    "serve workers": (lambda w: serving.serve(w.exported, workers=-1), r"Received: workers=-1"),
    "serve empty list": (lambda w: serving.serve([]), r"paths must name a model"),
}


@pytest.mark.parametrize(("call", "sentence"), DATA.values(), ids=DATA)
def test_data(call, sentence, refused):
    refused(call, sentence)


@pytest.mark.parametrize(("call", "sentence"), LOADING.values(), ids=LOADING)
def test_loading(call, sentence, refused):
    refused(call, sentence)


@pytest.mark.parametrize(("call", "sentence"), RUNS.values(), ids=RUNS)
def test_runs(call, sentence, refused, no_server):
    refused(call, sentence)
