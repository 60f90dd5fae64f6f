"""The command line, run in the process of the tests."""

import pytest

from kerasae import cli


@pytest.fixture
def kerasae_(capsys, monkeypatch):
    """Run the command line in this process; return exit status, standard output and error."""
    monkeypatch.delenv("KERASAE_DEBUG", raising=False)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run
