"""Stage: compare the trials of a study by their per-image metrics (csv): inputs ENTRY.NUMBER#SEED=PER_IMAGE."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import InputsArgument, stage
from bright_pipeline.base.parsing import named_paths
from bright_pipeline.stages.tables import StudyJob


@stage
def make_study(
    job: StudyJob,
    inputs: InputsArgument = None,
    csv: Annotated[Path | None, typer.Option(help="Where the machine-readable table goes.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where the Markdown goes.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Where the LaTeX goes.")] = None,
    parts: Annotated[Path | None, typer.Option(help="Where the table as shown goes, in parts (json).")] = None,
) -> None:
    from bright_pipeline.tables.render import write_table
    from bright_pipeline.tables.studies import build_study

    table = build_study(job, named_paths(inputs or []))
    write_table(table, csv, markdown, latex, parts)
