"""One tiny run of the whole workflow for all tests here, and copies of it to play with."""

import os
import shutil
from pathlib import Path

import pytest
from made_once import made_once
from places import Places
from tiny_workflow import TINY, Workflow, copy_checkout, empty_workflow


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, networks_folder: Path) -> Workflow:
    """The tiny run, made once per session; only to be read: `play` copies it.

    BRIGHT_TINY_RUN names a folder that keeps it between sessions, for work on these tests.
    """
    kept = os.environ.get("BRIGHT_TINY_RUN")

    def make(folder: Path) -> None:
        folder = Path(kept) if kept else folder
        workflow = Workflow(folder) if folder.exists() else empty_workflow(folder, networks_folder)
        shutil.copy(TINY, folder / "config.yaml")
        workflow.run()

    made = made_once(tmp_path_factory, "tiny", make)
    return Workflow(Path(kept) if kept else made)


@pytest.fixture
def play(tiny_run: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the tiny run."""
    return tiny_run.copy(tmp_path / "copy")


@pytest.fixture
def changeable(play: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the tiny run with a checkout of its own, whose code can be changed."""
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
