"""Command: the state of a run, from its jobs' records: running jobs, progress, images per second, time left."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from textwrap import shorten
from typing import Annotated, Any

import typer
from tabulate import tabulate

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.amounts import readable_duration
from bright_pipeline.base.paths import DEMO
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.checks import saved_step
from bright_pipeline.engine.damage import wrong_sizes
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.records import State, died_for_memory, read_record, record_path
from bright_pipeline.engine.shards import Shard, ordered, shards
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.page import trainings

NOTE = 60  # characters
LISTED = 4  # running jobs in a line
SILENT_S = 60.0  # a running stage writes its record every few seconds; after a minute it is dead
BROKEN = (State.FAILED, State.OUT_OF_MEMORY, State.SILENT, State.DAMAGED)


@dataclass(frozen=True)
class JobState:
    """A shard of a job at the time `now` (seconds since 1970)."""

    shard: Shard
    now: float = field(default_factory=time.time)

    @property
    def job(self) -> Job:
        return self.shard.job

    @cached_property
    def record(self) -> dict[str, Any]:
        """The record of the last attempt; empty if there was none."""
        return read_record(record_path(self.shard.log))

    @cached_property
    def state(self) -> State:
        """Determined by the outputs; without them, by the state and the age of the record."""
        recorded = self.record.get("state", State.WAITING)
        if self.shard.complete:
            return State.DAMAGED if self.damage else State.DONE
        if recorded == State.RUNNING and self.silent_s >= SILENT_S:
            return State.SILENT
        return State.WAITING if recorded == State.DONE else State(recorded)

    @property
    def silent_s(self) -> float:
        """Seconds since the record was written."""
        return self.now - float(self.record.get("updated_at", 0.0))

    @cached_property
    def steps(self) -> tuple[int, int]:
        """(done, total) in the record's unit; for a training that is not running, the steps of its saved state."""
        done, total = int(self.record.get("done", 0)), int(self.record.get("total", 0))
        if self.training and self.state != State.RUNNING:
            done = total if self.state == State.DONE else saved_step(self.job)
        return done, total

    @property
    def training(self) -> dict[str, Any]:
        """The settings of a training; {} for other jobs."""
        if not self.job.is_training:
            return {}
        return dict(self.job.settings[self.job.stage.name.removeprefix("train_")]["training"])

    @property
    def images_left(self) -> tuple[float, float]:
        """The images that a training has still to see, and all that it sees."""
        (done, _), batch = self.steps, self.training["batch"]
        total = self.training["steps"] * batch if "steps" in self.training else self.training["images"]
        return 0 if self.state == State.DONE else max(0, total - done * batch), total

    @property
    def images_per_s(self) -> float | None:
        """Images per second; None if the work is not counted in images."""
        rate = float(self.record.get("rate", 0.0))
        if self.training:
            return rate * int(self.training["batch"])
        return rate if str(self.record.get("unit", "")).endswith("images") else None

    @property
    def left_s(self) -> float | None:
        """Seconds left of a running job, if known."""
        left = self.record.get("left_s")
        return None if left is None else max(0.0, float(left) - self.silent_s)

    @cached_property
    def damage(self) -> list[str]:
        """One line for each output of the wrong size."""
        return list(wrong_sizes(self.job, self.shard.files))

    @property
    def problem(self) -> str:
        """The reason why an unfinished job ended, if its record shows it, or the damage of its results."""
        if self.state == State.DAMAGED:
            return "; ".join(self.damage)
        if self.state in (State.SILENT, State.OUT_OF_MEMORY) and died_for_memory(self.record):
            return "killed for memory; its next attempt asks for more"
        if self.state == State.SILENT:
            return "no sign of life: killed, or its node died"
        return str(self.record.get("error") or "see its log") if self.state == State.FAILED else ""


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


def job_states(jobs: Jobs, of: Iterable[Job] | None = None) -> list[JobState]:
    """The state of these jobs, or of all that the config needs in the order of the data flow, shard by shard."""
    jobs.store.forget()
    return [JobState(shard) for job in (ordered(jobs) if of is None else of) for shard in shards(job)]


def outlook(states: list[JobState]) -> str:
    """The share of the trainings' time that is over, the time left, and the running jobs; "" where none runs."""
    running = [state for state in states if state.state == State.RUNNING]
    trained = [state for state in states if state.job.is_training]
    known: dict[str, list[float]] = {}  # seconds per image of the trainings that have begun, by stage
    for state in trained:
        if state.images_per_s:
            known.setdefault(state.job.stage.name, []).append(1 / state.images_per_s)
    left_s = whole_s = 0.0
    for state in trained:  # by its own seconds per image, else the mean of those of its stage
        own = [1 / state.images_per_s] if state.images_per_s else known.get(state.job.stage.name, [0.0])
        left, whole = (images * fmean(own) for images in state.images_left)
        left_s, whole_s = left_s + left, whole_s + whole
    at_once = max(1, sum(state.job.is_training for state in running))
    unknown = any(state.job.stage.name not in known for state in trained)
    parts = []
    for state, (done, total) in ((state, state.steps) for state in running[:LISTED]):
        parts.append(f"{state.job.stage.name} {state.job.label}{f' {done / total:.0%}' if total else ''}")
    parts += [f"{len(running) - LISTED} more"] if len(running) > LISTED else []
    if running and left_s:
        time_left = readable_duration(left_s / at_once)
        parts.insert(0, f"trainings {1 - left_s / whole_s:.0%}, {time_left}{' or more' if unknown else ''} left")
    return "; ".join(parts)


def text(config: str, jobs: Jobs, states: list[JobState]) -> str:
    counts = Counter(state.state for state in states)
    others = [f"{counts[state]} {state}" for state in State if counts[state] and state != State.DONE]
    names: dict[tuple[str, str], list[str]] = {}  # of each training in the config, by (stage, digest)
    for kind, name, job in jobs(trainings):
        names.setdefault(job.key, []).append(f"{kind}s.{name}")
    trained, running, broken = list[list[str]](), list[list[str]](), list[list[str]]()
    by_stage: dict[str, Counter[State]] = {}
    for state in states:
        job, record, active = state.job, state.record, state.state == State.RUNNING
        by_stage.setdefault(job.stage.name, Counter())[state.state] += 1
        progress, speed, doing = _progress(state), [""] * 5, str(record.get("description", ""))
        if active:
            rates = [f"{rate:,.3g}" if rate else "" for rate in (state.images_per_s, record.get("rate"))]
            left = "" if state.left_s is None else readable_duration(state.left_s)
            where = " on ".join(str(record[key]) for key in ("device", "host") if record.get(key))
            speed = [*rates, left, where, shorten(str(record.get("note", "")), NOTE)]
        if job.is_training:
            trained.append([", ".join(names.get(job.key, [])), job.name, state.state, progress, *speed])
        elif active:
            running.append([state.shard.log_name, doing, progress, rates[0], left, where])
        if state.state in BROKEN:
            since = readable_duration(state.silent_s)
            broken.append([state.shard.log_name, since, state.problem, str(state.shard.log)])
    stages = [
        [stage, f"{by_state[State.DONE]} of {by_state.total()}", str(by_state[State.RUNNING] or "")]
        for stage, by_state in by_stage.items()
    ]
    trained_columns = ["training", "folder", "state", "steps", "images/s", "steps/s", "left", "where", "last losses"]
    parts = [
        f"{config}: {', '.join([f'{counts[State.DONE]} of {len(states)} jobs done', *others])}",
        outlook(states),
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
    unit = "" if state.training else f" {state.record.get('unit', '')}"
    return f"{done:,} of {total:,}{unit} ({done / total:.0%})"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A table without the columns that are empty in every row."""
    kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
    cells = [[row[index] for index in kept] for row in rows]
    names = [header[index] for index in kept]
    return tabulate(cells, names, tablefmt="simple", disable_numparse=True) if rows else ""
