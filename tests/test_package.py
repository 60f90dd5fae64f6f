import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kerasae

ROOT = Path(kerasae.__file__).parent
HEAVY = ("keras", "tensorflow", "jax", "numpy", "matplotlib", "sklearn", "tensorflow_datasets")


def run_python(code, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
    )


def test_import_is_light_and_fast():
    code = f"""
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import kerasae
print(time.perf_counter() - start)
print([name for name in {HEAVY} if name in sys.modules and name not in before])
"""
    tries = [run_python(code) for _ in range(3)]
    for result in tries:
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[1] == "[]"
    seconds = min(float(result.stdout.splitlines()[0]) for result in tries)
    print(f"import kerasae: {seconds * 1000:.0f} ms")
    assert seconds < 0.1


def test_every_public_name_resolves_to_what_it_says():
    for name in kerasae.__all__:
        value = getattr(kerasae, name)
        if name in kerasae._FUNCTIONS:
            assert callable(value)
            assert value.__name__ == name
        elif name in kerasae._SUBMODULES:
            assert value.__name__ == f"kerasae.{name}"
    assert set(kerasae.__all__) == {*kerasae._FUNCTIONS, *kerasae._SUBMODULES, "__version__"}
    assert dir(kerasae) == sorted(kerasae.__all__)


def test_submodules_are_those_on_disk():
    """A module that lands is public unless its name begins with an underscore."""
    found = {path.stem for path in ROOT.glob("*.py")} | {
        path.parent.name for path in ROOT.glob("*/__init__.py")
    }
    found = {name for name in found if not name.startswith("_")} - {"cli"}
    assert set(kerasae._SUBMODULES) == found


def test_no_submodule_shares_a_functions_name():
    """`kerasae.export` would turn into the module after its first import."""
    assert not set(kerasae._FUNCTIONS) & {path.stem for path in ROOT.iterdir()}


def test_type_checkers_see_all_names():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    (block,) = [b for b in blocks if getattr(b.test, "id", "") == "TYPE_CHECKING"]
    seen = {
        alias.name
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {*kerasae._FUNCTIONS, *kerasae._SUBMODULES}


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kerasae' has no attribute 'bild'"):
        kerasae.bild  # noqa: B018


def test_version_stands_in_one_place():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "kerasae/__init__.py"
    assert kerasae.__version__.count(".") == 2
