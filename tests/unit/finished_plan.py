"""A plan whose jobs can be marked as done, without running anything."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.config.root import load_config
from pipeline.plan.run import Plan

TINY = Path(__file__).parents[1] / "workflow" / "tiny.yaml"


def tiny_values() -> dict[str, Any]:
    """The tiny config of the workflow tests, as YAML gives it."""
    return yaml.safe_load(TINY.read_text(encoding="utf-8"))


def tiny_plan(values: dict[str, Any] | None = None) -> Plan:
    """The plan of the tiny config, or of a changed one, in the current folder."""
    return Plan(load_config(values if values is not None else tiny_values()))


def finish(plan: Plan) -> None:
    """Put a file in the place of every output, and publish."""
    for job in plan.jobs.values():
        job.folder.mkdir(parents=True, exist_ok=True)
        for output in job.outputs:
            Path(output).write_text("{}")
    plan.publish()
