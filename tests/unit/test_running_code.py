"""A stage refuses to run another code than its run was planned with."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.base.code import ROOT, expected_code
from pipeline.base.running_code import split_arguments

# Writes what two modules say: one that it imports at once, and one that it imports once a file `go` is there.
STAGE = """
import time
from pathlib import Path
from pipeline.base.atomic import write_text
from pipeline.base.command import LogOption, run_stage
from toy.early import EARLY

def stage(output: Path, log: LogOption = None) -> None:
    Path("ready").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    try:
        from toy.late import LATE
    except Exception:  # as where another implementation takes the place of one that cannot be imported
        LATE = 0
    write_text(output, f"{EARLY} {LATE}")

if __name__ == "__main__":
    run_stage(stage)
"""
# The same answer from a worker process, which imports anew.
MAP = """
from pathlib import Path
from pipeline.base.atomic import write_text
from pipeline.base.command import run_stage
from pipeline.data.prepare import ordered_map

def make():
    Path("ready").touch()
    while not Path("go").exists():
        pass
    from toy.early import EARLY
    return lambda task: EARLY

def stage(output: Path) -> None:
    write_text(output, str(list(ordered_map(make, [1, 2], workers=2))))

if __name__ == "__main__":
    run_stage(stage)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stage of one's own; the project is that of this test."""
    (tmp_path / "toy").mkdir()
    for name, text in {"stage": STAGE, "map": MAP, "early": "EARLY = 1\n", "late": "LATE = 1\n"}.items():
        (tmp_path / "toy" / f"{name}.py").write_text(text)
    (tmp_path / "toy" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def code(folder: Path) -> str:
    """What the workflow tells the stage: the digest of its code before any edit."""
    return planned("toy.stage")


def planned(root: str) -> str:
    script = f"from pipeline.base.code import expected_code; print(expected_code(({root!r},)))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *words], text=True, stderr=subprocess.PIPE)


def ready(folder: Path) -> None:
    until = time.monotonic() + 20
    while not (folder / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def refused(process: subprocess.Popen[str], folder: Path, *told: str) -> None:
    """It ended with exit code 2 and one line that tells this, and put nothing in place."""
    line = process.communicate(timeout=30)[1]
    assert process.returncode == 2, line
    assert line.count("\n") == 1
    assert all(text in line for text in ("error: stage: ", *told, "undo the edit, or start snakemake again"))
    assert not (folder / "out").exists()


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_code_of_the_plan_runs(folder: Path, code: str, place: str) -> None:
    (folder / "go").touch()
    arguments = ["--code", code, "out"] if place == "first" else ["out", "--log", "stage.log", "--code", code]
    process = start("toy.stage", *arguments)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
    assert (folder / "out").read_text() == "1 1"


def test_a_stage_by_hand_runs_whatever_its_code(folder: Path) -> None:
    (folder / "go").touch()
    assert start("toy.stage", "out").wait(30) == 0


@pytest.mark.parametrize("module", ["stage", "early", "late"])
def test_code_edited_since_the_plan_does_not_start(folder: Path, code: str, module: str) -> None:
    with (folder / "toy" / f"{module}.py").open("a") as file:
        file.write("ANOTHER_NUMBER = 1\n")
    process = start("toy.stage", "out", "--code", code, "--log", "stage.log")
    refused(process, folder, "toy.stage", code.partition("=")[2], str(ROOT / "pipeline"))
    assert not (folder / "ready").exists()
    assert "start snakemake again" in (folder / "stage.log").read_text()


def test_code_that_was_edited_and_is_undone_runs(folder: Path, code: str) -> None:
    (folder / "go").touch()
    (folder / "toy" / "late.py").write_text("LATE = 10\n")
    (folder / "toy" / "late.py").write_text("LATE = 1  # again\n")
    assert start("toy.stage", "out", "--code", code).wait(30) == 0


def test_code_edited_before_its_import_in_the_middle_of_the_work_puts_nothing_in_place(folder: Path, code: str) -> None:
    process = start("toy.stage", "out", "--code", code)
    ready(folder)
    (folder / "toy" / "late.py").write_text("LATE = 10\n")
    (folder / "go").touch()
    refused(process, folder, str(folder / "toy" / "late.py"), "edited after the start")


def test_code_edited_after_its_import_makes_the_results_that_were_planned(folder: Path, code: str) -> None:
    process = start("toy.stage", "out", "--code", code)
    ready(folder)
    (folder / "toy" / "early.py").write_text("EARLY = 10\n")
    (folder / "toy" / "late.py").write_text("LATE = 1  # a comment\n")
    (folder / "go").touch()
    assert process.wait(30) == 0
    assert (folder / "out").read_text() == "1 1"


def test_code_edited_while_the_stage_loads_does_not_start(folder: Path, code: str) -> None:
    """Between the first import of the project and the stage's first line lie the seconds in which torch loads."""
    (folder / "slow.py").write_text(
        "import runpy, sys, time\n"
        "from pathlib import Path\n"
        "import pipeline\n"
        "Path('ready').touch()\n"
        "while not Path('go').exists(): time.sleep(0.02)\n"
        "runpy.run_module('toy.stage', run_name='__main__')\n"
    )
    process = start("slow", "out", "--code", code)
    ready(folder)
    (folder / "toy" / "early.py").write_text("EARLY = 10\n")
    (folder / "go").touch()
    refused(process, folder, str(folder / "toy" / "early.py"), "edited after the start")


def test_a_worker_process_refuses_too(folder: Path) -> None:
    process = start("toy.map", "out", "--code", planned("toy.map"))
    ready(folder)
    (folder / "toy" / "early.py").write_text("EARLY = 10\n")
    (folder / "go").touch()
    assert process.communicate(timeout=60)[1].count("start snakemake again") >= 1
    assert process.returncode == 2
    assert not (folder / "out").exists()


def test_the_launcher_passes_log_and_code_on(folder: Path, code: str) -> None:
    (folder / "go").touch()
    launcher = ("pipeline.base.launch", "--gpus", "0", "--log", "stage.log", "--", "toy.stage", "out", "--code")
    assert start(*launcher, code).wait(30) == 0
    (folder / "out").unlink()
    process = start(*launcher, "toy.stage=0123456789abcdef")
    refused(process, folder, "0123456789abcdef")
    assert process.returncode == 2


def test_another_checkouts_package_does_not_run_under_this_ones_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an installed package runs a Snakefile from elsewhere (`snakemake -s`, `--directory`)."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stage = ("pipeline.prepare_dataset", "--help", "--code", expected_code(("pipeline.prepare_dataset",)))
    assert subprocess.run([sys.executable, "-m", *stage], stdout=subprocess.PIPE).returncode == 0
    with (tmp_path / "pipeline" / "data" / "decode.py").open("a") as file:
        file.write("ANOTHER_NUMBER = 1\n")
    found = subprocess.run([sys.executable, "-m", *stage], text=True, capture_output=True)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: prepare_dataset: the code of pipeline.prepare_dataset in {tmp_path}")


def test_what_stands_behind_two_dashes_is_another_commands() -> None:
    assert split_arguments(["a", "--code", "x=1", "b"]) == ("x=1", ["a", "b"])
    behind = ["--gpus", "0", "--", "pipeline.x", "--code", "x=1"]
    assert split_arguments(behind) == (None, behind)
    assert split_arguments(["--code"]) == (None, ["--code"])
