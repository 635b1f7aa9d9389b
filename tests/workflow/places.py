"""Folders like those of the pages' readers, in which tests type the pages' commands."""

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from documented import README, ROOT, blocks
from filelock import FileLock
from made_once import made_once
from PIL import Image
from pytest import TempPathFactory
from tiny_workflow import TINY, Run, Workflow, copy_checkout

NOWHERE = "http://127.0.0.1:9"
NO_NETWORK = dict.fromkeys(("https_proxy", "http_proxy", "PIP_INDEX_URL"), NOWHERE) | {"PIP_RETRIES": "0"}
IMAGES, VALIDATION = 24, 4  # of the collection in mine.yaml
PERSON = {
    f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in (("NAME", "A"), ("EMAIL", "a@b"))
}


class Place(Workflow):
    """A folder with its own checkout and, where it is one, a git and DVC repository."""

    def __init__(self, folder: Path):
        super().__init__(folder, folder)

    def environment(self) -> dict[str, str]:
        """DVC and git write into the test's folders alone; make finds two cores and no GPU."""
        own = {"CORES": "2", "NVIDIA": ""}
        own |= {"DVC_SITE_CACHE_DIR": str(self.folder.parent / "dvc-site"), "DVC_NO_ANALYTICS": "1"}
        return super().environment() | PERSON | own

    def git(self, *words: str) -> str:
        """The output of a git command."""
        return self.call("git", *words).text

    def dvc(self, *words: str, expect: int = 0) -> Run:
        return self.call("dvc", *words, expect=expect)

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def clone(self, folder: Path) -> "Place":
        """A fresh clone: only what git tracks."""
        self.git("clone", "--quiet", str(self.folder), str(folder))
        return Place(folder)

    def payloads(self) -> dict[str, bytes]:
        """The files of the store that git does not track, by path."""
        files = self.files("results/store")
        return {path: content for path, content in files.items() if not path.endswith(".dvc")}

    def type(self, line: str, expect: int = 0, **environment: str) -> Run:
        """Run shell lines without network access; `expect` is the exit code."""
        run = self.call("bash", "-euo", "pipefail", "-c", line, expect=expect, **NO_NETWORK | environment)
        assert "Traceback" not in run.text
        return run


@dataclass
class Places:
    """Named folders, made once per session by the first test process that asks, and copies of them."""

    run: Workflow
    factory: TempPathFactory
    typed: dict[tuple[Path, str, int], Run] = field(default_factory=dict, repr=False)

    def shared(self, name: str) -> Place:
        """The folder of that name, which no test may change."""
        make: Callable[[Path], object] = getattr(self, f"_make_{name}")
        return Place(made_once(self.factory, f"place-{name}", make))

    def copy(self, name: str) -> Place:
        """A copy of that folder, which a test may change."""
        folder = self.new_folder()
        if name == "clone":
            return self.shared("shared").clone(folder)
        return Place(shutil.copytree(self.shared(name).folder, folder, symlinks=True))

    def new_folder(self) -> Path:
        """The path of a folder that does not exist yet."""
        return self.factory.mktemp("place") / "folder"

    def look(self, name: str, line: str, expect: int = 0) -> Run:
        """Type a line that changes nothing, once; Snakemake locks a folder also for a run that fails at once."""
        place = self.shared(name)
        key = (place.folder, line, expect)
        if key not in self.typed:
            with FileLock(place.folder.with_suffix(".look")):
                self.typed[key] = place.type(line, expect)
        return self.typed[key]

    def _make_empty(self, folder: Path) -> None:
        folder.mkdir()

    def _make_fresh(self, folder: Path) -> None:
        """A fresh clone: all configs, no results."""
        copy_checkout(folder)
        for name in ("tools", "docs/csv"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        for text in [*blocks(README, "yaml"), *blocks((ROOT / "docs/one-gpu.md").read_text(), "yaml")]:
            path = folder / f"{yaml.safe_load(text)['run']}.yaml"
            path.write_text(text.replace("/path/to/images", "data/real"))

    def _make_finished(self, folder: Path) -> None:
        """A clone whose config/demo.yaml is the tiny config, with its results."""
        self._make_fresh(folder)
        shutil.copy(TINY, folder / "config" / "demo.yaml")
        shutil.copytree(self.run.folder / "results", folder / "results", symlinks=True)
        assert Place(folder).type("snakemake --cores 2").nothing_to_do  # its copies name this config file
        for name in ("real", "generated"):
            _write_images(folder / "data" / name)
        with zipfile.ZipFile(folder / "data" / "generated.zip", "w") as archive:
            for path in sorted((folder / "data" / "generated").iterdir()):
                archive.write(path, path.name)
        text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8").replace("/path/to/images", "data/real")
        (folder / "mine.yaml").write_text(text.replace("validation: 50", f"validation: {VALIDATION}"))

    def _make_public(self, folder: Path) -> None:
        """The finished clone with every file of the repository, in git."""
        shutil.copytree(self.shared("finished").folder, folder, symlinks=True)
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for file in listed.splitlines():
            if (ROOT / file).is_file() and not (folder / file).exists():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, folder / file)
        Place(folder).type("git init --quiet; git add -- . ':!results'; git commit -qm Code")

    def _make_tracked(self, folder: Path) -> None:
        """The same as a git and DVC repository: the code is committed, no result is tracked."""
        shutil.copytree(self.shared("finished").folder, folder, symlinks=True)
        (folder / "results/networks").unlink()
        ignored = shutil.ignore_patterns("tmp", "cache", "config.local")
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=ignored)
        for name in (".dvcignore", ".gitignore", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
        stage = folder / "dvc.yaml"
        stage.write_text(stage.read_text().replace("results/demo", "results/tiny"))
        Place(folder).type("git init --quiet; git add -- . ':!results'; git commit -qm Code")

    def _make_shared(self, folder: Path) -> None:
        """The same after the README's commands: tracked, committed, and pushed into the folder `FOLDER.remote`."""
        shutil.copytree(self.shared("tracked").folder, folder, symlinks=True)
        remote = f"dvc remote add -q --default colleagues {folder}.remote"
        Place(folder).type(f"{remote}; bright share; git add --all; git commit -qm 'Results of the demo'; dvc push")


def _write_images(folder: Path) -> None:
    """Small coloured noise that differs between folders."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    for index in range(IMAGES):
        Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{index:03d}.png")
