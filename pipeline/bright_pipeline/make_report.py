"""Stage: make the page of a run, one HTML file that opens without a network."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import InputsArgument, stage
from bright_pipeline.base.progress import logger
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.records import RECORDS
from bright_pipeline.stages.page import ReportJob


@stage
def make_report(
    job: ReportJob,
    output: Annotated[Path, typer.Option(help="Where the page goes (html).")],
    inputs: InputsArgument = None,
    records: Annotated[Path, typer.Option(help="The folder of the jobs' records (json).")] = RECORDS,
) -> None:
    from bright_pipeline.figures.common import parse_inputs
    from bright_pipeline.page.page import render

    page = render(job, parse_inputs(inputs or []), records)
    write_text(output, page)
    logger.info("wrote %s, %.1f MB", output, len(page.encode()) / 1e6)
