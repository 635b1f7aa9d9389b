"""A stage runs the code that its run was planned with, or ends with one line and leaves no output."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.base.code import ROOT, expected_code, split_arguments

OUTPUT = Path("results/store/toys/toy-0123456789ab/out")
# Writes the numbers of two modules: one imported at once, the other after the test has created a file `go`.
STAGE = f"""
import time
from pathlib import Path
from pipeline.base.atomic import write_text
from pipeline.base.command import LogOption, run_stage
from toy.early import EARLY

def stage(log: LogOption = None) -> None:
    Path("ready").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    try:
        from toy.late import LATE
    except Exception:  # as where another implementation replaces a module that cannot be imported
        LATE = 0
    write_text("{OUTPUT}", f"{{EARLY}} {{LATE}}")

if __name__ == "__main__":
    run_stage(stage)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package `toy` that has a stage; the project is this checkout."""
    (tmp_path / "toy").mkdir()
    for name, text in {"stage": STAGE, "early": "EARLY = 1\n", "late": "LATE = 1\n", "__init__": ""}.items():
        (tmp_path / "toy" / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def code(folder: Path) -> str:
    """The stage's `--code` before any edit."""
    script = "from pipeline.base.code import expected_code; print(expected_code(('toy.stage',)))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *words], text=True, stderr=subprocess.PIPE)


def wait_until_ready(folder: Path) -> None:
    until = time.monotonic() + 20
    while not (folder / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def assert_refused(process: subprocess.Popen[str], *words: str) -> None:
    """It ended with exit code 2 and one line with these words, and put nothing in place."""
    line = process.communicate(timeout=30)[1]
    assert process.returncode == 2, line
    assert line.count("\n") == 1
    assert all(text in line for text in ("error: stage: ", *words, "undo the edit, or start snakemake again"))
    assert not OUTPUT.exists()


@pytest.mark.parametrize("arguments", [("--code", "CODE"), ("--log", "stage.log", "--code", "CODE"), ()])
def test_planned_code_runs_and_without_the_option_any_code(folder: Path, code: str, arguments: tuple[str, ...]) -> None:
    (folder / "go").touch()
    process = start("toy.stage", *(code if word == "CODE" else word for word in arguments))
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
    assert OUTPUT.read_text() == "1 1"


@pytest.mark.parametrize("module", ["stage", "early", "late"])
def test_code_edited_since_the_plan_does_not_start(folder: Path, code: str, module: str) -> None:
    with (folder / "toy" / f"{module}.py").open("a") as file:
        file.write("ANOTHER_NUMBER = 1\n")
    process = start("toy.stage", "--code", code, "--log", "stage.log")
    assert_refused(process, "toy.stage", code.partition("=")[2], str(ROOT / "pipeline"))
    assert not (folder / "ready").exists()
    assert "start snakemake again" in (folder / "stage.log").read_text()


@pytest.mark.parametrize(("module", "text"), [("late", "LATE = 10\n"), ("early", "EARLY = 10\n"), ("late", "LATE =\n")])
def test_code_edited_while_the_stage_runs_leaves_no_output(folder: Path, code: str, module: str, text: str) -> None:
    process = start("toy.stage", "--code", code)
    wait_until_ready(folder)
    (folder / "toy" / f"{module}.py").write_text(text)
    (folder / "go").touch()
    assert_refused(process, str(folder / "toy" / f"{module}.py"))


def test_an_edited_comment_and_an_undone_edit_change_nothing(folder: Path, code: str) -> None:
    process = start("toy.stage", "--code", code)
    wait_until_ready(folder)
    (folder / "toy" / "early.py").write_text("EARLY = 10\n")
    (folder / "toy" / "early.py").write_text("EARLY = 1  # again\n")
    (folder / "go").touch()
    assert process.wait(30) == 0
    assert OUTPUT.read_text() == "1 1"


def test_the_launcher_passes_log_and_code_on(folder: Path, code: str) -> None:
    (folder / "go").touch()
    launcher = ("pipeline.base.launch", "--gpus", "0", "--log", "stage.log", "--", "toy.stage", "--code")
    assert start(*launcher, code).wait(30) == 0
    OUTPUT.unlink()
    assert_refused(start(*launcher, "toy.stage=0123456789abcdef"), "0123456789abcdef")


def test_another_checkouts_package_does_not_run_under_this_ones_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an installed package runs a Snakefile from elsewhere (`snakemake -s`, `--directory`)."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "pipeline" / "data" / "decode.py").open("a") as file:
        file.write("ANOTHER_NUMBER = 1\n")
    stage = ("pipeline.prepare_dataset", "--help", "--code", expected_code(("pipeline.prepare_dataset",)))
    found = subprocess.run([sys.executable, "-m", *stage], text=True, capture_output=True)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: prepare_dataset: the code of pipeline.prepare_dataset in {tmp_path}")


def test_arguments_behind_two_dashes_are_another_commands() -> None:
    assert split_arguments(["a", "--code", "x=1", "b"]) == ("x=1", ["a", "b"])
    behind = ["--gpus", "0", "--", "pipeline.x", "--code", "x=1"]
    assert split_arguments(behind) == (None, behind)
    assert split_arguments(["--code"]) == (None, ["--code"])
