"""Commands of the fork server behave like real ones: words, streams, environment, exit codes, signals."""

import json
import os
import signal
import socket
import subprocess
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
    """A folder with a package of the project's name, like a test's checkout."""
    (tmp_path / "bright_pipeline").mkdir()
    (tmp_path / "bright_pipeline" / "__init__.py").touch()  # else the installed package comes first
    (tmp_path / "bright_pipeline" / "story.py").write_text(MODULE)
    return tmp_path


def environment(**others: str) -> dict[str, str]:
    return {"PATH": f"{commands()}{os.pathsep}{os.environ['PATH']}", **others}


def start(folder: Path, *words: str, **others: str) -> "subprocess.Popen[str]":
    command = ["python", "-m", "bright_pipeline.story", *words]
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=folder, env=environment(**others), text=True, **streams)


@pytest.mark.parametrize("real", [{}, REAL_PROCESSES], ids=["forked", "real"])
def test_a_command_has_its_words_streams_folder_and_environment(folder: Path, real: dict[str, str]) -> None:
    said, errors = start(folder, "a b", "--c", OMP_NUM_THREADS="1", MINE="yes", **real).communicate("typed")
    words, typed, where, variables, threads, first, number, python, parent = json.loads(said)
    assert (words, typed, threads, python, errors) == (["a b", "--c"], "typed", 1, "python", "")
    assert Path(where) == Path(first) == folder
    assert variables.items() >= environment(MINE="yes", OMP_NUM_THREADS="1").items()
    assert (parent == os.getpid()) == bool(real), "only a real process is a child of this one"
    assert json.loads(start(folder, **real).communicate("")[0])[6] != number, "each command has its own random numbers"


def test_an_exit_code_and_its_message_are_forwarded(folder: Path) -> None:
    process = start(folder, "leave")
    assert process.communicate("")[1] == "a last line\n"
    assert process.returncode == 1


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_reach_the_command(folder: Path, name: signal.Signals) -> None:
    """A killed client cannot forward its signal: the command ends all the same, and closes the pipe."""
    process = start(folder, "sleep")
    assert process.stdout and process.stdout.readline() == "asleep\n"
    process.send_signal(name)
    _, errors = process.communicate("", timeout=30)
    assert process.returncode == -name
    assert ("KeyboardInterrupt" in errors) == (name == signal.SIGINT)


@pytest.mark.parametrize("sent", [b"", b'{"arguments": ['], ids=["nothing", "a part"])
def test_a_client_that_is_killed_while_it_sends_its_job_stops_no_other_command(folder: Path, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(commands() / "socket"))
        client.sendall(sent)
    process = start(folder, "leave")
    assert process.communicate("", timeout=30)[1] == "a last line\n"
