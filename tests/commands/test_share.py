"""Which results are tracked, and when; that DVC then carries them is tests/workflow/test_sharing.py."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import STORE
from bright_pipeline.commands import share as command
from bright_pipeline.engine.jobs import planned
from bright_pipeline.plan.publish import LOCKS, dvc_file
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs, network
from bright_pipeline.stages.generation import samples
from finished_plan import TINY, finish, tiny_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    """A finished plan in a folder of its own."""
    plan = tiny_plan()
    finish(plan)
    return plan


def track(path: Path, files: int = 1) -> None:
    """Put a file there as DVC writes it."""
    outs = [{"md5": "0", "size": 1, "nfiles": files, "hash": "md5", "path": path.name}]
    dvc_file(path).write_text(yaml.safe_dump({"outs": outs}))


def test_every_finished_result_is_tracked_once(plan: Jobs) -> None:
    assert len(list(command.sharable([plan, plan]))) == len(plan(planned))
    Path(plan(samples, "main").outputs[0]).unlink()
    plan.store.forget()
    (STORE / "tables" / "table2-000000000000").mkdir()
    unfinished = plan(samples, "main").folder
    assert set(command.sharable([plan])) == {job.folder for job in plan(planned).values()} - {unfinished}


def test_folder_with_fewer_files_than_are_tracked_is_left_alone(plan: Jobs, capsys: Any) -> None:
    folder = plan(samples, "main").folder
    track(folder, files=3)
    assert folder in command.sharable([plan])
    track(folder, files=7)
    assert folder not in command.sharable([plan])
    assert f"3 of 7 files are here; dvc pull {folder} brings the others" in capsys.readouterr().err


def test_networks_are_tracked_unless_their_folder_is_a_link(plan: Jobs, tmp_path: Path, capsys: Any) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    weights = Path(network("lpips_alex"))
    (elsewhere / weights.name).write_text("weights")
    weights.parent.symlink_to(elsewhere)
    assert weights not in command.sharable([plan])
    assert "a link to another place" in capsys.readouterr().err
    weights.parent.unlink()
    shutil.copytree(elsewhere, weights.parent)
    assert weights in command.sharable([plan])


def test_reasons_to_track_nothing_are_one_line(plan: Jobs) -> None:
    def refused(reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            command.share([TINY])

    refused(r"no \.dvc folder here")
    LOCKS.mkdir(parents=True)
    (LOCKS / "0.output.lock").touch()
    refused("a run is active here")
    (LOCKS / "0.output.lock").unlink()
    shutil.rmtree(STORE)
    refused("no finished results here")


def test_git_ignores_payloads_and_holds_what_dvc_writes_beside_them(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    folders = [f"store/{stage.folder}/x-3fa9c1d20b7e" for stage in all_stages().values()]
    payloads = [*(f"{folder}/file.csv" for folder in folders), "networks/lpips_alex.safetensors", "demo/report.html"]
    payloads += ["demo/figures/fig01.png", "demo/figures/fig01.pdf"]
    held = [f"{path}.dvc" for path in (*folders, "networks/lpips_alex.safetensors")]
    held += ["demo/metrics.json", "demo/dvc.yaml", "identities/x.json", "accepted.json", "fingerprints/x.json"]
    command = ["git", "check-ignore", "--no-index", *(f"results/{path}" for path in (*payloads, *held))]
    ignored = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert set(ignored.stdout.split()) == {f"results/{path}" for path in payloads}


def test_fifty_thousand_results_are_tracked_in_calls_that_a_system_takes(own_folder: Path, monkeypatch: Any) -> None:
    (own_folder / ".dvc").mkdir()
    calls: list[list[str]] = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append(command) or done)
    paths = [STORE / "evaluations" / f"{'long-name-of-a-sample-set-' * 3}-{index:012x}" for index in range(50_000)]
    command.add(paths)
    assert [word for call in calls for word in call[5:]] == [str(path) for path in paths]
    assert all(sum(len(word) + 9 for word in call) < 2**21 for call in calls), "two megabytes of arguments on Linux"
