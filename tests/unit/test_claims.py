"""A run claims what it makes; another one waits until that is there, and makes none of it again."""

import subprocess
import sys
from pathlib import Path

import pytest
from finished_plan import make, tiny_plan

from pipeline.commands.verify import Finding, Kind, move_away
from pipeline.plan.claims import CLAIMS, Claims, claim, claimed_as, in_use, to_make
from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned
from pipeline.stages.tables import tables

HOLD = """
import sys
from pathlib import Path
from pipeline.plan.claims import Claims
claims = Claims(Path("results/work/claims"))
assert claims.take(map(Path, sys.argv[1:])) is None
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Other:
    """Another process that claims these paths until `end`."""

    def __init__(self, *paths: Path):
        root = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", HOLD, *map(str, paths)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env={"PYTHONPATH": root}, text=True, **pipes)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_what_one_process_claims_no_other_gets_until_it_dies() -> None:
    folder = Path("results/store/datasets/any-0123456789ab")
    renamed, free = folder.with_name("other-0123456789ab"), folder.with_name("any-ffffffffffff")
    assert not in_use(folder)
    other = Other(Path("results/store/datasets/0123456789ab"))
    assert in_use(folder)
    assert in_use(renamed), "the digest counts, not the name"
    assert not in_use(free)
    other.end()
    assert not in_use(folder)


def test_all_or_none_in_use() -> None:
    first, second = Path("a-000000000001"), Path("b-000000000002")
    other = Other(second)
    claims = Claims()
    assert claims.take([first, second]) == second
    Other(first).end()  # a third process gets what was let go
    other.end()
    assert claims.take([first, second]) is None


def test_a_run_waits_for_another_ones_results_and_makes_none_of_them_again() -> None:
    Path("results").mkdir()
    jobs = tiny_plan()
    table = jobs(tables)["table2"]
    make([one for one in jobs(planned).values() if one is not table])
    other = Other(*to_make(unfinished(jobs)))
    said: list[str] = []

    def ended(line: str) -> None:
        said.append(line)
        make([table])  # the other run has made it, and goes on with what is not ours

    needed, _ = claim(jobs, lambda: unfinished(jobs), ended)
    other.end()
    assert needed.jobs == []
    assert said == [f"waiting for another run on this store, which makes results/store/tables/{table.digest}"]


def test_a_network_that_has_to_be_fetched_is_claimed_too() -> None:
    jobs = tiny_plan()
    paths = to_make(unfinished(jobs))
    assert Path("results/networks/lpips_alex.safetensors") in paths
    Path("results/networks").mkdir(parents=True)
    Path("results/networks/lpips_alex.safetensors").touch()
    assert len(to_make(unfinished(jobs))) == len(paths) - 1
    assert not CLAIMS.exists(), "nothing is written by looking"


def test_what_another_run_writes_now_is_not_moved_aside(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("results/store/tables/table2-0123456789ab")
    folder.mkdir(parents=True)
    unfinished_file = folder / ".table.0.1.2.partial.csv"
    unfinished_file.touch()
    found = [Finding(Kind.LEFT_OVER, "any", (unfinished_file,))]
    other = Other(claimed_as(folder))
    assert move_away(found) == 0
    assert unfinished_file.exists()
    assert f"left, since a run or a training writes there now: {unfinished_file}" in capsys.readouterr().err
    other.end()
    assert move_away(found) == 1
    assert not unfinished_file.exists()
