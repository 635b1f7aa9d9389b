"""Two runs on one store: each result is made by one of them, and a training's work folder has one writer."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from bright_pipeline.base import locks
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import is_locked, lock_holder, lock_work_folder
from bright_pipeline.commands.prune import prune
from bright_pipeline.commands.verify import Damage, move_away
from bright_pipeline.engine import reservations as module
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.engine.checksums import read_sums
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.run import unfinished
from bright_pipeline.stages.tables import tables
from finished_plan import TINY, finish, make, tiny_plan

pytestmark = pytest.mark.usefixtures("own_folder")

TAKE = """
import sys
from pathlib import Path
from bright_pipeline.engine.reservations import Reservations
reservations = Reservations()
print(reservations.take(map(Path, sys.argv[1:])), flush=True)
sys.stdin.read()
"""
HOLD = """
import sys
from pathlib import Path
from bright_pipeline.base.locks import lock_work_folder
held = lock_work_folder(Path(sys.argv[1]))
print(None, flush=True)
sys.stdin.read()
"""


class Other:
    """Another process, which has reserved these paths, or holds the lock of one."""

    def __init__(self, *paths: Path, script: str = TAKE):
        command = [sys.executable, "-c", script, *map(str, paths)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "None\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_claim_of_a_folder_ends_with_its_run() -> None:
    folder, renamed, free = (Path(f"results/store/tables/{name}") for name in ("a-0123456789ab", "b-0123456789ab", "c"))
    assert not module.in_use(folder) and not module.RESERVATIONS.exists(), "looking writes nothing"
    other = Other(module.reservation_path(folder))
    assert module.in_use(folder) and module.in_use(renamed), "the digest counts, not the name"
    assert not module.in_use(free)
    other.end()
    assert not module.in_use(folder)


def test_claims_are_all_or_none() -> None:
    first, second = Path("a-000000000001"), Path("b-000000000002")
    other = Other(second)
    reservations = module.Reservations()
    assert reservations.take([first, second]) == second
    Other(first).end()  # a third process gets the released reservation
    other.end()
    assert reservations.take([first, second]) is None


def test_run_waits_for_another_runs_results_and_does_not_make_them_again() -> None:
    Path("results").mkdir()
    jobs = tiny_plan()
    table = jobs(tables)["table2"]
    make([job for job in jobs(planned).values() if job is not table])
    other, lines = Other(*module.to_make(unfinished(jobs))), list[str]()

    def report(line: str) -> None:
        lines.append(line)
        make([table])  # the other run has made it, and goes on with its own results

    needed, _ = module.reserve(jobs, lambda: unfinished(jobs), report)
    other.end()
    assert needed.jobs == []
    assert lines == [f"waiting for another run on this store, which makes results/store/tables/{table.digest}"]


def test_missing_networks_are_claimed() -> None:
    jobs = tiny_plan()
    paths = module.to_make(unfinished(jobs))
    weights = Path("results/networks/lpips_alex.safetensors")
    assert weights in paths
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert len(module.to_make(unfinished(jobs))) == len(paths) - 1
    assert not module.RESERVATIONS.exists()


def test_files_that_another_run_writes_are_not_moved_away(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("results/store/tables/table2-0123456789ab")
    folder.mkdir(parents=True)
    table = folder / "table.csv"
    table.touch()
    damages = [Damage("any", (table,))]
    other = Other(module.reservation_path(folder))
    assert move_away(damages) == 0
    assert table.exists()
    assert f"left, since a run or a training writes there now: {table}" in capsys.readouterr().err
    other.end()
    assert move_away(damages) == 1
    assert not table.exists()


def test_results_are_not_pruned_while_another_checkout_makes_anything(capsys: pytest.CaptureFixture[str]) -> None:
    finish(tiny_plan())
    unused = Path("results/store/tables/table2-0123456789ab")
    unused.mkdir(parents=True)
    other = Other(module.reservation_path(Path("results/store/tables/table5-ba9876543210")))
    prune([TINY])
    assert str(unused) in capsys.readouterr().out
    with pytest.raises(InputError, match="a run on these results is active, perhaps of another checkout"):
        prune([TINY], yes=True)
    assert unused.exists()
    other.end()
    prune([TINY], yes=True)
    assert not unused.exists()


def test_states_of_finished_trainings_are_removed_unless_something_still_needs_them() -> None:
    plan = tiny_plan()
    first, second, third = trainings = [job for job in plan(planned).values() if job.is_training]
    for job in trainings:
        job.work.mkdir(parents=True)
        for name in ("state.safetensors", "history.csv"):
            with atomic_path(job.work / name) as temporary:
                temporary.write_text("saved")
    finish(plan)
    weights = Path(second.outputs[0])
    weights.write_text("[]")  # of equal size
    other, training = Other(module.reservation_path(third.folder)), lock_work_folder(first.work)
    module.remove_states(plan)
    assert all(job.state.exists() for job in trainings), "it trains, its weights are damaged, another run makes it"
    training.close()
    other.end()
    weights.unlink()
    plan.store.forget()
    module.remove_states(plan)
    assert [job.state.exists() for job in trainings] == [False, True, False], "the second is not finished"
    assert (first.work / "history.csv").exists() and list(read_sums(first.work)) == ["history.csv"]


def test_second_writer_gets_an_error_that_names_the_first_or_its_lock(tmp_path: Path) -> None:
    work, lines = tmp_path / "work", list[str]()
    first = Other(work, script=HOLD)
    name = f"process {first.process.pid}"
    with pytest.raises(InputError, match=rf"work: {name} on .* trains here; wait for it to end, or stop"):
        lock_work_folder(work, patience_s=0.0, report=lines.append)
    assert len(lines) == 1 and f"waiting for {name} on" in lines[0]
    assert is_locked(work)
    held = lock_work_folder(work, patience_s=60.0, report=lambda line: first.end())
    assert lock_holder(work) != name
    held.close()
    assert not is_locked(work)


def test_file_system_without_locks_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    before = time.monotonic()
    assert not is_locked(tmp_path / "work") and not (tmp_path / "work").exists()
    lock_work_folder(tmp_path / "work").close()
    assert time.monotonic() - before < 30
    assert not is_locked(tmp_path / "work")
