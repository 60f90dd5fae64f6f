"""Settings of the site; `docs/build.py` lays out its sources and calls Sphinx."""

import sys
from pathlib import Path
from typing import Any

import kerasae

sys.path.insert(0, str(Path(__file__).parent))

import docstrings

project = "kerasae"
copyright = "the authors of kerasae"  # Sphinx looks for this name
version = release = kerasae.__version__
root_doc = "docs/index"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# Notebooks come with their outputs. MyST-NB extracts files from them to jupyter_execute.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # tables and formulas in outputs, too
exclude_patterns = ["jupyter_execute", "docs/_static"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax/tex-chtml.js"

# In the docstrings `x` is code, as it is in Markdown.
default_role = "literal"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Input shape", "Output shape", ("Call arguments", "params_style")]
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"kerasae {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0067a3", "color-brand-content": "#0067a3"},
    "dark_css_variables": {"color-brand-primary": "#74bdec", "color-brand-content": "#74bdec"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """Read docstrings and constructors as they are written."""
    app.connect("autodoc-process-docstring", docstrings.to_rest, priority=100)
    app.connect("autodoc-process-signature", docstrings.signature)
