"""One dataclass is the arguments of `train`, the options of the command and the check on resume."""

import inspect
import json

import numpy as np
import pytest

import kerasae
from kerasae import cli
from kerasae.runs import configuration
from kerasae.runs.configuration import TrainConfig

# The configuration of a run by version 0.1.0, before it was a dataclass.
OLD = {
    "variant": "variational",
    "data": "t.csv",
    "epochs": 4,
    "batch_size": 16,
    "latent_dim": 2,
    "network": "dense",
    "seed": 3,
    "precision": None,
    "learning_rate": 0.01,
    "patience": 7,
    "deterministic": False,
    "options": {"hidden": [6], "kl_weight": 0.5},
    "data_options": {"columns": ["b", "a", "d"], "limit": 80},
    "export": False,
    "data_path": "/data/t.csv",
    "data_dir": None,
    "columns": ["b", "a", "d"],
    "command": ["kerasae", "train", "vae", "--data", "t.csv", "--out", "run"],
    "first_epochs": 4,
}


@pytest.fixture
def on_the_command_line(monkeypatch):
    """Return the configuration that words on the command line ask for."""

    def read(*words):
        asked = []

        def train(variant, **arguments):
            asked.append(TrainConfig.of(variant, arguments))
            raise ValueError("enough")

        monkeypatch.setattr("kerasae.runs.train", train)
        with pytest.raises(SystemExit):
            cli.main(["train", *words])
        return asked[0]

    return read


def test_train_has_the_fields_as_arguments():
    signature = inspect.signature(kerasae.train)
    assert [*signature.parameters] == [*configuration.NAMES, "options"]
    kinds = {p.kind for p in list(signature.parameters.values())[1:-1]}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    fresh = TrainConfig("linear")
    for name, parameter in list(signature.parameters.items())[1:-1]:
        assert parameter.default == (getattr(fresh, name) or parameter.default)
        assert f"\n    {name}: " in kerasae.train.__doc__
    assert "\n    **options: " in kerasae.train.__doc__
    assert "**arguments" not in kerasae.train.__doc__


def test_every_field_has_a_meaning_and_every_flag_an_option(capsys):
    assert [*configuration.meanings()] == [*configuration.ARGUMENTS]
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    page = capsys.readouterr().out
    flags = [
        configuration.flag_of(name)
        for name, argument in configuration.ARGUMENTS.items()
        if argument.flags is not None and name != "variant"
    ]
    for flag in [*flags, *configuration.DATA_FLAGS.values()]:
        assert f"{flag} " in page


def test_numpy_numbers_are_taken_and_written_as_plain_ones(tmp_path):
    asked = {
        "epochs": np.int64(1),
        "batch_size": np.uint8(64),
        "latent_dim": np.int32(3),
        "seed": np.int64(2),
        "learning_rate": np.float32(0.5),
        "patience": 4.0,
    }
    config = TrainConfig.of("linear", asked)
    recorded = json.loads(json.dumps(config.recorded()))
    assert {name: recorded[name] for name in asked} == asked
    run = kerasae.train(
        "undercomplete",
        out=tmp_path / "run",
        epochs=np.int64(1),
        data_options={"limit": np.int32(100)},
        export=False,
        verbose=0,
    )
    assert run.history["epoch"] == [1]
    assert run.config["data_options"] == {"limit": 100}
    options = {"kl_weight": np.float32(0.5), "samples": np.int64(3), "hidden": [4]}
    plain = TrainConfig("vae", options=options).options
    assert [type(plain[name]) for name in options] == [float, int, list]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", True),
        ("epochs", "5"),
        ("patience", -1),
        ("latent_dim", 1.5),
        ("batch_size", np.nan),
        ("seed", -1),
        ("seed", 2**32),
        ("learning_rate", np.inf),
        ("learning_rate", 0),
        ("deterministic", "yes"),
        ("precision", "bf16"),
        ("data_options", [1]),
        ("data_options", "limit"),
    ],
)
def test_a_value_that_does_not_work_is_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must .* Received: {name}="):
        TrainConfig("linear", **{name: value})


def test_the_recorded_command_asks_for_the_same(on_the_command_line, tmp_path):
    config = TrainConfig(
        "vae",
        data="t.csv",
        epochs=7,
        batch_size=16,
        latent_dim=2,
        network="dense",
        seed=3,
        precision="mixed_bfloat16",
        learning_rate=0.25,
        patience=5,
        deterministic=True,
        export=False,
        data_options={"columns": ["b", "a"], "limit": 9, "stride": 2, "window": 4, "label": "y"},
        options={"hidden": [6, 3], "kl_weight": 0.5, "activation": "gelu"},
    )
    words = config.command(tmp_path / "run")
    read = on_the_command_line(*words[2:])
    assert read.recorded() == config.recorded()
    assert read.path() == tmp_path / "run"
    # Defaults are not said, and what no command line can say has none.
    short = TrainConfig("linear").completed({}).command(tmp_path)
    assert short == ["kerasae", "train", "linear", "--data", "digits", "--out", str(tmp_path)]
    assert TrainConfig("linear", data=np.zeros((9, 2))).command(tmp_path) is None
    assert TrainConfig("linear", data_options={"size": 8}).completed({}).command(tmp_path) is None


def test_words_become_what_python_takes(on_the_command_line):
    read = on_the_command_line("linear", "--devices", "2", "--machines", "a:1,b", "--data-dir", "d")
    assert (read.devices, read.machines, read.data_options) == (2, "a:1,b", {"data_dir": "d"})
    assert on_the_command_line("linear", "--devices", "all").devices == "all"
    assert on_the_command_line("linear").recorded() == TrainConfig("linear").recorded()
    assert on_the_command_line("linear", "--deterministic").deterministic is True


def test_an_old_configuration_fills_in_what_is_left_out(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    before = configuration.begun(tmp_path)
    config = TrainConfig("vae", epochs=9).completed(before)
    expected = {**OLD, "variant": "vae", "data": "/data/t.csv", "epochs": 9}
    assert config.recorded() == {name: expected[name] for name in config.recorded()}
    now = {**OLD, **config.recorded(), "variant": "variational"}
    configuration.check_same(before, now)
    for name, value in (("seed", 4), ("columns", ["a"]), ("network", "conv")):
        with pytest.raises(ValueError, match=rf"{name} was .* Received: {name}="):
            configuration.check_same(before, {**now, name: value})


def test_the_run_directory_is_named_after_variant_and_data(tmp_path):
    named = {"digits": "digits", tmp_path / "rows.csv": "rows", "a/b.npy": "b"}
    for data, name in named.items():
        assert TrainConfig("linear", data=data).path().as_posix() == f"runs/linear-{name}"
    assert TrainConfig("vae", data=np.zeros((3, 2))).path().as_posix() == "runs/vae-array"
    assert TrainConfig("vae").path().as_posix() == "runs/vae-digits"
    assert TrainConfig("vae", out=tmp_path).path() == tmp_path
