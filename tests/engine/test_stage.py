"""What all stages' commands share: settings, one line for bad input and for errors of a disk, exit codes."""

import errno
import importlib
import logging
import os
import signal
import subprocess
import sys

import pytest
from bright_pipeline.engine.command import TERMINATED, read_settings, run_stage
from bright_pipeline.base.errors import InputError, disk_problem
from bright_pipeline.base.progress import log_to
from pydantic import BaseModel
from safetensors import SafetensorError


class Numbers(BaseModel):
    steps: int
    rate: float = 0.5


@pytest.fixture(autouse=True)
def restored_signals():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger("bright_pipeline").handlers.clear()


def run(command, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_stage(command)
    return ended.value.code


def test_settings_are_inline_json_or_a_json_or_yaml_file(tmp_path):
    texts = {"json": ' {"steps": 3, "rate": 0.25}', "yaml": "steps: 3\nrate: 0.25\n"}
    for kind, text in texts.items():
        (tmp_path / f"settings.{kind}").write_text(text)
    for argument in (texts["json"], *tmp_path.iterdir()):
        assert read_settings(Numbers, str(argument)) == Numbers(steps=3, rate=0.25)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ('{"steps": "many"}', "settings: steps: "),
        ('{"rate": 1}', "settings: steps: "),
        ('{"steps": ', "not a readable JSON"),
        ("nowhere.json", r"settings 'nowhere\.json': neither JSON nor a readable file"),
    ],
)
def test_wrong_settings_are_one_line(argument, message):
    with pytest.raises(InputError, match=message):
        read_settings(Numbers, argument)


def test_bad_input_ends_with_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    log_file = tmp_path / "stage.log"

    def stage() -> None:
        log_to(log_file)
        raise InputError("x.zip: contains no images;\nput some in")

    assert run(stage, monkeypatch) == 2
    assert capsys.readouterr().err == "error: x.zip: contains no images; put some in\n"
    assert log_file.read_text().endswith("error: x.zip: contains no images; put some in\n")


def test_by_hand_an_error_is_printed_once(monkeypatch, capsys):
    def stage() -> None:
        log_to(None)
        raise InputError("x.zip: contains no images")

    assert run(stage, monkeypatch) == 2
    assert capsys.readouterr().err == "error: x.zip: contains no images\n"


def test_sigterm_unwinds_and_exits_with_143(monkeypatch):
    unwound = []

    def stage() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            unwound.append(True)

    assert run(stage, monkeypatch) == TERMINATED == 128 + signal.SIGTERM
    assert unwound == [True]


def test_a_stage_is_a_command_with_help(monkeypatch, capsys):
    command = importlib.import_module("bright_pipeline.generate").generate_shard
    assert run(command, monkeypatch, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert command.__doc__ in shown and "--log" in shown and "The settings: JSON" in shown


def test_a_stage_of_no_entry_is_one_line() -> None:
    command = [sys.executable, "-m", "bright_pipeline.commands", "reconstruct", "x.yaml", ""]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_closed_pipe_ends_the_list_of_commands_as_other_programs() -> None:
    """As in `bright --help | head -1`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bright_pipeline.commands", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "any", "a.csv"), "a.csv: no space left on the device; free some space, then start the"),
        (OSError(errno.EROFS, "any", "a.csv"), "a.csv: the file system is read-only here"),
        (OSError(errno.EACCES, "any", "a.csv"), "a.csv: this user may not write here"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), f"{'a' * 200}: File name too long"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "no space left on the device"),
        *((error, None) for error in (OSError(errno.ENOENT, "any"), ValueError("28"), SafetensorError("(os error 2)"))),
    ],
)
def test_disk_error_is_one_line_and_others_are_none(error: Exception, line: str | None) -> None:
    found = disk_problem(error)
    assert found is None if line is None else found.startswith(line)
