"""The documentation site: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import mpc

project, author, copyright = "mpc", "the mpc-engine developers", "the mpc-engine developers"
version = release = mpc.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "protocol_pages",
]
exclude_patterns = ["_build"]
html_theme, html_title = "furo", "mpc"
nitpicky = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Tutorials are run when the site is built, and an error in one ends the build.
nb_execution_mode, nb_execution_timeout, nb_execution_raise_on_error = "force", 600, True

autodoc_member_order, autodoc_typehints = "bysource", "none"
