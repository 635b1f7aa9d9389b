"""Stage: draw one figure: of the paper, beyond the paper, or the loss curves."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import InputsArgument, stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import logger
from bright_pipeline.families import load
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.stages.figures import FigureJob


@stage
def make_figure(
    job: FigureJob,
    png: Annotated[Path, typer.Option(help="Output: the picture (png).")],
    inputs: InputsArgument = None,
    pdf: Annotated[Path | None, typer.Option(help="Output: the figure as vector graphics (pdf).")] = None,
    dark: Annotated[Path | None, typer.Option(help="Output: the picture for dark screens (png).")] = None,
) -> None:
    from bright_pipeline.figures.common import parse_inputs, save

    if job.figure not in FIGURES:
        raise InputError(f"settings: figure: should be one of {', '.join(FIGURES)}, not {job.figure!r}")
    draw = load(f"bright_pipeline.figures.{FIGURES[job.figure].draw}")
    save(draw(job, parse_inputs(inputs or [])), png, pdf, dark)
    logger.info("wrote %s", png)
