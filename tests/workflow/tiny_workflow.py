"""Calls of Snakemake in their own folders, on the tiny config or another one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forkserver
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")

ENDS_WITHIN_S = 1000  # a command: before the test is ended (Makefile)

# Jobs of the tiny config: those that need the metrics' code, the diffusion model, and, for Table 2, a trained
# autoencoder.
AFTER_METRICS = {"score_features": 5, "make_table": 6, "make_report": 1}
AFTER_DIFFUSION = {
    "train_diffusion": 1,
    "generate": 2,
    "extract_features": 1,
    "score_features": 2,
    "nearest_neighbours": 1,
    "make_table": 5,
    "explore_codes": 1,
    "make_figure": 10,
    "make_report": 1,
}
TABLE2_ALONE = {"reconstruct": 1, "extract_features": 2, "score_features": 1, "make_table": 1, "table2": 1}


@dataclass
class Run:
    """What a command printed, and its exit code."""

    text: str
    code: int = 0

    @property
    def jobs(self) -> dict[str, int]:
        """Snakemake's table of job counts, without the default target and the total; empty if nothing is to do."""
        table = re.search(r"^job +count\n[- ]+\n((?:\S+ +\d+\n)+)", self.text, re.MULTILINE)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {name: int(count) for name, count in rows if name not in ("all", "total")}

    @property
    def nothing_to_do(self) -> bool:
        """Whether all results existed."""
        return "Nothing to be done" in self.text and not self.jobs


class Workflow:
    """A folder with a config and results, in which a checkout's workflow runs."""

    def __init__(self, folder: Path, checkout: Path = REPOSITORY):
        self.folder, self.checkout = folder, checkout

    def run(self, *arguments: str, expect: int | None = 0, **environment: str) -> Run:
        """Run the workflow on this folder's config.yaml, with more arguments."""
        return self.call(*self.local_command(*arguments), expect=expect, **environment)

    def start(
        self, *arguments: str, before: Iterable[str] = (), real: bool = True, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start the workflow, as real processes or forks; its output is dropped unless `options` of Popen differ."""
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        environment = self.environment() | (forkserver.REAL_PROCESSES if real else {})
        command = [*before, *self.local_command(*arguments)]
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **streams)

    def local_command(self, *arguments: str) -> list[str]:
        command = ["snakemake", "--snakefile", str(self.checkout / "Snakefile")]
        if (self.folder / "config.yaml").exists() and "--configfile" not in arguments:
            command += ["--configfile", "config.yaml"]
        return [*command, "--cores", "2", *arguments]

    def python(self, module: str, *arguments: str, expect: int = 0) -> Run:
        """Run one of the checkout's modules in this folder."""
        return self.call("python", "-m", module, *arguments, expect=expect)

    def call(self, *command: str, expect: int | None = 0, **environment: str) -> Run:
        """Run a command in this folder; `expect` is its exit code, None any."""
        variables, streams = self.environment() | environment, {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            done = subprocess.run(command, cwd=self.folder, env=variables, text=True, timeout=ENDS_WITHIN_S, **streams)
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"{late}; it said: {(late.output or b'')[-5000:].decode(errors='replace')}", pytrace=False)
        assert expect in (None, done.returncode), done.stdout[-5000:]
        return Run(done.stdout, done.returncode)

    def environment(self) -> dict[str, str]:
        """This environment, with the fork server's programs on the PATH and the checkout's package first."""
        path = os.pathsep.join([str(forkserver.commands()), str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.checkout / "pipeline")}

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change this folder's config."""
        path = self.folder / "config.yaml"
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs once in a file of the checkout."""
        path = self.checkout / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        path.write_text(text.replace(old, new))

    def add_number(self, *files: str) -> None:
        """Append an unused number to modules of the checkout, which changes their digests."""
        for file in files:
            with (self.checkout / file).open("a") as module:
                module.write("\n\nANOTHER_NUMBER = 1\n")

    def folders(self, section: str) -> list[Path]:
        """The result folders of a section of the store."""
        return sorted(path for path in (self.folder / "results" / "store" / section).iterdir() if path.is_dir())

    def path(self, pattern: str) -> Path:
        """The only file or folder that matches the pattern."""
        found = sorted(self.folder.glob(pattern))
        assert len(found) == 1, f"{pattern}: {len(found)} matches"
        return found[0]

    def text(self, pattern: str) -> str:
        """The content of that file."""
        return self.path(pattern).read_text(encoding="utf-8")

    def files(self, pattern: str) -> dict[str, bytes]:
        """All files whose paths match the pattern, or that are in a folder that does."""
        found = [path for match in self.folder.glob(pattern) for path in (match, *match.rglob("*"))]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found if path.is_file()}

    def remove(self, *patterns: str) -> None:
        """Remove the files and folders that match the patterns."""
        for pattern in patterns:
            found = list(self.folder.glob(pattern))
            assert found, f"nothing matches {pattern}"
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def copy(self, folder: Path) -> "Workflow":
        """A copy of this run, with its link to the networks and Snakemake's own folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workflow(folder, self.checkout)

    def with_own_networks(self) -> "Workflow":
        """Replace the link to the networks by a copy that a test may change."""
        networks = self.folder / "results" / "networks"
        source = networks.resolve()
        networks.unlink()
        shutil.copytree(source, networks)
        return self


def empty_workflow(folder: Path, networks: Path) -> Workflow:
    """A folder with the tiny config and the networks, and nothing else."""
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "networks").symlink_to(networks.resolve())
    shutil.copy(TINY, folder / "config.yaml")
    return Workflow(folder)


def copy_checkout(folder: Path) -> Path:
    """Copy the files that a checkout needs to run, compiled modules included."""
    for name in ("pipeline", "workflow", "config", "profiles"):
        ignored = shutil.ignore_patterns("*.pyc.*")  # being written
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored, symlinks=True)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    return folder


def add_own_modules(folder: Path) -> None:
    """Modules of a user with names that this project has; none of them can be imported."""
    for name in ("pipeline", "pipeline/models", "data", "models"):
        (folder / name).mkdir()
    for name in ("pipeline", "pipeline/__init__", "pipeline/models/__init__", "data/__init__", "models/__init__"):
        (folder / f"{name}.py").write_text("raise ImportError('a module of the user')")
