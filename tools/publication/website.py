"""The public site: the documentation, the pages of finished runs, and the executed notebook.

    python tools/publication/website.py site     # `make site`

Sphinx builds a copy of the repository's files with two more pages, the start page and the notebook. The site replaces
an earlier one only if no link within it is dead; links to other sites are not fetched.
"""

import base64
import posixpath
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import nbformat
import typer
from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.stages.page import page
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from runs import RUNS, finished

NOTEBOOK = Path("docs/notebooks/first-look.ipynb")
ENTRY = re.compile(r"^(   (?:\w.* <)?)([\w./-]+)(>?)$", re.MULTILINE)  # a page in a list of the site's contents
FILES = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
SPHINX = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "root_doc=index", "-c", "docs"]


def website(folder: Annotated[Path, typer.Argument(help="Where the site goes; an earlier site is replaced.")]) -> None:
    """Build the public site."""
    if folder.exists() and not (folder / "searchindex.js").is_file():
        raise InputError(f"{folder}: exists and is no site; give another folder, or remove it")
    pages = {run["config"]: Path(jobs(page).path("report.html")) for run, jobs in finished()}
    with tempfile.TemporaryDirectory() as temporary:
        source, built = Path(temporary, "source"), Path(temporary, "site")
        listed = subprocess.run(FILES, check=True, capture_output=True, text=True).stdout.split("\0")
        for file in filter(Path.is_file, map(Path, filter(None, listed))):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, source / file)
        (source / "index.md").write_text(start_page(pages), encoding="utf-8")
        (source / "docs/first-look.md").write_text(notebook_page(source / NOTEBOOK), encoding="utf-8")
        if subprocess.run([*SPHINX, "-d", f"{temporary}/doctrees", source, built]).returncode:
            raise InputError("the documentation has the errors above")
        (built / "runs").mkdir()
        for config, report in pages.items():
            shutil.copyfile(report, built / "runs" / f"{Path(config).stem}.html")
        if dead := dead_links(built):
            raise InputError(f"dead links: {'; '.join(dead)}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
    print(f"{folder}/index.html: {len(list(folder.rglob('*.html')))} pages, {len(pages)} of {len(RUNS)} runs")


def start_page(pages: dict[str, Path]) -> str:
    """Markdown of the first page: links to the parts of the site, and the lists of all pages."""
    runs = [
        f'- <a href="runs/{Path(run["config"]).stem}.html">{run["title"]}</a>: {run["about"]}'
        if run["config"] in pages
        else f"- {run['title']}: {run['about']} Not computed for this site; `{run['command']}` computes it."
        for run in RUNS
    ]
    contents = runpy.run_path("docs/conf.py")["contents"](Path("docs/index.md").read_text(encoding="utf-8"))
    _, lists = contents.split(".. toctree::", 1)
    absolute = ENTRY.sub(lambda entry: f"{entry[1]}/{posixpath.normpath(f'docs/{entry[2]}')}{entry[3]}", lists)
    template = Path(__file__).with_name("start.md").read_text(encoding="utf-8")
    return template.format(runs="\n".join(runs), contents=f".. toctree::{absolute}")


def notebook_page(path: Path) -> str:
    """Execute a notebook here, on the demo; returns its cells and outputs as Markdown for docs/."""
    notebook, parts = nbformat.read(path, as_version=4), []
    options = {"timeout": 600, "resources": {"metadata": {"path": "."}}, "extra_arguments": ["--log-level=ERROR"]}
    NotebookClient(notebook, **options).execute()
    for number, cell in enumerate(notebook.cells):
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        if cell.cell_type == "code":  # libraries' warnings have paths of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                path.with_name(f"{number}.png").write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![Images that the cell above returns](notebooks/{number}.png)")
            else:
                parts.append(f"```text\n{output.get('text') or data.get('text/plain')}\n```")
    nbformat.write(notebook, path)
    return "\n\n".join([*parts, f"[Download the notebook](notebooks/{path.name}).\n"])


def dead_links(folder: Path) -> list[str]:
    """`PAGE to LINK` for each link to a file or heading that the folder does not have."""
    folder, links, names, dead = folder.resolve(), {}, {}, []
    for path in sorted(folder.rglob("*.html")):
        soup = BeautifulSoup(path.read_bytes(), "html.parser")
        links[path] = dict.fromkeys(tag[key] for tag in soup.find_all() for key in ("href", "src") if tag.has_attr(key))
        names[path] = {"", "top"} | {tag.get("id") or tag.get("name") for tag in soup.find_all()}
    for path, link in [(path, link) for path, found in links.items() for link in found]:
        parts = urlsplit(link)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        alive = not parts.scheme and folder in target.parents and target.is_file()
        alive = alive and (target not in names or unquote(parts.fragment) in names[target])
        if parts.scheme not in ("http", "https", "mailto", "data") and not alive:
            dead.append(f"{path.relative_to(folder)} to {link}")
    return dead


if __name__ == "__main__":
    run_stage(website, beats=False)
