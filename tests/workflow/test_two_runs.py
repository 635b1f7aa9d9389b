"""Two runs of one config on one store, each in a PID namespace of its own as in two containers, at the same time.

`make test` does it once, `make soak` twenty times (SOAK_RUNS).
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from forkserver import REAL_PROCESSES
from test_soak import final_files
from tiny_workflow import Workflow, empty_workflow

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("SOAK_RUNS", "1"))
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc")
TARGET = "table4"


def start(run: Workflow) -> "subprocess.Popen[str]":
    words = [*CONTAINER, *run.local_command(TARGET, "--cores", "1")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, cwd=run.folder, env=run.environment() | REAL_PROCESSES, text=True, **pipes)


def beside(run: Workflow, folder: Path) -> Workflow:
    """Another checkout whose results are the same ones."""
    folder.mkdir()
    shutil.copy(run.folder / "config.yaml", folder)
    (folder / "results").symlink_to(run.folder / "results")
    return Workflow(folder)


@pytest.mark.parametrize("number", range(TIMES))
def test_both_end_well_with_the_files_of_a_lone_run(
    tiny_run: Workflow, tmp_path: Path, networks_folder: Path, number: int
) -> None:
    one = empty_workflow(tmp_path / "one", networks_folder)
    other = beside(one, tmp_path / "other")
    processes = [start(run) for run in (one, other)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert min(text.count("Finished jobid") for text in said) == 0, "one of them has made everything"
    assert sum("waiting for another run on this store, which makes results/" in text for text in said) == 1
    expected = final_files(tiny_run)
    found = {path: digest for path, digest in final_files(one).items() if path.startswith(("store/", "identities/"))}
    assert any("autoencoders/" in path for path in found)
    assert {path: expected.get(path) for path in found} == found
    assert not list((one.folder / "results" / "store").rglob(".*"))
