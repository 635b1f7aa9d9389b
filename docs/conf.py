"""The documentation's build: `make docs` writes docs/_build/index.html, warnings are errors.

The source folder is the repository, so that the README and the config reference are pages too and the links
between files are the ones that work on a code host.
"""

project = "BRIGHT, reproduced"
extensions = ["myst_parser"]
include_patterns = ["*.md", "results/README.md", "config/README.md", "docs/*.md", "docs/contents.rst"]
root_doc = "docs/contents"
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
