"""The public site: the documentation, the pages of finished runs, and the executed notebook.

    python workflow/publication/website.py site     # `make site`

Sphinx builds a copy of the repository's files with two more pages: the start page and the notebook. The site replaces
an earlier one only if no link within it is dead; addresses of other sites are not fetched.
"""

import base64
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import nbformat
import typer
from nbclient import NotebookClient
from runs import RUNS, finished

from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.stages.page import page

NOTEBOOK = Path("docs/notebooks/first-look.ipynb")
CONTENTS = "docs/contents.rst"
START = """# BRIGHT, reproduced

This workflow measures how well BRIGHT represents and generates a collection of images, compared with VQGAN, RQ-VAE,
StyleGAN2, LDM and DDPM. Each number carries its evaluation protocol.

![Validation images, their reconstructions and generated images of the demo](docs/images/fig01.png)

- [README](README.md): installation, the first run, your own images.
- [A first look at a trained model](docs/first-look.md): the executed notebook.
- [Documentation](docs/index.md): one page per task; all pages are listed below.

## Pages of runs

A page has the tables, figures and samples of one run.

{runs}

## All pages

```{{eval-rst}}
.. toctree::
   :hidden:

   docs/first-look

{contents}
```
"""


def website(folder: Annotated[Path, typer.Argument(help="Where the site goes; an earlier site is replaced.")]) -> None:
    """Build the public site."""
    if folder.exists() and not (folder / "searchindex.js").is_file():
        raise InputError(f"{folder}: exists and is no site; give another folder, or remove it")
    shown = dict(finished())
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    with tempfile.TemporaryDirectory() as temporary:
        source, built = Path(temporary, "source"), Path(temporary, "site")
        for file in filter(Path.is_file, map(Path, filter(None, files))):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, source / file)
        (source / CONTENTS).unlink()  # the start page has its lists
        (source / "index.md").write_text(start_page(set(shown)), encoding="utf-8")
        (source / "docs/first-look.md").write_text(notebook_page(source / NOTEBOOK), encoding="utf-8")
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "root_doc=index", "-c", "docs"]
        if subprocess.run([*command, "-d", f"{temporary}/doctrees", source, built]).returncode:
            raise InputError("the documentation has the errors above")
        (built / "runs").mkdir()
        for run, jobs in shown.items():
            shutil.copyfile(jobs(page).path("report.html"), built / page_of(run.config))
        if dead := dead_links(built):
            raise InputError(f"dead links: {'; '.join(dead)}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
    print(f"{folder}/index.html: {len(list(folder.rglob('*.html')))} pages, {len(shown)} of {len(RUNS)} runs")


def page_of(config: str) -> str:
    return f"runs/{Path(config).stem}.html"


def start_page(shown: set) -> str:
    """Markdown of the first page: links to the parts of the site, and the lists of pages."""
    runs = [
        f'- <a href="{page_of(run.config)}">{run.title}</a>: {run.about}'
        if run in shown
        else f"- {run.title}: {run.about} Not computed for this site; `{run.command}` computes it."
        for run in RUNS
    ]
    _, lists = Path(CONTENTS).read_text(encoding="utf-8").split(".. toctree::", 1)
    names = re.compile(r"^(   (?:\w.* <)?)([\w./-]+)(>?)$", re.MULTILINE)
    absolute = names.sub(lambda name: f"{name[1]}/{posixpath.normpath(f'docs/{name[2]}')}{name[3]}", lists)
    contents = f".. toctree::{absolute}"
    return START.format(runs="\n".join(runs), contents=contents)


def notebook_page(path: Path) -> str:
    """Execute a notebook here, on the demo; returns its cells and outputs as Markdown for docs/."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "."}}).execute()
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":  # libraries' warnings have paths of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                path.with_name(f"{number}.png").write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![Images that the cell above returns](notebooks/{number}.png)")
            elif text := output.get("text") or data.get("text/plain"):
                parts.append(f"```text\n{text}\n```")
    nbformat.write(notebook, path)
    return "\n\n".join([*parts, f"[Download the notebook](notebooks/{path.name}).\n"])


class Anchors(HTMLParser):
    """The links of a page, and the names that links can lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = {"", "top"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("href", "src"):
                self.links.append(value or "")
            elif key == "id" or (key, tag) == ("name", "a"):
                self.names.add(value or "")


def dead_links(folder: Path) -> list[str]:
    """`PAGE to LINK` for each link to a file or heading that the folder does not have."""
    folder, pages, dead = folder.resolve(), {}, []
    for path in sorted(folder.rglob("*.html")):
        pages[path] = Anchors()
        pages[path].feed(path.read_text(encoding="utf-8"))
    for path, anchors in pages.items():
        for link in dict.fromkeys(anchors.links):
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].names if target in pages else {unquote(parts.fragment)}
            inside = not parts.scheme and folder in target.parents and target.is_file()
            if not inside or unquote(parts.fragment) not in known:
                dead.append(f"{path.relative_to(folder)} to {link}")
    return dead


if __name__ == "__main__":
    run_stage(website, beats=False)
