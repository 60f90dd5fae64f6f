"""The model handler for Apache Beam, on the DirectRunner, against the local answers."""

import collections
import json
import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="export runs on the TensorFlow backend",
)

beam = pytest.importorskip("apache_beam")
from apache_beam.internal import pickler  # noqa: E402
from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem  # noqa: E402
from apache_beam.ml.inference.base import (  # noqa: E402
    KeyedModelHandler,
    ModelMetadata,
    PredictionResult,
    RunInference,
)
from apache_beam.testing.util import assert_that  # noqa: E402

import kerasae  # noqa: E402
from kerasae.scoring.beam import SavedModelHandler  # noqa: E402

COLUMNS = ["height", "width", "depth", "weight"]
EXAMPLE = Path(__file__).parents[2] / "docs" / "guides" / "beam_scoring.py"


def rows(n, seed=0):
    scales = np.float32([0.1, 1, 10, 100])
    return np.random.default_rng(seed).normal(5, 1, (n, 4)).astype("float32") * scales


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A calibrated model of rows, exported twice; the folder above the versions."""
    path = tmp_path_factory.mktemp("table")
    for seed in (0, 1):
        ae = kerasae.build("undercomplete", (4,), 2, hidden=(8,), scaler="standardize", seed=seed)
        ae.compile()
        ae.fit(rows(300), epochs=1, verbose=0)
        ae.calibrate(rows(200, seed=1), 0.05)
        kerasae.export(ae, path, verify=False)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A model of 8 x 8 uint8 images without a calibration."""
    splits = kerasae.data.load("digits")
    ae = kerasae.build("variational", splits.shape, 3, hidden=(16,), input_dtype="uint8", seed=0)
    path = tmp_path_factory.mktemp("digits")
    kerasae.export(ae, path, verify=False)
    return path, splits.array("test")


def kept(path):
    """Return what stores the elements of a collection; Beam copies whatever a list would hold."""
    return lambda elements: path.write_bytes(pickle.dumps(list(elements)))


@pytest.fixture
def collected(tmp_path):
    """Return a function that runs elements through a transform on the DirectRunner."""

    def run(elements, transform):
        path = tmp_path / "found.pickle"
        with beam.Pipeline("DirectRunner") as pipeline:
            assert_that(pipeline | beam.Create(list(elements)) | transform, kept(path))
        return pickle.loads(path.read_bytes())

    return run


def close(answers, expected):
    answers, expected = np.stack(answers), np.asarray(expected)
    assert answers.dtype == expected.dtype
    assert answers.shape == expected.shape
    np.testing.assert_allclose(answers.astype("f8"), expected.astype("f8"), rtol=1e-6, atol=1e-6)


def test_keys_and_answers_are_those_of_the_local_model(digits, collected):
    path, x = digits
    x = x[:150]
    handler = SavedModelHandler(path, per_feature=True, min_batch_size=64, max_batch_size=64)
    keyed = [(f"row-{i}", image) for i, image in enumerate(x)]
    found = dict(collected(keyed, RunInference(KeyedModelHandler(handler))))

    served = kerasae.load(path)
    assert set(found) == {f"row-{i}" for i in range(150)}  # 64 + 64 + 22
    ordered = [found[f"row-{i}"] for i in range(150)]
    assert all(isinstance(result, PredictionResult) for result in ordered)
    np.testing.assert_array_equal([result.example for result in ordered], x)
    close([result.inference["score"] for result in ordered], served.score(x))
    close([result.inference["feature_scores"] for result in ordered], served.feature_scores(x))
    assert {result.model_id for result in ordered} == {str(path / "1")}


@pytest.mark.parametrize("form", ["dictionary", "row"])
def test_rows_of_a_table_are_judged_by_their_named_columns(table, form, collected):
    x = rows(70, seed=5)
    made = [dict(zip(COLUMNS, map(float, row), strict=True)) for row in x]
    # Other columns, and another order, change nothing.
    made = [{"name": i, **dict(reversed(row.items()))} for i, row in enumerate(made)]
    if form == "row":
        made = [beam.Row(**row) for row in made]
    handler = SavedModelHandler(table, "detect", columns=COLUMNS, false_alarm_rate=0.2)
    found = collected(made, RunInference(handler))

    def name(element):
        return element["name"] if form == "dictionary" else element.name

    found = {name(result.example): result.inference for result in found}
    expected = kerasae.load(table).detect(x, false_alarm_rate=0.2)
    assert 0 < expected["is_anomaly"].sum() < 70
    for output, values in expected.items():
        close([found[i][output] for i in range(70)], values)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A model whose card has the names of its columns."""
    path = tmp_path_factory.mktemp("named")
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(8,), seed=0)
    kerasae.export(ae, path, verify=False, training={"columns": COLUMNS})
    return path


Measured = collections.namedtuple("Measured", reversed(COLUMNS))


@pytest.mark.parametrize("columns", [None, COLUMNS, ["weight", "depth", "width", "height"]])
@pytest.mark.parametrize("form", [dict, beam.Row, Measured])
@pytest.mark.parametrize("place", ["local", "remote"])
def test_rows_get_the_order_of_the_training(named, columns, form, place, monkeypatch):
    monkeypatch.setattr(Store, "root", named.parent)
    path = named if place == "local" else f"store://bucket/{named.name}/1"
    x = rows(6, seed=5)
    made = [form(**dict(zip(COLUMNS, map(float, row), strict=True))) for row in x]
    handler = SavedModelHandler(path, columns=columns)
    if place == "local":
        assert handler.columns == (None if columns is None else COLUMNS)
    assert handler.get_num_bytes(made) == 6 * 4 * 8
    found = [r.inference["score"] for r in handler.run_inference(made, handler.load_model())]
    close(found, kerasae.load(named).score(x))
    if columns is None:  # arrays are still taken
        found = [r.inference["score"] for r in handler.run_inference(x, handler.load_model())]
        close(found, kerasae.load(named).score(x))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (["height", "width", "depth", "wieght"], "'wieght' is not one of them. Did you mean 'wei"),
        (["height", "width", "depth"], "'weight' is missing. Received: columns="),
        ([*COLUMNS, "width"], "one is named twice. Received: columns="),
        ([*COLUMNS, "colour"], "'colour' is not one of them"),
    ],
)
def test_other_columns_than_those_of_the_training_are_refused(
    named, columns, sentence, monkeypatch
):
    monkeypatch.setattr(Store, "root", named.parent)
    remote = SavedModelHandler(f"store://bucket/{named.name}", columns=columns)
    for make in (lambda: SavedModelHandler(named, columns=columns), remote.load_model):
        with pytest.raises(ValueError, match=f"that the model was trained on, .*{sentence}"):
            make()


def test_codes_are_not_named_after_the_columns(named):
    handler = SavedModelHandler(named, "decode", columns=["u", "v"])
    code = {"v": 2.0, "u": 1.0}
    [found] = handler.run_inference([code], handler.load_model())
    close([found.inference["reconstruction"]], kerasae.load(named).decode(np.float32([[1, 2]])))


@pytest.mark.parametrize("signature", ["encode", "reconstruct", "decode"])
def test_the_other_signatures_answer_row_by_row(digits, signature):
    path, x = digits
    served = kerasae.load(path)
    given = served.encode(x[:9]) if signature == "decode" else x[:9]
    handler = SavedModelHandler(path, signature)
    found = list(handler.run_inference(list(given), handler.load_model()))
    output = "code" if signature == "encode" else "reconstruction"
    assert list(found[0].inference) == [output]
    close([result.inference[output] for result in found], getattr(served, signature)(given))


def test_batches_of_other_arrays_are_taken_too(table):
    x = rows(6, seed=11)
    mixed = [x[0], x[1].astype("float64"), x[2].tolist(), tuple(x[3]), np.int64([1, 2, 3, 4]), x[5]]
    handler = SavedModelHandler(table)
    found = [r.inference["score"] for r in handler.run_inference(mixed, handler.load_model())]
    close(found, kerasae.load(table).score(np.float32([*x[:4], [1, 2, 3, 4], x[5]])))


def test_rows_become_images_of_whole_numbers(digits):
    path, x = digits
    columns = [f"pixel_{i}" for i in range(64)]
    handler = SavedModelHandler(path, columns=columns)
    made = [dict(zip(columns, image.ravel().tolist(), strict=True)) for image in x[:5]]
    found = list(handler.run_inference(made, handler.load_model()))
    close([result.inference["score"] for result in found], kerasae.load(path).score(x[:5]))
    made[2]["pixel_7"] = 3.5
    with pytest.raises(ValueError, match=r"Element 2 .*whole numbers from 0 to 255"):
        list(handler.run_inference(made, handler.load_model()))


GOOD = {name: 1.0 for name in COLUMNS}


@pytest.mark.parametrize(
    ("element", "sentence"),
    [
        ({**GOOD, "depth": float("nan")}, "Received: nan at column 'depth'"),
        ({**GOOD, "depth": 1e39}, "Received: inf at column 'depth'"),
        ({**GOOD, "width": None}, "column 'width' must be one number. Received: None"),
        ({**GOOD, "width": "wide"}, "column 'width' must be one number. Received: 'wide'"),
        ({"height": 1.0}, "no column 'width'. Received: 'height'"),
    ],
)
def test_what_is_wrong_with_a_row_is_named(table, element, sentence):
    handler = SavedModelHandler(table, columns=COLUMNS)
    with pytest.raises(ValueError, match=f"Element 1 of a batch of 2 .*{sentence}"):
        list(handler.run_inference([GOOD, element], handler.load_model()))


@pytest.mark.parametrize(
    ("element", "sentence"),
    [
        (np.float32([1, 2, 3]), r"shape must be \(4,\). Received: an element of shape \(3,\)"),
        (np.uint8([1, 2, 3, 4]), "must be float, .* Received: an element of dtype uint8"),
        (np.float32([1, 2, np.inf, 4]), "must be finite as float32. Received: inf at value 2 of 4"),
        (np.array(["a", "b", "c", "d"]), "must hold numbers. Received: an element of dtype"),
        ([[1, 2], [3]], "must be an array. Received: a ragged list"),
        (GOOD, r"needs SavedModelHandler\(..., columns=\[...\]\).* Received: .*'height', 'width'"),
    ],
)
def test_what_is_wrong_with_an_array_is_named(table, element, sentence):
    handler = SavedModelHandler(table)
    with pytest.raises(ValueError, match=f"Element 0 of a batch of 1 .*{sentence}"):
        list(handler.run_inference([element], handler.load_model()))


def test_images_of_another_dtype_are_refused(digits):
    path, x = digits
    handler = SavedModelHandler(path)
    with pytest.raises(
        ValueError, match=r"must be uint8, .* Received: an element of dtype float64"
    ):
        list(handler.run_inference([x[0] / 255], handler.load_model()))


def test_a_bad_element_is_reported_and_the_others_of_its_batch_answered(table, collected):
    x = rows(20, seed=6)
    x[7, 1] = np.nan
    handler = SavedModelHandler(table, invalid="report", min_batch_size=20)
    found = collected(enumerate(x), RunInference(KeyedModelHandler(handler)))
    found = {key: result.inference for key, result in found}
    assert found.pop(7) == {
        "error": "its values must be finite as float32. Received: nan at value 1 of 4"
    }
    close([found[i]["score"] for i in sorted(found)], kerasae.load(table).score(np.delete(x, 7, 0)))
    only = handler.run_inference([x[7]], handler.load_model())
    assert [list(result.inference) for result in only] == [["error"]]


def test_exception_handling_gets_the_batch_and_the_sentence(table, tmp_path):
    x = rows(30, seed=7)
    x[3, 2] = np.nan
    handler = SavedModelHandler(table, min_batch_size=1, max_batch_size=1)
    with beam.Pipeline("DirectRunner") as pipeline:
        answered, bad = (
            pipeline
            | beam.Create(list(enumerate(x)))
            | RunInference(KeyedModelHandler(handler)).with_exception_handling()
        )
        assert_that(answered, kept(tmp_path / "good"), label="answered")
        assert_that(bad.failed_inferences, kept(tmp_path / "failed"), label="failed")
    good, failed = (pickle.loads((tmp_path / name).read_bytes()) for name in ("good", "failed"))
    assert {key for key, _ in good} == set(range(30)) - {3}
    [(batch, (kind, text, _))] = failed
    assert [key for key, _ in batch] == [3]
    assert kind is ValueError
    assert "Received: nan at value 2 of 4" in text


def test_the_handler_travels_without_the_model(table):
    handler = SavedModelHandler(table, columns=COLUMNS)
    made = [dict(zip(COLUMNS, map(float, row), strict=True)) for row in rows(3)]
    before = [r.inference for r in handler.run_inference(made, handler.load_model())]
    for stored, read in (
        (pickle.dumps(handler), pickle.loads),
        (pickler.dumps(handler), pickler.loads),
    ):
        assert len(stored) < 2000
        again = read(stored)
        assert [r.inference for r in again.run_inference(made, again.load_model())] == before


def test_making_a_handler_loads_no_tensorflow(table):
    code = (
        "import sys, kerasae.scoring.beam as b; "
        f"print(b.SavedModelHandler({str(table)!r}), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"SavedModelHandler({str(table / '2')!r},", "'score')", "False"]


def test_a_side_input_changes_the_version(table, tmp_path):
    x = rows(10, seed=8)
    old = SavedModelHandler(table / "1")
    with beam.Pipeline("DirectRunner") as pipeline:
        # As RunInference(watch_model_pattern="table/*/saved_model.pb") names it.
        name = ModelMetadata(str(table / "2" / "saved_model.pb"), "second")
        update = pipeline | "Update" >> beam.Create([name])
        found = (
            pipeline
            | beam.Create(list(enumerate(x)))
            | RunInference(KeyedModelHandler(old), model_metadata_pcoll=update)
        )
        assert_that(found, kept(tmp_path / "found"))
    results = dict(pickle.loads((tmp_path / "found").read_bytes()))
    assert {result.model_id for result in results.values()} == {str(table / "2")}
    first, second = (kerasae.load(table / version).score(x) for version in "12")
    close([results[i].inference["score"] for i in range(10)], second)
    assert np.abs(first - second).max() > 1e-3

    old.update_model_path(None)
    old.update_model_path("")
    assert old.load_model().answers(list(x), "raise", per_feature=False, false_alarm_rate=None)[
        1
    ] == str(table / "1")


class Store(FileSystem):
    """A stand-in for a bucket: `store://bucket/...` lies in the folder `root`."""

    root = None

    @classmethod
    def scheme(cls):
        return "store"

    def has_dirs(self):
        return False

    def _local(self, path):
        return self.root / path.removeprefix("store://bucket/")

    def _list(self, prefix):
        for path in self.root.rglob("*"):
            name = f"store://bucket/{path.relative_to(self.root)}"
            if path.is_file() and name.startswith(prefix):
                yield FileMetadata(name, path.stat().st_size)

    def exists(self, path):
        return self._local(path).is_file()

    def metadata(self, path):
        return FileMetadata(path, self._local(path).stat().st_size)

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        return self._local(path).open("rb")

    join = split = mkdirs = create = copy = rename = checksum = None
    size = last_updated = delete = None


@pytest.mark.parametrize("named", ["", "/", "/1", "/2"])
def test_a_path_with_a_scheme_is_read_by_the_file_systems_of_beam(table, monkeypatch, named):
    monkeypatch.setattr(Store, "root", table.parent)
    handler = SavedModelHandler(f"store://bucket/{table.name}{named}")
    version = named.strip("/") or "2"
    x = rows(5)
    found = list(handler.run_inference(list(x), handler.load_model()))
    assert {r.model_id for r in found} == {f"store://bucket/{table.name}/{version}"}
    close([r.inference["score"] for r in found], kerasae.load(table / version).score(x))

    missing = SavedModelHandler("store://bucket/nothing")
    with pytest.raises(FileNotFoundError, match=r"Received: path='store://bucket/nothing'"):
        missing.load_model()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"signature": "generate"}, r"kerasae.load\(path\) has the others, .*='generate'"),
        ({"signature": "info"}, "signature must be one of 'encode', .* Received: .*'info'"),
        ({"columns": "height"}, "columns must be a list of names. Received: columns='height'"),
        ({"signature": "detect", "per_feature": True}, "per_feature goes with .* 'score'"),
        ({"false_alarm_rate": 0.1}, "false_alarm_rate goes with .* 'detect'"),
        ({"signature": "detect", "false_alarm_rate": 2}, "between 0 and 1"),
        ({"invalid": "drop"}, "invalid must be 'raise' or 'report'. Received: invalid='drop'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(table, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SavedModelHandler(table, **arguments)


def test_a_local_path_without_a_model_is_refused_at_once(digits, table, tmp_path, collected):
    with pytest.raises(FileNotFoundError, match="nothing'"):
        SavedModelHandler(tmp_path / "nothing")
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="must be a SavedModel folder"):
        SavedModelHandler(tmp_path)
    with pytest.raises(
        ValueError, match=r"no signature 'detect'; .* Calibrate it before exporting"
    ):
        SavedModelHandler(digits[0], "detect")
    with pytest.raises(ValueError, match=r"settings itself.* Received: inference_args=\{'rate': 1"):
        collected([GOOD], RunInference(SavedModelHandler(table), inference_args={"rate": 1}))


def test_a_damaged_card_is_a_sentence(named, tmp_path):
    known = json.loads((named / "1" / "card.json").read_text())
    (tmp_path / "saved_model.pb").write_bytes(b"")
    card = tmp_path / "card.json"
    for content in (
        "{",
        "[1]",
        "{}",
        {"signatures": None},
        {"signatures": ["score"]},
        {"training": 3},
        {"training": {"columns": 4}},
        {"training": {"data_options": [1]}},
        {"input_shape": None},
    ):
        card.write_text(content if isinstance(content, str) else json.dumps(known | content))
        with pytest.raises(ValueError, match=r"Received: .*card\.json") as caught:
            SavedModelHandler(tmp_path)
        assert "\n" not in str(caught.value)
    with card.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="1,073,741,824 bytes"):
        SavedModelHandler(tmp_path)


def test_batches_are_large_and_counted(table):
    handler = SavedModelHandler(table)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 512, "max_batch_size": 2048}
    assert SavedModelHandler(table, max_batch_duration_secs=3).batch_elements_kwargs() == {
        "min_batch_size": 512,
        "max_batch_size": 2048,
        "max_batch_duration_secs": 3,
    }
    assert handler.get_num_bytes(list(rows(3))) == 3 * 4 * 4
    assert SavedModelHandler(table, columns=COLUMNS).get_num_bytes([GOOD, GOOD]) == 2 * 4 * 8
    assert handler.get_metrics_namespace() == "BeamML_kerasae"
    assert not handler.share_model_across_processes()


def test_one_model_serves_all_processes_of_a_machine(table, collected):
    handler = SavedModelHandler(table, large_model=True)
    x = rows(12, seed=9)
    found = dict(collected(enumerate(x), RunInference(KeyedModelHandler(handler))))
    close([found[i].inference["score"] for i in range(12)], kerasae.load(table).score(x))


def test_without_beam_the_extra_is_named(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    source = Path(sys.modules["kerasae.scoring.beam"].__file__)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "kerasae\[beam\]"'):
        runpy.run_path(str(source))


@pytest.mark.parametrize("signature", ["score", "detect"])
def test_the_example_pipeline(table, tmp_path, monkeypatch, signature):
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = rows(100, seed=10)
    for part in range(2):
        piece = x[50 * part : 50 * (part + 1)]
        columns = {name: pa.array(piece[:, i]) for i, name in enumerate(COLUMNS)}
        ids = pa.array([f"id{50 * part + i}" for i in range(50)])
        pq.write_table(pa.table({"id": ids, **columns}), tmp_path / f"rows-{part}.parquet")
    # A row with a missing value, as tables have them.
    broken = pa.table({"id": ["broken"], **{name: [None] for name in COLUMNS}})
    broken = broken.cast(pa.schema([("id", "string"), *((n, "float32") for n in COLUMNS)]))
    pq.write_table(broken, tmp_path / "rows-2.parquet")

    main = runpy.run_path(str(EXAMPLE))["main"]
    main(
        [
            "--model",
            str(table),
            "--signature",
            signature,
            "--input",
            str(tmp_path / "rows-*"),
            "--key",
            "id",
            "--columns",
            ",".join(COLUMNS),
            "--output",
            str(tmp_path / "out" / "part"),
            "--runner",
            "DirectRunner",
        ]
    )

    written = [p for p in (tmp_path / "out").iterdir() if "rejected" not in p.name]
    found = pa.concat_tables([pq.read_table(p) for p in written])
    found = found.take(pa.compute.sort_indices(found["id"]))
    order = np.argsort([f"id{i}" for i in range(100)])
    assert found["id"].to_pylist() == [f"id{i}" for i in order]
    served = kerasae.load(table)
    expected = {"score": served.score(x)} if signature == "score" else served.detect(x)
    assert sorted(found.column_names) == sorted(["id", *expected])
    for name, values in expected.items():
        close([np.asarray(found[name])[i] for i in range(100)], values[order])
    [rejected] = [p for p in (tmp_path / "out").iterdir() if "rejected" in p.name]
    assert pq.read_table(rejected).to_pylist() == [
        {"id": "broken", "error": "its column 'height' must be one number. Received: None"}
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_masked_values_and_numbers_beyond_any_float_do_not_fit(table, whole):
    x = rows(2)
    handler = SavedModelHandler(table, invalid="report")
    model = handler.load_model()
    masked = np.ma.masked_array(x[1], [0, 0, 1, 0])
    batch = [x[0], masked] if whole else [x[0].tolist(), masked]
    good, bad = (result.inference for result in handler.run_inference(batch, model))
    assert set(good) == {"score"}
    assert "masked" in bad["error"]
    handler = SavedModelHandler(table, columns=COLUMNS, invalid="report")
    huge = dict(zip(COLUMNS, [1.0, 2.0, 10**400, 4.0], strict=True))
    fine = dict(zip(COLUMNS, x[0].tolist(), strict=True))
    model = handler.load_model()
    bad, good = (result.inference for result in handler.run_inference([huge, fine], model))
    assert "column 'depth' must be finite as float32" in bad["error"]
    assert set(good) == {"score"}
