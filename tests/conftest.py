"""What all tests share: quiet TensorFlow, seeds, the command line, marks for the data."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same random numbers, whatever ran before."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def kerasae_(capsys, monkeypatch):
    """Run the command line in this process; return exit status, standard output and error."""
    from kerasae import cli

    monkeypatch.delenv("KERASAE_DEBUG", raising=False)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


def _images(n=40, seed=0):
    import numpy as np

    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1)).astype("uint8")


def _trained(seed=0):
    import keras

    import kerasae

    keras.utils.set_random_seed(seed)
    ae = kerasae.build("variational", (8, 8, 1), 4, input_dtype="uint8", hidden=(16,))
    ae.compile()
    ae.fit(_images(), epochs=1, verbose=0)
    ae.calibrate(_images(60, seed=1), 0.05)
    return ae


@pytest.fixture(scope="session")
def build():
    """Return the function that trains a model of a seed."""
    return _trained


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A calibrated variational model, and its folder of versions with ONNX files."""
    import kerasae

    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    ae = _trained()
    path = tmp_path_factory.mktemp("models") / "digits"
    kerasae.export(ae, path, also=["onnx"], verify=False)
    return ae, path


# Tests of whole runs and commands, and of what takes a process of its own; `make test` leaves
# them out, and `make check` runs them.
SLOW = (
    "system/",
    "acceleration/test_chunks.py",
    "bad_input/",
    "cli/test_commands.py",
    "cli/test_judging.py",
    "cli/test_quiet.py",
    "cli/test_using.py",
    "data/test_tfds_sets.py",
    "docs/",
    "estimators/",
    "exporting/",
    "models/test_variants.py",
    "runs/test_configuration.py",
    "runs/test_determinism.py",
    "runs/test_figures.py",
    "runs/test_operations.py",
    "runs/test_resume.py",
    "runs/test_training.py",
    "tutorials/",
    "test_guides.py",
    "test_hostile_files.py",
    "test_mnist.py",
    "test_properties.py",
    "test_saved_models.py",
)


def pytest_collection_modifyitems(items):
    for item in items:
        file = item.path.as_posix().rpartition("/tests/")[2]
        # Of the battery, the dense network is quick.
        rest = file == "test_battery.py" and "dense" not in item.name
        if rest or file.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if BACKEND != "tensorflow" and file.startswith(("serving/", "system/serving/")):
            item.add_marker(pytest.mark.skip(reason="export runs on the TensorFlow backend"))
    mnist = pytest.mark.skip(reason="MNIST is not prepared under TFDS_DATA_DIR")
    prepared = os.path.isdir(os.path.join(os.environ.get("TFDS_DATA_DIR", ""), "mnist"))
    for item in items:
        if "mnist" in item.keywords and not prepared:
            item.add_marker(mnist)
