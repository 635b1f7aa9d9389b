"""A plan whose jobs can be marked as done, without running anything."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from bright_pipeline.config.root import load_config
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.plan.publish import publish
from bright_pipeline.stages.common import Jobs

TINY = Path(__file__).parents[1] / "workflow" / "tiny.yaml"
VALUES = yaml.safe_load(TINY.read_text(encoding="utf-8"))


def tiny_values() -> dict[str, Any]:
    """The tiny config of the workflow tests, as YAML gives it."""
    return copy.deepcopy(VALUES)


def put(config: dict[str, Any], key: str, value: object) -> None:
    """Set a key of a config, such as `diffusions.main.seed`."""
    *sections, name = key.split(".")
    for part in sections:
        config = config.setdefault(part, {})
    config[name] = value


def with_key(key: str, value: object) -> dict[str, Any]:
    """The tiny config with one key set."""
    put(config := tiny_values(), key, value)
    return config


def tiny_plan(values: dict[str, Any] | None = None) -> Jobs:
    """The jobs of the tiny config, or of a changed one, in the current folder."""
    return Jobs(load_config(values if values is not None else tiny_values()))


def new_jobs(values: dict[str, Any]) -> list[Job]:
    """The jobs that a changed config has and the tiny one has not."""
    before, after = tiny_plan()(planned), tiny_plan(values)(planned)
    return [job for key, job in after.items() if key not in before]


def make(jobs: Iterable[Job], content: str = "{}") -> None:
    """Put a file in the place of every output of these jobs."""
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        for output in job.outputs:
            Path(output).write_text(content)


def finish(jobs: Jobs) -> None:
    """Put a file in the place of every output of the plan, and publish."""
    make(jobs(planned).values())
    publish(jobs, str(TINY))
