"""The commands that the workflow tests start are what the real ones are: words, streams, environment, endings."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from forkserver import REAL_PROCESSES, commands

MODULE = """
import json, os, pathlib, random, sys, time
import torch
if sys.argv[1:] == ["sleep"]:
    print("asleep", flush=True)
    time.sleep(60)
if sys.argv[1:] == ["leave"]:
    sys.exit("a last line")
print(json.dumps([sys.argv[1:], sys.stdin.read(), os.getcwd(), dict(os.environ), torch.get_num_threads(), sys.path[0],
                  random.random(), pathlib.Path(sys.executable).name, os.getppid()]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a package of the project's name, as a test's own checkout has."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "story.py").write_text(MODULE)
    return tmp_path


def environment(**further: str) -> dict[str, str]:
    return {"PATH": f"{commands()}{os.pathsep}{os.environ['PATH']}", **further}


def start(folder: Path, *words: str, **further: str) -> "subprocess.Popen[str]":
    command = ["python", "-m", "pipeline.story", *words]
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=folder, env=environment(**further), text=True, **streams)


@pytest.mark.parametrize("real", [{}, REAL_PROCESSES], ids=["forked", "real"])
def test_a_command_has_its_words_streams_folder_and_environment(folder: Path, real: dict[str, str]) -> None:
    said, errors = start(folder, "a b", "--c", OMP_NUM_THREADS="1", MINE="yes", **real).communicate("typed")
    words, typed, where, variables, threads, first, _, python, parent = json.loads(said)
    assert (words, typed, threads, python, errors) == (["a b", "--c"], "typed", 1, "python", "")
    assert Path(where) == Path(first) == folder
    assert variables.items() >= environment(MINE="yes", OMP_NUM_THREADS="1").items()
    assert (parent == os.getpid()) == bool(real), "only a real process is a child of this one"


def test_two_commands_draw_other_numbers(folder: Path) -> None:
    numbers = {start(folder).communicate("")[0].rpartition("]")[0].split(", ")[-3] for _ in range(2)}
    assert len(numbers) == 2


def test_an_ending_is_passed_on(folder: Path) -> None:
    process = start(folder, "leave")
    assert process.communicate("")[1] == "a last line\n"
    assert process.returncode == 1


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command(folder: Path, name: signal.Signals) -> None:
    process = start(folder, "sleep")
    assert process.stdout
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(name)
    _, errors = process.communicate("", timeout=30)
    assert process.returncode == -name
    assert ("KeyboardInterrupt" in errors) == (name == signal.SIGINT)


def test_a_command_whose_client_is_killed_ends(folder: Path) -> None:
    process = start(folder, "sleep")
    assert process.stdout
    process.stdout.readline()
    process.kill()
    began = time.monotonic()
    assert process.stdout.read() == "", "the pipe closes with its last writer"
    assert time.monotonic() - began < 30, "it slept to its end"
    process.communicate()


def test_programs_are_there_by_their_names(folder: Path) -> None:
    for name, option, words in (
        ("snakemake", "--version", "9."),
        ("dvc", "--version", "3."),
        ("bright", "--help", "bright "),
    ):
        done = subprocess.run(
            [name, option], cwd=Path(__file__).parents[2], env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(words)
