import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kerasae import files


def left_by(monkeypatch, path, host=None, process=None, kind="part"):
    """Return the name that a writer on another host, or of another number, would take."""
    with monkeypatch.context() as patch:
        if host is not None:
            patch.setattr(files, "_host", lambda: host)
        if process is not None:
            patch.setattr(files.os, "getpid", lambda: process)
        return files.temporary_name(path, kind)


def sweep(folder):
    files._swept.clear()
    files.sweep(folder)


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


# Replacing --------------------------------------------------------------------------------


def make(path, text, folder):
    """Write a file, or a folder with one file."""
    if folder:
        path.mkdir()
        path = path / "content"
    path.write_text(text)


def content(path):
    return (path / "content" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [False, True])
def test_what_is_replaced_is_the_old_or_the_new(tmp_path, folder):
    path = tmp_path / "x.json"
    for text in ("first", "second"):
        with files.replacing(path) as temporary:
            make(temporary, text, folder)
        assert content(path) == text

    def fail():
        with files.replacing(path) as temporary:
            make(temporary, "half", folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert content(path) == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_take_its_place_leaves_the_one_there(tmp_path, monkeypatch):
    path = tmp_path / "x"
    make(path, "old", True)
    rename = os.replace

    def failing(source, target):
        if str(source).endswith(".part"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", failing)
    with pytest.raises(OSError, match="output error"), files.replacing(path) as temporary:
        make(temporary, "new", True)
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_the_disk_does_not_take_replaces_nothing(tmp_path, monkeypatch, number):
    path = tmp_path / "x"
    path.write_text("old")

    def failing(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(OSError, match=os.strerror(number)), files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_gets_its_name_is_on_the_disk(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(number):
        events.append(("sync", os.fstat(number).st_ino))
        fsync(number)

    def traced_replace(source, target):
        events.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", traced_fsync)
    monkeypatch.setattr(files.os, "replace", traced_replace)
    files.write_json(tmp_path / "b.json", {})
    file, folder = (tmp_path / "b.json").stat().st_ino, tmp_path.stat().st_ino
    assert events == [("sync", file), ("rename", file), ("sync", folder)]


def test_permissions_outlive_a_replacement(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    path.chmod(0o640)
    files.write_json(path, {"a": 1})
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_number_is_taken_once(tmp_path):
    """By many processes at once, here threads: each gets its own, and none a folder in parts."""
    taken = []

    def publish(text):
        with files.scratch(tmp_path, "version") as folder:
            (folder / "content").write_text(text)
            taken.append((files.publish(folder, tmp_path, 1), text))

    threads = [threading.Thread(target=publish, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name for path, _ in taken} == {str(i) for i in range(1, 9)}
    assert all(content(path) == text for path, text in taken)
    assert len(list(tmp_path.iterdir())) == 8


def test_a_scratch_folder_is_hidden_and_does_not_stay(tmp_path):
    with files.scratch(tmp_path / "new", "version") as folder:
        (folder / "half").write_text("x")
        assert folder.name.startswith(".")
        assert files.is_temporary(folder.name)
    assert list((tmp_path / "new").iterdir()) == []


# What killed writers leave ----------------------------------------------------------------


def test_no_two_writers_share_a_temporary_name(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    names = {left_by(monkeypatch, path, host) for host in ("one-0", "two-0") for _ in range(3)}
    assert len(names) == 6  # all of one process
    assert all(name.name.startswith(".out.csv.") for name in names)
    long = tmp_path / ("ü" * 125 + ".csv")
    with files.replacing(long) as temporary:
        temporary.write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == [long.name]


def test_only_the_dead_of_this_host_and_the_old_are_swept(tmp_path, monkeypatch, dead):
    path = tmp_path / "out.csv"
    ours, living, theirs, old, foreign = (
        left_by(monkeypatch, path, None, dead),
        left_by(monkeypatch, path, None, os.getppid()),
        left_by(monkeypatch, path, "other-0", dead),
        left_by(monkeypatch, path, "other-0", dead),
        tmp_path / f".out.csv.{dead}.part",
    )
    for left in (ours, living, theirs, old, foreign):
        left.write_text("x")
    yesterday = time.time() - 2 * 86400
    os.utime(old, (yesterday, yesterday))
    os.utime(living, (yesterday, yesterday))
    # Any file that is replaced sweeps its folder, once in a while.
    for expected in ({path, living, theirs, foreign}, {path, ours, living, theirs, foreign}):
        with files.replacing(path) as temporary:
            temporary.write_text("y")
        assert set(tmp_path.iterdir()) == expected
        ours.write_text("x")
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {path, living, theirs, foreign}


def test_a_folder_set_aside_by_a_killed_writer_comes_back(tmp_path, monkeypatch, dead):
    make(left_by(monkeypatch, tmp_path / "lost", None, dead, "old"), "old", True)
    make(tmp_path / "kept", "new", True)
    make(left_by(monkeypatch, tmp_path / "kept", None, dead, "old"), "old", True)
    sweep(tmp_path)
    assert {path.name: content(path) for path in tmp_path.iterdir()} == {
        "lost": "old",
        "kept": "new",
    }


def test_a_folder_set_aside_just_now_is_not_taken_for_old(tmp_path, monkeypatch, dead):
    """Its content may be: only when it was set aside tells, which its mtime does not."""
    path = tmp_path / "x"
    make(path, "old", True)
    yesterday = time.time() - 2 * 86400
    os.utime(path, (yesterday, yesterday))
    aside = left_by(monkeypatch, path, "other-0", dead, "old")
    path.rename(aside)
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {aside}
    now = time.time()
    monkeypatch.setattr(files.time, "time", lambda: now + 2 * 86400)
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {path}


# The lock ---------------------------------------------------------------------------------


def hold(folder):
    """Start a process that holds the lock of a folder until it is killed."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom kerasae.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, folder], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_lock_names_its_holder_and_a_killed_one_stops_nobody(tmp_path):
    process = hold(tmp_path)
    try:
        with pytest.raises(ValueError, match=rf"process {process.pid} on .*Received: out="):
            files.locked(tmp_path).__enter__()
        assert f"process {process.pid} on" in (tmp_path / files.LOCK).read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (tmp_path / files.LOCK).exists()
    with files.locked(tmp_path):
        assert (tmp_path / files.LOCK).read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(ValueError, match=rf"process {os.getpid()} on "):
            files.locked(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / files.LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="Received: out="):
        files.locked(tmp_path).__enter__()
    assert (tmp_path / "mine").read_text() == "precious"
    assert (tmp_path / files.LOCK).is_symlink()


def test_the_lock_of_a_folder_made_again_is_left_to_its_holder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with files.locked(folder):
        (folder / files.LOCK).unlink()
        folder.rmdir()
        folder.mkdir()
        process = hold(folder)
    try:
        assert (folder / files.LOCK).exists()
    finally:
        process.kill()
        process.communicate()


def test_without_locks_on_the_file_system_all_are_let_in(tmp_path, monkeypatch):
    import filelock

    def lacking(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "acquire", lacking)
    with files.locked(tmp_path), files.locked(tmp_path):
        pass


# JSON -------------------------------------------------------------------------------------


def test_json_is_written_and_read_back(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [1, "ü"]})
    assert files.read_json(path) == {"a": [1, "ü"]}
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, "ü"]}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"a": ', dict),
        (b'{"a": "\xff"}', dict),
        (b"[" * 100_000, list),
        (b"[]", dict),
        (b"{}", list),
        (b'{"a": "' + b" " * 2**26 + b'"}', dict),
    ],
)
def test_json_that_is_none_is_a_sentence(tmp_path, raw, kind):
    path = tmp_path / "x.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"x\.json must .*Received: .*x\.json'") as caught:
        files.read_json(path, kind)
    assert len(str(caught.value)) < 500
