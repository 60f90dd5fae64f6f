"""One HTML page for a run, and one for several next to each other.

A page is a single file: pictures are inlined, nothing is fetched, no script runs. Python gives
plain data, blocks in sections; the templates escape whatever was read from a file. A further part
of `metrics.json` is a further section by itself: `measures.py` knows how to read what is in it.
"""

from kerasae.report.comparison import compare_rows, differences, write_comparison
from kerasae.report.report import render, write_report
from kerasae.report.run import Run

__all__ = ["Run", "compare_rows", "differences", "render", "write_comparison", "write_report"]
