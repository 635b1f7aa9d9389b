"""How far the jobs of a plan are, from their outputs, records and saved states."""

import csv
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.base.records import State, died_for_memory, read_record, record_path
from pipeline.plan.damage import wrong_sizes
from pipeline.plan.shards import Shard
from pipeline.stages.common import Job

SILENT_S = 60.0  # a running stage writes its record every few seconds; after a minute it is dead


def saved_step(job: Job) -> int:
    """Steps in a training's saved state; its history is saved together with it."""
    try:
        with (job.work / "history.csv").open(newline="", encoding="utf-8") as file:
            return int(float(list(csv.DictReader(file))[-1]["step"]))
    except (OSError, ValueError, KeyError, IndexError):
        return 0


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
        """Outputs decide; without them the state and the age of the record."""
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
        """(done, total) in the record's unit; for a training that does not run, the steps of its saved state."""
        done, total = int(self.record.get("done", 0)), int(self.record.get("total", 0))
        if self.batch is not None and self.state != State.RUNNING:
            done = total if self.state == State.DONE else saved_step(self.job)
        return done, total

    @property
    def batch(self) -> int | None:
        """Images per step of a training; None for other jobs."""
        if not self.job.is_training:
            return None
        return int(self.job.settings[self.job.stage.name.removeprefix("train_")]["training"]["batch"])

    @property
    def images_per_s(self) -> float | None:
        """Images per second; None if the work is not counted in images."""
        rate = float(self.record.get("rate", 0.0))
        if self.batch is not None:
            return rate * self.batch
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
