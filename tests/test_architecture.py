"""The order of the parts, read from the source: imports run one way."""

import ast
from pathlib import Path

import pytest

import kerasae

ROOT = Path(kerasae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# From the ground up: a part may import those of the floors below its own.
FLOORS = [
    {"errors"},
    {"files"},
    {"anomaly", "data", "report", "schedules", "serving"},
    {"acceleration", "losses", "metrics", "regularizers", "samplers"},
    {"layers"},
    {"networks"},
    {"models"},
    {"evaluation", "estimators", "loading"},
    {"exporting"},
    {"runs"},
    {"scoring"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
# What stands beside the models, and may be used without them.
BESIDE = {"anomaly", "data", "report", "serving"}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports_of(path):
    """Yield the modules of kerasae that a file imports anywhere in it, and the names it takes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kerasae":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full, "") if full in MODULES else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "kerasae":
                    yield alias.name, ""


def part_of(module):
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_from_the_floors_below(path):
    own = part_of(name_of(path))
    assert own in FLOOR, f"{own} has no floor"
    for module, _ in imports_of(path):
        part = part_of(module)
        if part in (own, "__init__") or own == "__init__":
            continue
        assert FLOOR[part] < FLOOR[own], f"imports {module}"
        if own in BESIDE:
            assert part in ("errors", "files"), f"{own} stands alone, but imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_begins_with_an_underscore_stays_in_its_folder(path):
    folder = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for module, name in imports_of(path):
        parts = [*module.split("."), *filter(None, [name])]
        for depth, part in enumerate(parts):
            if part.startswith("_") and not part.startswith("__"):
                owner = ".".join(parts[:depth])
                # A name belongs to a module, and so to the folder that the module is in.
                owner = (
                    owner
                    if owner not in MODULES or MODULES[owner].name == "__init__.py"
                    else (owner.rpartition(".")[0])
                )
                assert owner == folder, f"imports {'.'.join(parts)}"


def test_no_file_imports_itself_by_way_of_others():
    graph = {name: {module for module, _ in imports_of(path)} for name, path in MODULES.items()}
    graph.pop("kerasae")
    done, path = set(), []

    def visit(module):
        if module in path:
            pytest.fail(f"a circle of imports: {[*path[path.index(module) :], module]}")
        if module in done or module not in graph:
            return
        path.append(module)
        for other in sorted(graph[module]):
            if other != module:
                visit(other)
        done.add(path.pop())

    for module in graph:
        visit(module)


def test_the_top_level_is_small():
    entries = [path for path in ROOT.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 24
    assert {p.stem for p in entries} - {"py"} <= set(FLOOR)


def test_no_submodule_shares_a_public_functions_name():
    functions = {"build", "variants", "register", "load", "train", "export"}
    assert not functions & {p.stem for p in ROOT.iterdir()}
