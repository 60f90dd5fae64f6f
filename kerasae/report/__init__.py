"""One HTML page for a run, and one for several side by side.

The page is a single file: pictures are inlined, nothing is fetched, no script runs. Each section is
a function from a `Run` to HTML that returns "" when it has nothing to say; `SECTIONS` in `page.py`
names them in order. A new section is one function and one line there. Everything read from a file
passes through `html.escape` on its way into the page.
"""

from kerasae.report.comparison import compare_rows, differences, write_comparison
from kerasae.report.page import render, write_report
from kerasae.report.run import Run

__all__ = ["Run", "compare_rows", "differences", "render", "write_comparison", "write_report"]
