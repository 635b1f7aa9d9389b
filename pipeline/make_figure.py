"""Stage: make one of the paper's figures, one beyond them, or the loss curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure

from pipeline.base.command import LogOption, SettingsArgument, listed, read_settings, run_stage
from pipeline.base.progress import log_to, logger
from pipeline.figures import codes, curves, exploration, hits, neighbours, reconstructions, samples
from pipeline.figures.inputs import Inputs, parse_inputs
from pipeline.figures.job import FigureJob
from pipeline.figures.style import save

FIGURES: dict[str, Callable[[FigureJob, Inputs], Figure]] = {
    "fig01": reconstructions.overview,
    "fig05b": hits.hits_per_entry,
    "fig06": reconstructions.reconstruction_pairs,
    "fig07": samples.comparison,
    "fig08": samples.comparison,
    "fig09": neighbours.neighbours,
    "fig10": samples.samples,
    "fig11": neighbours.neighbours,
    "fig12": samples.samples,
    "fig13": neighbours.neighbours,
    "fig14": samples.samples,
    "curves": curves.curves,
    "interpolation": exploration.sheet,
    "resolutions": exploration.sheet,
    "groups": exploration.sheet,
    "noise_robustness": codes.noise_robustness,
    "code_range": codes.code_range,
    "table_size": codes.table_size,
}


def make_figure(
    settings: SettingsArgument,
    png: Annotated[Path, typer.Option(help="Where the picture goes.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=PATH]...", help="Inputs: NAME=PATH or NAME:LABEL=PATH; @FILE: a file of these."),
    ] = None,
    pdf: Annotated[Path | None, typer.Option(help="Where it goes as vectors (pictures as pixels in it).")] = None,
    log: LogOption = None,
) -> None:
    """Make one of the paper's figures, one beyond them, or the loss curves."""
    log_to(log)
    job = read_settings(FigureJob, settings)
    figure = FIGURES[job.figure](job, parse_inputs(listed(inputs)))
    save(figure, png, pdf)
    logger.info("wrote %s", png)


if __name__ == "__main__":
    run_stage(make_figure)
