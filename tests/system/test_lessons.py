"""Lessons in kernels of their own, and from an installed wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

from kerasae_lessons import notebooks  # noqa: E402

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "tutorials" / "src"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _helpers(monkeypatch):
    """Let kernels and other processes import this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, HELPERS))))


def notebook_of(*sources):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_cells_run_in_order_and_report_progress():
    notebook = notebook_of("x = 2", "", "\nprint(3 * x)")
    lines = []
    seconds = notebooks.execute(notebook, 60, lines.append)
    assert 0 < seconds < 60
    assert notebook.cells[2].outputs[0].text == "6\n"
    assert [line.split(",")[0] for line in lines] == ["cell 1 of 3", "cell 3 of 3"]
    assert lines[1].endswith(": print(3 * x)")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "Cell 2 raised ZeroDivisionError"),
        ("import time\ntime.sleep(60)", "Cell 2 .* 3 seconds"),
        ("import os\nos._exit(1)", "died in cell 2"),
    ],
)
def test_a_lesson_that_fails_says_where(code, said):
    with pytest.raises(notebooks.LessonError, match=said):
        notebooks.execute(notebook_of("x = 1", code, "never = 1"), 3)


@pytest.fixture
def wheel(tmp_path):
    """A folder with what the wheel installs, and nothing else of the checkout."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    (file,) = hatchling.WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path / "wheel"), versions=["standard"]
    )
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


def test_lessons_run_from_an_installed_wheel(wheel, tmp_path, monkeypatch):
    assert {path.name for path in wheel.iterdir() if "dist-info" not in path.name} == {
        "kerasae",
        "kerasae_lessons",
    }
    stems = {file.stem for file in (ROOT / "tutorials").glob("*.ipynb")}
    assert {file.stem for file in (wheel / "kerasae_lessons/notebooks").iterdir()} == stems
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    monkeypatch.chdir(tmp_path)

    def kerasae(*words):
        command = [sys.executable, "-m", "kerasae", "tutorials", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done

    assert len(kerasae("--list").stdout.splitlines()) == len(stems)
    kerasae("--to", "mine", "--no-open", "--profile", "smoke")
    assert {file.stem for file in (tmp_path / "mine").iterdir()} == stems
    # The copy finds the helpers in the installed package, wherever it lies.
    alone = nbformat.read(tmp_path / "mine" / "10_serving.ipynb", as_version=4)
    alone.cells = [cell for cell in alone.cells if "import kerasae_lessons" in cell.source]
    alone.cells.append(nbformat.v4.new_code_cell("print(learn.__file__)"))
    notebooks.execute(alone, 60)
    assert alone.cells[-1].outputs[0].text.startswith(str(wheel))
    assert [output for cell in alone.cells[:-1] for output in cell.outputs] == []

    done = kerasae("--run", "8", "--profile", "smoke", "--to", "mine")
    assert "cell " in done.stderr
    assert "C8.1" in done.stdout
    assert "smoke profile" in done.stdout
    kept = nbformat.read(tmp_path / "mine" / "08_dimension_reduction-run.ipynb", as_version=4)
    assert {claim["status"] for claim in notebooks.claims(kept)} == {"holds"}


def test_a_lesson_that_breaks_keeps_its_notebook_and_is_exit_status_1(tmp_path, monkeypatch):
    from kerasae import cli

    parameters = 'PROFILE = "full"\nSEED = 0'
    notebook = notebook_of(parameters, "print('here')", "1 / 0")
    notebook.cells[0].metadata["tags"] = ["parameters"]
    (tmp_path / "lesson_07.toml").write_text(
        "".join(
            f"[{p}]\nlimit_s = 60\nparameters = {{ SEED = 0 }}\nbounds = {{}}\n"
            for p in ("full", "smoke")
        )
    )
    nbformat.write(notebook, tmp_path / "07_toy.ipynb")
    monkeypatch.setattr(notebooks, "_FOLDERS", (tmp_path,))
    monkeypatch.setattr(notebooks.profiles, "_FOLDER", tmp_path)
    notebooks.profiles.read.cache_clear()
    try:
        with pytest.raises(SystemExit) as exit_:
            cli.main(["tutorials", "--run", "7", "--to", str(tmp_path / "mine")])
    finally:
        notebooks.profiles.read.cache_clear()
    assert exit_.value.code == 1
    kept = nbformat.read(tmp_path / "mine" / "07_toy-run.ipynb", as_version=4)
    assert kept.cells[1].outputs[0].text == "here\n"
    assert kept.cells[2].outputs[0].ename == "ZeroDivisionError"
