"""`bright --help` on a pipe whose reader has enough, such as `head -1`."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_reader_that_went_away_is_no_error_to_tell_of() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "pipeline.commands", "--help"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, ""), "as other commands end then"
