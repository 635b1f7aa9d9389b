"""The public site of a finished run: every page in a browser, every link, the notebook, and missing runs."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from bright_pipeline.config.root import read_config
from documented import ROOT
from made_once import made_once
from places import Place, Places
from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

BUILD = "python tools/publication/website.py site"
WIDTHS = (390, 1300)
# Each element with its class, style and parent. Contrast, half of axe's time, is measured on pages with new ones.
ELEMENTS = """[...document.body.querySelectorAll('*')].map(
  one => [one.parentElement, one].flatMap(e => [e.tagName, e.className, e.getAttribute('style')]).join())"""


@pytest.fixture(scope="session")
def built(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A clone with a finished demo, its site, and what the build printed, in printed.txt."""

    def make(folder: Path) -> None:
        shutil.copytree(places.shared("public").folder, folder, symlinks=True)
        (folder / "printed.txt").write_text(Place(folder).type(BUILD).text)

    return Place(made_once(tmp_path_factory, "site", make))


def test_every_page_fits_phones_and_screens_and_axe_reports_nothing(built: Place, browser: Browser) -> None:
    site = built.folder / "site"
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30 and {site / "index.html", site / "runs" / "demo.html"} < set(pages)
    wide, broken, found, seen = [], [], [], set()
    with browser.new_context(offline=True, reduced_motion="reduce") as context:
        page = context.new_page()
        for path in pages:
            name = str(path.relative_to(site))
            page.goto(path.as_uri(), wait_until="load")
            elements = set(page.evaluate(ELEMENTS))
            options = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": not elements <= seen}}}
            seen |= elements
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                wide += [(name, width)] * (page.evaluate("document.documentElement.scrollWidth") > width)
                if width == WIDTHS[0]:  # where most parts of a page scroll
                    found += [(name, one["id"]) for one in Axe().run(page, options=options).response["violations"]]
            broken += [name] * page.evaluate("[...document.images].some(image => !image.naturalWidth)")
    assert (wide, broken, found) == ([], [], [])


def test_the_start_page_leads_to_everything_and_missing_runs_name_their_command(built: Place) -> None:
    start, printed = built.text("site/index.html"), built.text("printed.txt")
    for page in ("runs/demo.html", "docs/first-look.html", "docs/index.html", "README.html", "docs/python.html"):
        assert f'href="{page}"' in start
    for name in ("demo-colour", "transfer"):
        command = f"snakemake --cores 2 --configfile config/{name}.yaml"
        assert f"without config/{name}.yaml: not finished here; `{command}` computes it\n" in printed
        assert f"runs/{name}.html" not in start
    assert start.count("Not computed for this site") == 2 and "pages, 1 of 3 runs" in printed


def test_the_notebooks_page_has_its_outputs_and_no_path_of_this_machine(built: Place) -> None:
    page = built.text("site/docs/first-look.html")
    assert page.count("<img ") == 3 and "from 0." in page
    assert str(built.folder) not in page and sys.prefix not in page


def test_a_site_is_replaced_and_no_other_folder(built: Place, places: Places) -> None:
    place = Place(shutil.copytree(built.folder, places.new_folder(), symlinks=True))
    (place.folder / "docs/notebooks/first-look.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
    (place.folder / "docs" / "python.md").open("a").write("\n[dead](export.md#no-such-heading)\n")
    assert "documentation has the errors above" in place.type(BUILD, expect=2).text
    assert (place.folder / "site" / "index.html").is_file(), "the earlier site stays"
    (place.folder / "site" / "searchindex.js").unlink()
    assert "site: exists and is no site" in place.type(BUILD, expect=2).text


@pytest.mark.parametrize("script", ["website.py site", "release.py"])
def test_without_the_demo_one_line_names_its_command(places: Places, script: str) -> None:
    place = places.copy("fresh")
    for name in ("CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, place.folder)
    (line,) = place.type(f"python tools/publication/{script}", expect=2).text.splitlines()
    command = "snakemake --cores 2 --configfile config/demo.yaml"
    assert line.endswith(f"config/demo.yaml: not finished here; run `{command}` first, or dvc pull")


def test_each_released_model_is_in_its_config_and_decodes_the_samples_of_the_page(monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools" / "publication")
    runs = [run["config"] for run in importlib.import_module("runs").RUNS]
    released = importlib.import_module("release").released
    found = {run: released(read_config(ROOT / run)) for run in runs}
    assert found == {
        "config/demo.yaml": "main-stage",
        "config/demo-colour.yaml": "bright",
        "config/transfer.yaml": "bright",
    }


def test_dead_links_are_links_to_files_and_headings_that_the_site_lacks(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools" / "publication")
    (tmp_path / "docs").mkdir()
    (tmp_path / "outside.html").write_text("")
    for name in ("a b.html", "one.png"):
        (tmp_path / "docs" / name).write_text('<h1 id="one">One</h1><a name="two"></a>')
    alive = ["docs/a%20b.html", "docs/a%20b.html#one", "docs/a%20b.html#two", "docs/one.png", "#", "#here", "?q#top"]
    alive += ["https://example.org/x", "mailto:a@b", "data:,x"]
    dead = ["docs", "docs/", "docs/a%20b.html#three", "#there", "missing.png", "../outside.html", "/outside.html"]
    dead += [(tmp_path / "outside.html").as_uri(), "javascript:x"]
    links = "".join(f'<a href="{link}">x</a><img src="{link}">' for link in alive + dead)
    (tmp_path / "index.html").write_text(f'<p id="here"></p>{links}')
    assert importlib.import_module("website").dead_links(tmp_path) == [f"index.html to {link}" for link in dead]
