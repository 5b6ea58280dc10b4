"""How the documentation is built: `make docs`."""

project = "Crossloom"
author = "The Crossloom authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
html_theme = "furo"
html_title = "Crossloom"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
