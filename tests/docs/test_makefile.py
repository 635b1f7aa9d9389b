"""Targets of the Makefile, as `make -n` plans them on a machine without an environment."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from documented import ROOT, pages_of_commands

LINES = sorted(line for line in pages_of_commands() if re.match(r"(\w+=\S+ )*make ", line))
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
PROGRAMS = re.compile(r"bright|lint-imports|mypy|pytest|python(3(\.1[23])?)?|ruff|snakefmt|snakemake|sphinx-build")
OURS = re.compile(r"(?:config|docs|tests|tools|workflow)/[\w./-]+")
LOCKS = ("run", "test", "torch", "torch-cpu")
UNLOCKED = re.compile(r" --editable |https://download.pytorch.org/whl/cu\d+ torch==[\d.]+ torchvision==[\d.]+$")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Makefile alone, and an empty programs folder: nothing is installed, and make runs no Python."""
    folder = tmp_path_factory.mktemp("make")
    for path in ("Makefile", *(f"workflow/environments/{name}.txt" for name in LOCKS)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def planned(checkout: Path, line: str) -> list[str]:
    """The command lines of `make ... -n`, without a GPU and with two cores."""
    environment = {"PATH": os.environ["PATH"], "CORES": "2", "NVIDIA": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(f"{line} -n", shell=True, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith(("echo ", "test ", "touch ", "du "))]


def test_every_target_with_a_help_line_is_documented() -> None:
    named = {word for line in LINES for word in line.split() if word in TARGETS}
    assert set(TARGETS) - named == {"docs", "site", "release", "benchmark-demo"}, "for maintainers"


@pytest.mark.parametrize("line", LINES)
def test_a_documented_target_is_planned(checkout: Path, line: str) -> None:
    """It calls programs of the environment with files of the repository, and installs what is locked alone."""
    commands = planned(checkout, line)
    assert commands
    for command in (command.split(" || ")[0] for command in commands):
        words = [word for word in shlex.split(command, comments=True) if not re.match(r"[A-Z_]+=", word)]
        assert PROGRAMS.fullmatch(Path(words[0]).name), command
        mine = "one's own" if "/path/to/" in line or "mine.yaml" in line else None
        missing = [file for word in words for file in OURS.findall(word) if not (ROOT / file).exists()]
        assert missing == [] or mine, command
        if re.search(r"install(\.py)? ", command) and not UNLOCKED.search(command):
            assert "--require-hashes" in words or "--no-index" in words, command
    for option, value in re.findall(r"(CORES|CONFIG|UPGRADE|PYTHON)=(\S+)", line):
        assert any(value in command for command in commands), f"{option} has no effect"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("make setup", "--index-url https://download.pytorch.org/whl/cpu --no-deps --require-hashes"),
        ("make demo", "--index-url https://download.pytorch.org/whl/cpu --no-deps --require-hashes"),
        ("make setup TORCH=cu126", "--index-url https://download.pytorch.org/whl/cu126 torch=="),
        ("make setup TORCH=", "--no-deps --require-hashes"),
        ("NVIDIA=/usr/bin/nvidia-smi make setup", "--no-deps --require-hashes"),
        ("PIP_FIND_LINKS=/path/to/wheels make setup", "--no-index torch=="),
        ("PIP_FIND_LINKS=/path/to/wheels make setup TORCH=cpu", "--index-url https://download.pytorch.org/whl/cpu"),
    ],
)
def test_pytorch_comes_from_one_place(checkout: Path, line: str, place: str) -> None:
    (command,) = [command.split(" || ")[0] for command in planned(checkout, line) if "3/4 PyTorch" in command]
    assert place in command and command.count("index") == place.count("index") and "extra" not in command


def test_another_build_in_the_environment_is_one_line(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".run").write_text("cpu\n")
    called = {"PATH": os.environ["PATH"]}  # not the variables of a make that runs these tests
    done = subprocess.run(["make", "setup", "TORCH=cu128"], cwd=checkout, env=called, capture_output=True, text=True)
    shutil.rmtree(checkout / ".venv")
    assert done.stdout == "error: .venv has another build of PyTorch; remove .venv first\n"
