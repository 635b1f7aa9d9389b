"""Two simultaneous runs of one config on one store, each in its own PID namespace, as in two containers.

`make test` does it once, `make soak` twenty times (SOAK_RUNS).
"""

import os
import shutil
import subprocess

import pytest
from test_soak import final_files
from tiny_workflow import Workflow, empty_workflow

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("SOAK_RUNS", "1"))
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc")
TARGET = "table4"


@pytest.mark.parametrize("number", range(TIMES))
def test_both_end_well_with_the_files_of_a_lone_run(tiny_run, tmp_path, networks_folder, number):
    one = empty_workflow(tmp_path / "one", networks_folder)
    other = Workflow(tmp_path / "other")  # with the same results
    other.folder.mkdir()
    shutil.copy(one.folder / "config.yaml", other.folder)
    (other.folder / "results").symlink_to(one.folder / "results")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    processes = [run.start(TARGET, "--cores", "1", before=CONTAINER, **pipes) for run in (one, other)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert min(text.count("Finished jobid") for text in said) == 0, "one of them has made everything"
    assert sum("waiting for another run on this store, which makes results/" in text for text in said) == 1
    expected = final_files(tiny_run)
    found = {path: digest for path, digest in final_files(one).items() if path.startswith(("store/", "identities/"))}
    assert any("autoencoders/" in path for path in found)
    assert {path: expected.get(path) for path in found} == found
    assert not list((one.folder / "results" / "store").rglob(".*"))
