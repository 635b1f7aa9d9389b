"""One tiny run of the whole workflow for all tests here, and copies of it."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import Unavailable, install
from made_once import made_once
from places import Places
from playwright.sync_api import Browser, Page, sync_playwright
from tiny_workflow import TINY, Workflow, copy_checkout, empty_workflow


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, networks_folder: Path) -> Workflow:
    """The tiny run, made once per session; only to be read: `play` copies it.

    BRIGHT_TINY_RUN names a folder that keeps it between sessions.
    """
    kept = os.environ.get("BRIGHT_TINY_RUN")

    def make(folder: Path) -> None:
        if kept is None:
            said = empty_workflow(folder, networks_folder).run().text
            (folder / ".snakemake" / "said.txt").write_text(said)
            return
        folder = Path(kept)
        workflow = Workflow(folder) if folder.exists() else empty_workflow(folder, networks_folder)
        shutil.copy(TINY, folder / "config.yaml")
        said = workflow.run().text
        (folder / ".snakemake" / "said.txt").write_text(said)
        (folder / "results" / "work").rename(folder / "work")  # prune would remove snapshots of finished trainings
        workflow.python("bright_pipeline.commands", "prune", "config.yaml", "--yes")  # results of older code
        shutil.rmtree(folder / "results" / "work")  # prune's reservations
        (folder / "work").rename(folder / "results" / "work")

    made = made_once(tmp_path_factory, "tiny", make)
    return Workflow(Path(kept) if kept else made)


@pytest.fixture
def play(tiny_run: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the tiny run."""
    return tiny_run.copy(tmp_path / "copy")


@pytest.fixture(scope="session")
def exported(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder of the tiny run's models, made once per session; only to be read."""

    def make(folder: Path) -> None:
        tiny_run.python("bright_pipeline.commands", "export", "main", str(folder), "--config", "config.yaml")

    return made_once(tmp_path_factory, "exported", make)


@pytest.fixture
def changeable(play: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the tiny run with its own checkout, whose code a test may change."""
    return Workflow(play.folder, copy_checkout(tmp_path / "checkout"))


@pytest.fixture
def empty(tmp_path: Path) -> Workflow:
    """An empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return Workflow(folder)


@pytest.fixture(scope="session")
def places(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Folders in which the commands of the pages are typed."""
    return Places(tiny_run, tmp_path_factory)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the system's own, or Debian's where it can be installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    try:
        if not any(map(shutil.which, names)):
            install("Chromium", "chromium", "chromium", as_root=False)
    except Unavailable as reason:
        pytest.skip(str(reason))
    program = next(filter(None, map(shutil.which, names)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> str:
    """The page, on disk."""
    if page := os.environ.get("BRIGHT_PAGE"):
        return Path(page).resolve().as_uri()
    return request.getfixturevalue("tiny_run").path("results/tiny/report.html").as_uri()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages without a network; whatever a test does, they ask for nothing, and the console stays empty."""
    contexts, said, asked = [], [], []

    def visit(address: str, scheme: str = "light", width: int = 1280) -> Page:
        view = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
        contexts.append(browser.new_context(offline=True, permissions=["clipboard-read", "clipboard-write"], **view))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address, wait_until="load")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert [url[:80] for url in asked if not re.match(r"file:.*\.html|data:image/", url)] == []
