"""Commands typed as the pages have them, in folders like those of their readers, and what must be true afterwards.

`documented` makes a test of it. Each must notice a command that does nothing: it has to fail in deaf places first.
"""

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from documented import ROOT, blocks
from PIL import Image
from repository import Repository
from tiny_workflow import TINY, Run, Workflow, copy_checkout

NOWHERE = "http://127.0.0.1:9"
NO_NETWORK = dict.fromkeys(("https_proxy", "http_proxy", "PIP_INDEX_URL"), NOWHERE) | {"PIP_RETRIES": "0"}
README, REFERENCE = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/reference.md"))
IMAGES, VALIDATION = 24, 4


class Place(Repository):
    """A folder with a checkout of its own; in a deaf one, commands do nothing."""

    def __init__(self, folder: Path, deaf: bool = False, looks: dict[tuple[Path, str], Run] | None = None):
        super().__init__(folder)
        self.deaf = deaf
        self.looks = {} if looks is None else looks

    def type(self, line: str, expect: int = 0, **environment: str) -> Run:
        """What a line of the shell did, where there is no network; `expect` is its exit code."""
        if self.deaf:
            return Run(0, "", 0.0)
        run = self.call("bash", "-euo", "pipefail", "-c", line, expect=expect, **NO_NETWORK | environment)
        assert "Traceback" not in run.text
        return run

    def look(self, line: str, expect: int = 0) -> Run:
        """The same of a line that changes nothing here: typed once."""
        if self.deaf:
            return self.type(line)
        key = (self.folder, line)
        if key not in self.looks:
            self.looks[key] = self.type(line, expect)
        return self.looks[key]

    def path(self, pattern: str) -> Path:
        """The one file or folder of that pattern."""
        found = sorted(self.folder.glob(pattern))
        assert len(found) == 1, f"{pattern}: {len(found)} of it"
        return found[0]

    def text(self, pattern: str) -> str:
        """What that file holds."""
        return self.path(pattern).read_text(encoding="utf-8")

    def files(self, folder: str) -> dict[str, bytes]:
        """All files of a folder, by their paths there."""
        root = self.folder / folder
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Places:
    """Where a group of commands is typed; the folders are made once for all of them."""

    run: Workflow
    folder: Path
    looks: dict[tuple[Path, str], Run] = field(repr=False)
    deaf: bool = False

    def silenced(self) -> "Places":
        """The same where no command does anything."""
        return replace(self, deaf=True)

    @property
    def fresh(self) -> Place:
        """A fresh clone with all configs as they are and no results, only to be looked at."""
        return self.made("fresh", self._clone)

    @property
    def finished(self) -> Place:
        """A clone whose config/demo.yaml is the tiny config, with its results; only to be looked at."""
        return self.made("finished", self._finish)

    def fresh_copy(self) -> Place:
        """A fresh clone that a command may change."""
        return self.copy_of(self.fresh)

    def copy(self) -> Place:
        """A finished clone that a command may change."""
        return self.copy_of(self.finished)

    def new_folder(self) -> Path:
        """The path of a folder that is not there yet."""
        return self.folder / f"{len(list(self.folder.iterdir())):03d}"

    def made(self, name: str, make: Callable[[Path], None]) -> Place:
        """The folder of that name, made once by `make`."""
        if not (self.folder / name).exists():
            make(self.folder / name)
        return Place(self.folder / name, self.deaf, self.looks)

    def copy_of(self, place: Place) -> Place:
        """A copy of a place, to be changed."""
        return Place(shutil.copytree(place.folder, self.new_folder(), symlinks=True), self.deaf)

    def _clone(self, folder: Path) -> None:
        copy_checkout(folder)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        (block,) = (text for text in blocks(README, "yaml") if text.startswith("run: mine-256"))
        (folder / "mine-256.yaml").write_text(block)

    def _without_older_results(self, place: Place) -> None:
        states = place.folder / "results" / "work"
        states.rename(place.folder / "work")  # of trainings that are done: these would go, too
        place.call("bright", "prune", "config/demo.yaml", "--yes")
        (place.folder / "work").rename(states)

    def _finish(self, folder: Path) -> None:
        self._clone(folder)
        shutil.copy(TINY, folder / "config" / "demo.yaml")
        shutil.copytree(self.run.folder / "results", folder / "results", symlinks=True)
        if "BRIGHT_TINY_RUN" in os.environ:  # one that was kept has results of older code, too
            self._without_older_results(Place(folder))
        for name in ("real", "generated"):
            write_images(folder / "data" / name)
        with zipfile.ZipFile(folder / "data" / "generated.zip", "w") as archive:
            for path in sorted((folder / "data" / "generated").iterdir()):
                archive.write(path, path.name)
        text = (ROOT / "config" / "small.yaml").read_text(encoding="utf-8").replace("/path/to/images", "data/real")
        (folder / "mine.yaml").write_text(text.replace("validation: 50", f"validation: {VALIDATION}"))


def write_images(folder: Path) -> None:
    """Small coloured noise, another one in each folder."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    for index in range(IMAGES):
        Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{index:03d}.png")


class Claim(NamedTuple):
    """A test that claims a command of the pages, and the page's words that it is about."""

    test: str
    says: tuple[str, ...]


CLAIMED: dict[str, list[Claim]] = {}
Check = Callable[[Places, str], None]


def documented(*commands: str, says: str | tuple[str, ...]) -> Callable[[Check], Check]:
    """A test that these commands, as they stand in a page, do what the page says of them in the words `says`."""

    def make(check: Check) -> Check:
        for command in commands:
            claim = Claim(f"{check.__module__}.{check.__name__}", (says,) if isinstance(says, str) else says)
            CLAIMED.setdefault(command, []).append(claim)

        @pytest.mark.parametrize("line", commands)
        @wraps(check)
        def test(places: Places, line: str) -> None:
            with pytest.raises((AssertionError, LookupError, OSError, ValueError)):
                check(places.silenced(), line)
            check(places, line)

        return test

    return make


def dry(line: str) -> str:
    """The dry run of a call of Snakemake."""
    return re.sub(r"^snakemake (?!-n)", "snakemake -n ", line)
