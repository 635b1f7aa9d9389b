"""The documentation's build: `make docs` writes docs/_build/docs/contents.html, warnings are errors.

The site's contents, docs/contents.rst, are written from docs/index.md: its groups, and the pages that begin a line.
Pages on the lines below one of these are linked there and not listed.

The source folder is the repository, so that the README and the config reference are pages too and the links
between files are the ones that work on a code host.
"""

import re
import shutil
from pathlib import Path
from typing import Any

project = "BRIGHT, reproduced"
extensions = ["myst_parser"]
include_patterns = ["*.md", "results/README.md", "config/README.md", "docs/*.md", "docs/contents.rst"]
root_doc = "docs/contents"
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False

suppress_warnings = ["toc.not_included"]

FIRST = """BRIGHT, reproduced
==================

.. raw:: html

   <picture>
   <source media="(prefers-color-scheme: dark)" srcset="images/method-dark.svg">
   <img src="images/method-light.svg" alt="The method in one picture, which the page on BRIGHT explains">
   </picture>
"""


def contents(index: str) -> str:
    """The root of the site: a list of pages for each group of docs/index.md."""
    groups = re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL)
    lists = []
    for caption, lines in groups:
        pages = re.findall(r"^- \[.+?\]\((.+?)\.md\)", lines, re.MULTILINE)
        lists.append(f".. toctree::\n   :caption: {caption}\n   :maxdepth: 1\n\n   " + "\n   ".join(pages) + "\n")
    return "\n".join([FIRST, *lists])


FOLDER = Path(__file__).parent
FOLDER.joinpath("contents.rst").write_text(contents(FOLDER.joinpath("index.md").read_text(encoding="utf-8")))

# Markup of Sphinx and its theme that axe reports: captions without a level, landmarks without a name, code and tables
# that a keyboard cannot scroll, empty headings of columns, and the search page without a heading.
ACCESSIBLE = {
    r'(<p class="caption" role="heading")(?! aria)': r'\1 aria-level="2"',
    r'<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    r'<aside class="toc-drawer( no-toc)?">': r'<aside class="toc-drawer\1" aria-label="On this page">',
    r'<pre(?=>)|<div class="table-wrapper [^"]*"(?=>)': r'\g<0> tabindex="0"',
    r'(id="furo-main-content">\s*)(?=<noscript>)': r"\1<h1>Search</h1>",
    r'<th class="head"><p></p></th>': "<td></td>",
}


def make_accessible(app: Any, error: Exception | None) -> None:
    """Repair the built pages, and add the pictures that pages choose by the reader's theme."""
    pictures = Path(app.outdir, "docs", "images")
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in FOLDER.glob("images/*.svg"):
        shutil.copy(picture, pictures)
    for path in Path(app.outdir).rglob("*.html") if error is None else ():
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in ACCESSIBLE.items():
            text = re.sub(pattern, replacement, text)
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("build-finished", make_accessible)
