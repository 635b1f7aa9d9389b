"""What runs, how far trainings are, images per second, time left: from the jobs' records."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.amounts import readable_duration
from bright_pipeline.commands.status import SILENT_S, JobState, job_states, outlook, text
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.records import State, record_path
from bright_pipeline.engine.shards import shards
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.evaluation import evaluation
from bright_pipeline.stages.generation import diffusion, samples
from bright_pipeline.stages.measurements import codes
from finished_plan import finish, tiny_plan, tiny_values


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    return tiny_plan()


def leave(log: Path, **changes: Any) -> None:
    """A record, as a job that has run for a minute leaves it."""
    now = time.time()
    record = {
        **{"state": "running", "error": "", "description": "train", "note": "loss 0.25", "process": 7},
        **{"done": 4, "total": 6, "unit": "steps", "rate": 0.5, "left_s": 4.0},
        **{"host": "node3", "device": "NVIDIA A100", "started_at": now - 60, "updated_at": now, "seconds": 60.0},
    }
    write_json(record_path(log), record | changes)


def training(plan: Jobs) -> JobState:
    (shard,) = shards(plan(diffusion, "main"))
    return JobState(shard)


def lines(plan: Jobs, word: str) -> list[str]:
    return [line for line in text("tiny.yaml", plan, job_states(plan)).splitlines() if word in line]


def test_before_a_run_everything_waits_and_after_it_everything_is_done(plan: Jobs) -> None:
    count = sum(len(shards(job)) for job in plan(planned).values())
    assert lines(plan, "jobs done") == [f"tiny.yaml: 0 of {count} jobs done, {count} waiting"]
    finish(plan)
    assert lines(plan, "jobs done") == [f"tiny.yaml: {count} of {count} jobs done"]


def test_a_running_training_tells_steps_images_per_second_time_left_device_and_losses(plan: Jobs) -> None:
    leave(training(plan).shard.log, left_s=3600.0)
    (line,) = lines(plan, "diffusions.main")
    assert [cell.strip() for cell in line.split("  ") if cell.strip()][2:6] == ["running", "4 of 6 (67%)", "4", "0.5"]
    assert "NVIDIA A100 on node3" in line and line.endswith("loss 0.25")
    assert "1:00:00" in line or "0:59:59" in line
    assert training(plan).images_per_s == 0.5 * 8, "a step has eight images"


def test_a_shard_counts_images_and_one_of_distances_counts_none(plan: Jobs) -> None:
    first, second = shards(plan(samples, "main"))
    leave(first.log, description="generate", unit="images", done=5, total=16, rate=2.5)
    (line,) = lines(plan, first.log_name)
    assert "5 of 16 images (31%)" in line and "2.5" in line
    assert (JobState(first).images_per_s, JobState(second).state) == (2.5, State.WAITING)
    leave(first.log, unit="rows of distances")
    assert JobState(first).images_per_s is None


def test_an_interrupted_training_is_as_far_as_its_saved_state(plan: Jobs) -> None:
    state = training(plan)
    leave(state.shard.log, state="interrupted", done=5)
    assert (state.state, state.steps) == (State.INTERRUPTED, (0, 6))
    state.job.work.mkdir(parents=True)
    (state.job.work / "history.csv").write_text("step,images,seconds,loss\n1,8,20,1\n3,24,60,1\n")
    assert training(plan).steps == (3, 6)
    (line,) = lines(plan, "diffusions.main")
    assert "interrupted" in line and "3 of 6 (50%)" in line and "node3" not in line


def test_jobs_that_vanished_failed_or_were_killed_for_memory_are_named_with_their_logs(plan: Jobs) -> None:
    log = training(plan).shard.log
    leave(log, updated_at=time.time() - SILENT_S - 1)
    (score,) = shards(plan(evaluation, "main", "efficientnet_lite0", 32))
    leave(score.log, state="failed", error="ValueError: no images")
    assert training(plan).state == State.SILENT
    told = "\n".join(lines(plan, ".log"))
    assert re.search(f"no sign of life: killed, or its node died +{log}", told)
    assert re.search(f"ValueError: no images +{score.log}", told)
    assert "1 silent, 1 failed" in lines(plan, "jobs done")[0]
    for changes, problem in (
        ({"state": "out of memory", "peak_mb": 50}, "killed for memory"),
        ({"updated_at": 0.0, "peak_mb": 90}, "killed for memory"),  # vanished near its limit
        ({"updated_at": 0.0, "peak_mb": 50}, "no sign of life"),
    ):
        leave(log, limit_mb=100, **changes)
        assert problem in training(plan).problem and problem in "".join(lines(plan, str(log)))


def test_imported_weights_are_no_training_and_their_records_are_found(own_folder: Path) -> None:
    values = tiny_values()
    values["diffusions"]["main"]["weights"] = {"kind": "ldm", "path": "model.ckpt"}
    plan = tiny_plan(values)
    job = plan(diffusion, "main")
    assert not lines(plan, "diffusions.main")
    (shard,) = shards(job)
    assert shard.log == Path(f"results/logs/import_weights-{job.name}-diffusion.log"), "as its rule says"
    leave(shard.log, description="", unit="", done=0, total=0)
    assert lines(plan, shard.log_name)


def test_records_of_every_kind_are_shown(plan: Jobs) -> None:
    (shard,) = shards(plan(codes, "main"))
    write_json(record_path(shard.log), {"state": "running", "updated_at": time.time(), "limit_mb": 1000, "peak_mb": 5})
    assert lines(plan, shard.log_name), "only its launcher has written"
    record_path(training(plan).shard.log).write_text('{"state": "run')
    assert training(plan).state == State.WAITING, "a partial record"
    finish(plan)
    leave(training(plan).shard.log)
    assert training(plan).state == State.DONE, "outputs count more than a record"


def test_trainings_have_their_names_in_the_config(own_folder: Path) -> None:
    values = tiny_values() | {"training_seeds": [0, 5]}
    values["autoencoders"]["twin"] = {"like": "main"}
    plan = tiny_plan(values)
    assert len(lines(plan, "autoencoders.main, autoencoders.twin ")) == 1
    assert len(lines(plan, "autoencoders.main-seed5, autoencoders.twin-seed5")) == 1


def test_the_outlook_weighs_trainings_by_their_time_and_names_running_jobs(plan: Jobs) -> None:
    """Without a rate of its own, a training takes as long per image as the others of its stage."""
    assert outlook(job_states(plan)) == "", "nothing runs"
    (shard,) = shards(plan(autoencoder, "main"))
    leave(shard.log, done=4, total=6, rate=2.0)
    first = outlook(job_states(plan))
    trained = [state for state in job_states(plan) if state.job.stage.name == "train_autoencoder"]
    left = sum(state.images_left[0] for state in trained) / 16  # eight images in a step, two steps a second
    share = 1 - left / (sum(state.images_left[1] for state in trained) / 16)
    assert first == f"trainings {share:.0%}, {readable_duration(left)} or more left; train_autoencoder main 67%"
    only = job_states(plan, [plan(autoencoder, "main")])
    assert outlook(only).startswith("trainings 67%, 0:00:01 left; "), "no other training is part of the run"
    leave(training(plan).shard.log, rate=1.0, done=3)
    both = outlook(job_states(plan))
    assert f", {readable_duration((left + 3) / 2)} left; " in both, "two trainings run side by side"
    assert both.endswith("train_autoencoder main 67%; train_diffusion main 50%")
    finish(plan)
    assert outlook(job_states(plan)) == ""
