"""How `make docs` turns these pages into a site: Sphinx over the same Markdown that forges show."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
project = "pangeo-hpc"
author = "the pangeo-hpc developers"
extensions = ["myst_parser"]
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = project
html_extra_path = ["site.schema.json"]
myst_heading_anchors = 3
