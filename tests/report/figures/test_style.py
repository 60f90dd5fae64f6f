"""Drawing leaves no trace in the process."""

import subprocess
import sys

import matplotlib
import pytest

from kerasae.report import figures


def test_neither_pyplot_nor_global_settings_are_touched(tmp_path):
    code = (
        "import sys, matplotlib\n"
        # Reading all of rcParams as a dict would itself look for a backend.
        "before = matplotlib.rcParams.copy()\n"
        "from kerasae.report import figures\n"
        f"figures.baselines({{'model': 1.0}}).save(r'{tmp_path}/a.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_style_leaves_settings_as_they_were():
    before = matplotlib.rcParams["font.size"]
    with pytest.raises(ValueError, match="images must have"):
        figures.image_grid([0, 0, 0])
    assert matplotlib.rcParams["font.size"] == before
