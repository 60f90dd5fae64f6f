"""The command line keeps TensorFlow's start quiet; an import of the package changes nothing."""

import os
import subprocess
import sys

import pytest

from kerasae.cli import quiet

QUIETLY = "from kerasae.cli import quiet; quiet.silence_tensorflow()\n"


def run_python(code, **environment):
    known = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**known, "PYTHONWARNINGS": "ignore", **environment},
    )


def test_tensorflow_starts_silently():
    result = run_python(
        QUIETLY + "import kerasae; kerasae.build('vae', (4,), 2)\n"
        "import tensorflow as tf; tf.constant(1.0) + 1; tf.config.list_physical_devices()",
        KERAS_BACKEND="tensorflow",
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_start_up_lines_are_shown_on_request():
    result = run_python(QUIETLY + "import tensorflow", TF_CPP_MIN_LOG_LEVEL="0")
    assert result.returncode == 0
    assert "cc:" in result.stderr


def test_other_errors_pass_while_tensorflow_is_imported(tmp_path):
    """Only known lines are held back, and a failed import says all it wrote."""
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os, sys\n"
        "os.write(2, b'I0000 00:00:1.2   3 port.cc:153] oneDNN custom operations are on.\\n')\n"
        "print('worth reading', file=sys.stderr)\n"
        "raise ImportError('libcudart is broken')\n"
    )
    result = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{QUIETLY}import tensorflow"
    )
    assert result.returncode == 1
    assert result.stderr.startswith("worth reading\nTraceback")
    assert "libcudart is broken" in result.stderr
    assert "oneDNN" not in result.stderr


def test_an_import_changes_nothing_in_the_process():
    """Neither an environment variable, nor an import hook, nor a filter, nor a descriptor."""
    result = run_python(
        "import logging, os, sys, warnings\n"
        "def state():\n"
        "    loggers = {n: (l.level, l.filters, l.handlers)\n"
        "               for n, l in logging.root.manager.loggerDict.items()}\n"
        "    return (dict(os.environ), list(sys.meta_path), loggers, list(warnings.filters),\n"
        "            warnings.formatwarning, os.listdir('/proc/self/fd'))\n"
        "before = state()\n"
        "import kerasae, kerasae.cli, kerasae.runs\n"
        "assert state() == before"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_every_command_is_quiet(monkeypatch):
    """It is the first thing that the command line does."""
    from kerasae import cli

    called = []
    monkeypatch.setattr(quiet, "silence_tensorflow", lambda: called.append(True))
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert called == [True]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"WARNING: All log messages before absl::InitializeLog() is called are written", True),
        (b"I0000 00:00:1795229327.559288   14505 port.cc:153] oneDNN custom operations", True),
        (b"E0000 00:00:1795229331.093350   14505 cuda_platform.cc:52] failed call", True),
        (b"2026-10-18 12:46:17.559288: I tensorflow/core/util/port.cc:153] oneDNN", True),
        (b"2026-10-18 12:46:17 my own log: I read port.cc", False),
        (b"RuntimeWarning: overflow", False),
    ],
)
def test_start_up_lines_are_recognized(line, expected):
    assert bool(quiet._STARTUP.match(line)) is expected
