"""Which model it is, and what is recorded of its training."""

import json
import os

import pytest

import kerasae
from kerasae import scoring

COLUMNS = ["a", "b", "c", "d"]

HIDDEN = ".kerasae-batch"


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN))


def test_models_in_memory_are_known_by_their_weights(many, tmp_path):
    one, two = (kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=seed) for seed in (0, 1))
    inputs = [[many / f"part{i}.parquet", many / f"part{i}.*"] for i in range(2)]
    scoring.apply(one, "score", inputs[0], tmp_path / "out", keep=["id"])
    with pytest.raises(ValueError, match=r"another model.* Received: model="):
        scoring.apply(two, "score", inputs[1], tmp_path / "out", keep=["id"])
    scoring.apply(one, "score", inputs[1], tmp_path / "out", keep=["id"])
    assert names_of(tmp_path / "out") == ["part0.parquet", "part1.parquet"]


def test_models_in_memory_are_known_by_their_layers(many, tmp_path):
    one, two = (
        kerasae.build("undercomplete", (4,), 2, hidden=(5,), activation=name, seed=0)
        for name in ("relu", "tanh")
    )
    two.set_weights(one.get_weights())
    inputs = [[many / f"part{i}.parquet", many / f"part{i}.*"] for i in range(3)]
    scoring.apply(one, "score", inputs[0], tmp_path / "out", keep=["id"])
    with pytest.raises(ValueError, match=r"another model.* Received: model="):
        scoring.apply(two, "score", inputs[1], tmp_path / "out", keep=["id"])
    one.compile(optimizer="sgd")  # which no answer depends on
    scoring.apply(one, "score", inputs[1], tmp_path / "out", keep=["id"])


def test_resume_knows_which_columns_a_run_reads(model, many, tmp_path):
    """They are recorded beside the model, which stays as it is."""
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "model.keras").write_bytes(model.read_bytes())
    (run / "config.json").write_text(json.dumps({"columns": COLUMNS}))
    scoring.apply(run, "score", many, out)
    assert scoring.apply(run, "score", many, out, resume=True, columns=COLUMNS).skipped == 3
    (run / "config.json").write_text(json.dumps({"columns": COLUMNS[::-1]}))
    with pytest.raises(ValueError, match=r"Received: columns=\['d', 'c', "):
        scoring.apply(run, "score", many, out, resume=True)


@pytest.mark.parametrize("name", ["config.json", "card.json"])
@pytest.mark.parametrize("text", ["{", "[1]", '{"columns": 3}', '{"data_options": [1]}'])
def test_a_damaged_record_of_a_training_is_a_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name) as caught:
        scoring.recorded(tmp_path)
    assert "Received: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="exports a model"
)
def test_a_number_is_a_version_only_with_a_model_in_it(judge, many, tmp_path):
    kerasae.export(judge, tmp_path / "saved", training={"columns": COLUMNS}, verify=False)
    (tmp_path / "saved" / "20261121").mkdir()
    out = tmp_path / "out"
    assert scoring.recorded(tmp_path / "saved") == {"columns": COLUMNS}
    scoring.apply(tmp_path / "saved", "score", many, out)
    record = json.loads((out / scoring.RECORD).read_text())
    assert record["model"]["path"] == str(tmp_path / "saved" / "1")
    # Without the filter every model had the digest of no file at all.
    with (tmp_path / "saved" / "1" / "saved_model.pb").open("ab") as file:
        file.write(b"\x82\x7d\x00")
    with pytest.raises(ValueError, match=r"another model.* Received: model="):
        scoring.apply(tmp_path / "saved", "score", many, out, resume=True)


def test_a_model_that_is_replaced_while_it_is_loaded_is_not_mistaken(
    model, many, tmp_path, monkeypatch
):
    own, load = tmp_path / "own.keras", kerasae.load
    own.write_bytes(model.read_bytes())

    def replaced(path):
        own.write_bytes(model.read_bytes() + b"\0")
        return load(model)

    monkeypatch.setattr(kerasae, "load", replaced)
    with pytest.raises(ValueError, match=r"replaced.* Received: model="):
        scoring.apply(own, "score", many, tmp_path / "out", keep=["id"])
