"""What we use of others that is not public: all of it, with the reason."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import keras
import pytest

import kerasae

ROOT = Path(kerasae.__file__).parent

# File, name -> why there is no public way.
PRIVATE = {
    ("acceleration/chunks.py", "_flatten_layers"): "no public walk over the layers of layers",
    ("models/autoencoder.py", "_maybe_symbolic_build"): (
        "Keras reduces the first batch over replicas, which fails for parts of unequal size "
        "(keras issue 20585)"
    ),
    ("runs/callbacks/backup.py", "_initial_epoch"): (
        "a callback begins at a later epoch by it only, as keras.callbacks.BackupAndRestore does"
    ),
    ("runs/determinism.py", "tensorflow.python.framework"): (
        "no public way to ask whether ops are deterministic, or to end it"
    ),
    ("serving/vetting.py", "tensorflow.python.framework"): (
        "no public list of the operations that TensorFlow knows"
    ),
}
# Versions that all of this was tried with, the oldest and the newest.
TRIED = {"keras": ("3.14.0", "3.15.1"), "tensorflow": ("2.21.0", "2.21.0")}


@pytest.mark.parametrize(("file", "name"), PRIVATE)
def test_what_is_listed_is_still_needed(file, name):
    assert name in (ROOT / file).read_text("utf-8")


def test_nothing_else_is_imported_from_inside_of_others():
    for path in ROOT.rglob("*.py"):
        file = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                inside = re.search(r"^(tensorflow\.python|keras\.src|jax\._src)\b|\._", name)
                if inside and not name.startswith("kerasae"):
                    assert (file, name) in PRIVATE, f"{file} imports {name}"


def test_the_names_exist_in_what_is_installed():
    assert callable(keras.layers.Layer._flatten_layers)
    assert callable(keras.Model._maybe_symbolic_build)


@pytest.mark.parametrize("package", TRIED)
def test_the_installed_version_is_one_that_was_tried(package):
    def number(text):
        return tuple(int(part) for part in re.findall(r"\d+", text)[:2])

    oldest, newest = TRIED[package]
    found = number(version(package))
    if not number(oldest) <= found <= number(newest):
        pytest.skip(f"{package} {version(package)} has not been tried with these names")
