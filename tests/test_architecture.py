"""The order of the parts, read from the source: imports run one way."""

import ast
from pathlib import Path

import pytest

import kerasae

ROOT = Path(kerasae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# What may import what: each group sees the groups before it. A private module at the top
# (`_text`, `_atomic`) imports nothing of ours and may be seen by all.
ORDER = [
    {"schedules"},
    {"regularizers", "losses", "metrics", "samplers"},
    {"layers"},
    {"models"},
    {"_card", "_run_columns", "_signatures"},
    {"_comparison", "_converting"},
    {"callbacks", "evaluation", "exporting"},
    {"training", "estimators"},
    {"loading"},
    {"batch", "beam"},
    {"_run_data"},
    {"runs"},
    {"cli"},
    {"__main__"},
]
ALONE = {"anomaly", "data", "plotting", "serving", "_text", "_atomic", "_quiet", "_verify"}


def imports_of(path):
    """Yield the modules of kerasae that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kerasae":
            if node.module == "kerasae":
                yield from (f"kerasae.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "kerasae":
                    yield alias.name


def part_of(module):
    return [*module.split("."), "", ""][1]


def name_of(path):
    return ".".join(("kerasae", *path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_mechanism(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_stands_alone_imports_nothing_of_ours(path):
    part = part_of(name_of(path))
    if part in ALONE:
        assert {part_of(m) for m in imports_of(path)} <= {part, "_text", "_atomic"}


def test_no_layer_imports_a_layer_and_no_mechanism_a_mechanism():
    for folder, shared in (
        ("layers", ("_step", "_backend", "__init__")),
        ("models", ("_checks", "_parts", "_verbs", "assembly", "autoencoder", "networks",
                    "registry", "__init__")),
    ):  # fmt: skip
        mechanisms = {p.stem for p in (ROOT / folder).glob("*.py")} - set(shared)
        for stem in mechanisms:
            seen = set(imports_of(ROOT / folder / f"{stem}.py"))
            others = {f"kerasae.{folder}.{other}" for other in mechanisms - {stem}}
            allowed = {"kerasae.models.variants.plain"} if stem == "sparse" else set()
            assert not seen & others - allowed, stem


def test_imports_run_one_way():
    rank = {part: i for i, group in enumerate(ORDER) for part in group}
    for path in FILES:
        part = part_of(name_of(path))
        if part not in rank:
            continue
        for module in imports_of(path):
            seen = part_of(module)
            if seen in rank and seen != part:
                assert rank[seen] < rank[part], f"{path.name} imports {module}"


def test_no_submodule_shares_a_public_functions_name():
    functions = {"build", "variants", "register", "load", "train", "export"}
    assert not functions & {p.stem for p in ROOT.iterdir()}
