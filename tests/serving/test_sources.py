"""Which models a server finds at a path."""

import shutil

import pytest

from kerasae.serving import sources


@pytest.fixture
def folder(digits, tmp_path):
    """A folder that holds a model, a run with an export, and other things."""
    shutil.copytree(digits[1], tmp_path / "models" / "digits")
    shutil.copytree(digits[1], tmp_path / "models" / "a-run" / "saved_model")
    (tmp_path / "models" / "notes").mkdir()
    (tmp_path / "models" / "README.md").write_text("")
    return tmp_path / "models"


def names(*paths, **more):
    return {source.name: source.path for source in sources.find(paths, **more)}


def test_finds_versions_runs_and_folders_of_them(folder):
    versions = folder / "digits"
    exported = folder / "a-run" / "saved_model"
    assert names(versions) == {"digits": versions}
    assert names(versions / "1") == {"digits": versions / "1"}
    assert names(folder / "a-run") == {"a-run": exported}
    assert names(exported) == {"a-run": exported}
    assert names(exported / "1") == {"a-run": exported / "1"}
    assert list(names(folder)) == ["a-run", "digits"]
    assert names(versions, name="mine") == {"mine": versions}


def test_a_model_that_is_given_twice_is_one(folder):
    versions = folder / "digits"
    assert list(names(versions, versions / ".", folder)) == ["digits", "a-run"]
    assert list(names(versions, versions, name="mine")) == ["mine"]


def test_versions_are_tried_from_the_highest_number_down(folder):
    versions = folder / "digits"
    for number in ("2", "10", "x"):
        shutil.copytree(versions / "1", versions / number)
    found = sources.Source("digits", versions).versions()
    assert [path.name for path in found] == ["10", "2", "1"]
    assert sources.Source("digits", versions / "2").versions() == [versions / "2"]


def test_refuses_names_and_paths(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: path="):
        names(tmp_path / "nothing")
    for path in (folder / "notes", folder / "README.md"):
        with pytest.raises(ValueError, match=r"path must .*Received: path="):
            names(path)
    with pytest.raises(ValueError, match=r"name is .*'x' with a-run, digits"):
        names(folder, name="x")
    shutil.copytree(folder / "digits", folder / "digits-encode")
    with pytest.raises(ValueError, match=r"same name.*'digits-encode'"):
        names(folder)
    (folder / "digits").rename(tmp_path / "ö ö")
    with pytest.raises(ValueError, match=r"--name\. Received: name='ö ö'"):
        names(tmp_path / "ö ö")


def test_says_how_to_export_what_has_not_been(tmp_path):
    run = tmp_path / "runs" / "never yet"
    run.mkdir(parents=True)
    (run / "model.keras").write_bytes(b"")
    for path in (run, run.parent):
        with pytest.raises(ValueError, match=f"run .* kerasae export '{run}'"):
            names(path)
    file = run / "model.keras"
    with pytest.raises(ValueError, match=f"model .* kerasae export '{file}'"):
        names(file)
