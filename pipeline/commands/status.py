"""Command: the state of a run: running jobs, progress of each training, images per second, time left.

It reads the jobs' records, also on another machine that shares the file system.
"""

import time
from collections import Counter
from textwrap import shorten
from typing import Annotated

import typer
from tabulate import tabulate

from pipeline.base.amounts import readable_duration
from pipeline.base.command import ConfigArgument, run_stage
from pipeline.base.paths import DEMO
from pipeline.base.records import State
from pipeline.config.root import read_config
from pipeline.plan.shards import ordered, shards
from pipeline.plan.states import JobState
from pipeline.stages.common import Jobs
from pipeline.stages.page import trainings

NOTE = 60  # characters
BROKEN = (State.FAILED, State.OUT_OF_MEMORY, State.SILENT, State.DAMAGED)


def status(
    config: ConfigArgument = DEMO,
    every: Annotated[float | None, typer.Option(min=1, help="Print the state again every so many seconds.")] = None,
) -> None:
    """Print running jobs, the progress of each training, images per second and time left; failed jobs with reasons."""
    jobs = Jobs(read_config(config))
    while True:
        print(text(str(config), jobs, job_states(jobs)), flush=True)
        if every is None:
            return
        time.sleep(every)
        print()


def job_states(jobs: Jobs) -> list[JobState]:
    """The state of each job that the config needs, shard by shard, in the order that data flows."""
    jobs.store.forget()
    return [JobState(shard) for job in ordered(jobs) for shard in shards(job)]


def text(config: str, jobs: Jobs, states: list[JobState]) -> str:
    """The whole state as text."""
    counts = Counter(state.state for state in states)
    others = [f"{counts[state]} {state}" for state in State if counts[state] and state != State.DONE]
    names: dict[tuple[str, str], list[str]] = {}  # of each training in the config, by (stage, digest)
    for kind, name, job in jobs(trainings):
        names.setdefault(job.key, []).append(f"{kind}s.{name}")
    trained: list[list[str]] = []
    running: list[list[str]] = []
    broken: list[list[str]] = []
    by_stage: dict[str, Counter[State]] = {}
    for state in states:
        job, record, active = state.job, state.record, state.state == State.RUNNING
        by_stage.setdefault(job.stage.name, Counter())[state.state] += 1
        if job.is_training:
            speed = _speed(state, _rate(record.get("rate")) if active else "")
            note = shorten(str(record.get("note", "")), NOTE) if active else ""
            entries = ", ".join(names.get(job.key, []))
            trained.append([entries, job.name, state.state, _progress(state), *speed, note])
        elif active:
            doing = str(record.get("description", ""))
            running.append([state.shard.log_name, doing, _progress(state), *_speed(state)])
        if state.state in BROKEN:
            since = readable_duration(state.silent_s)
            broken.append([state.shard.log_name, since, state.problem, str(state.shard.log)])
    stages = [
        [stage, f"{of_stage[State.DONE]} of {of_stage.total()}", str(of_stage[State.RUNNING] or "")]
        for stage, of_stage in by_stage.items()
    ]
    trained_columns = ["training", "folder", "state", "steps", "images/s", "steps/s", "left", "where", "last losses"]
    parts = [
        f"{config}: {', '.join([f'{counts[State.DONE]} of {len(states)} jobs done', *others])}",
        _table(trained_columns, trained),
        _table(["running", "doing", "done", "images/s", "left", "where"], running),
        _table(["failed", "since", "reason", "log"], broken),
        _table(["stage", "done", "running"], stages),
    ]
    return "\n\n".join(part for part in parts if part)


def _progress(state: JobState) -> str:
    done, total = state.steps
    if not total:
        return ""
    unit = "" if state.batch else f" {state.record.get('unit', '')}"
    return f"{done:,} of {total:,}{unit} ({done / total:.0%})"


def _speed(state: JobState, *other_rates: str) -> list[str]:
    """Images per second, other rates, time left, and the device and host of a running job."""
    if state.state != State.RUNNING:
        return ["", *other_rates, "", ""]
    images, left = state.images_per_s, state.left_s
    return [
        _rate(images),
        *other_rates,
        "" if left is None else readable_duration(left),
        " on ".join(str(state.record[key]) for key in ("device", "host") if state.record.get(key)),
    ]


def _rate(per_s: float | None) -> str:
    return f"{per_s:,.3g}" if per_s else ""


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A table without the columns that are empty in every row."""
    kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
    cells = [[row[index] for index in kept] for row in rows]
    names = [header[index] for index in kept]
    return tabulate(cells, names, tablefmt="simple", disable_numparse=True) if rows else ""


if __name__ == "__main__":
    run_stage(status)
