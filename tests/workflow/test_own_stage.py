"""A new stage needs a contract, a command and a rule, and nothing else."""

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

CONTRACT = '''

from pydantic import Field


class Brightness(Section):
    """Measure the mean brightness of a validation split."""

    images: int = Field(8, ge=1, description="Of the first so many images.")


MEASURE_BRIGHTNESS = Stage(
    "measure_brightness",
    folder="brightness",
    settings=Brightness,
    outputs={"summary": "brightness.json"},
    local=True,
    shown=lambda jobs: [jobs(brightness, name) for name in jobs.config.datasets],
)


def brightness(jobs: Jobs, name: str) -> Job:
    """The job that measures a dataset's brightness."""
    images = jobs(dataset, name)["validation.zip"]
    return jobs.job(MEASURE_BRIGHTNESS, f"datasets.{name}", {"images": 4}, inputs={"images": images})
'''

COMMAND = '''"""Stage: the mean brightness of a validation split."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.command import stage
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.stages.datasets import Brightness


@stage
def measure_brightness(
    job: Brightness,
    images: Annotated[Path, typer.Option(help="The validation split, a zip of PNGs.")],
    summary: Annotated[Path, typer.Option(help="Where the number goes (json).")],
) -> None:
    archive = ImageArchive(images)
    means = [float(archive.read(index).mean()) for index in range(job.images)]
    write_json(summary, {"brightness": sum(means) / len(means), "images": job.images})

'''

RULE = '''

rule measure_brightness:
    """Measure the mean brightness of a validation split."""
    input:
        upstream,
    output:
        **outputs("measure_brightness"),
    log:
        "results/logs/measure_brightness-{name}-{digest}.log",
    localrule: True
    params:
        entry=entry,
        command=command,
    message:
        "Measuring the brightness of {params.entry}"
    shell:
        start("{params.command} --log {log:q}")
'''


def test_a_new_stage_runs_and_is_run_again_like_any_other(changeable: Workflow) -> None:
    command, checkout = "pipeline/bright_pipeline/measure_brightness.py", changeable.checkout
    files = {
        "pipeline/bright_pipeline/stages/datasets.py": CONTRACT,
        command: COMMAND,
        "workflow/rules/datasets.smk": RULE,
    }
    for file, text in files.items():
        with (checkout / file).open("a") as module:
            module.write(text)

    assert changeable.run().jobs == {"measure_brightness": 1, "make_report": 1}, "the page lists all jobs"
    (folder,) = changeable.folders("brightness")
    assert folder.name.startswith("tiny-")
    assert changeable.run().nothing_to_do
    assert "measure_brightness" in changeable.python("bright_pipeline.commands.status", "config.yaml").text
    (folder / "brightness.json").unlink()
    said = changeable.call("bright", "measure_brightness", "config.yaml", "datasets.tiny").text
    assert (folder / "brightness.json").exists(), said
    changeable.add_number(command)
    assert changeable.run("-n").jobs == {"measure_brightness": 1, "make_report": 1}, "its digest follows its code"
    listed = changeable.call("bright").text
    assert " ".join(listed.split()).count("measure_brightness the mean brightness of a validation split.") == 1
