"""Put a run's tables and figures into a Markdown document, such as a paper's supplement or docs/comparison.md."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import atomic_path, write_text
from pipeline.base.checksums import problem
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.base.progress import logger
from pipeline.config.root import read_config
from pipeline.page.document import figure_block, filled, table_block
from pipeline.page.page_table import read_table
from pipeline.settings.tables import TABLES
from pipeline.stages.common import Job, Jobs
from pipeline.stages.figures import FIGURES, figures
from pipeline.stages.studies import STUDY_CAPTION
from pipeline.stages.tables import CLAIMS, CLAIMS_CAPTION, tables

TABLE_CAPTIONS = {name: table.caption for name, table in TABLES.items()} | {CLAIMS: CLAIMS_CAPTION}


def document(
    config: Annotated[Path, typer.Argument(help="The run's config file.")],
    text: Annotated[Path, typer.Argument(help="The Markdown file; pictures go to images/ beside it.")],
) -> None:
    """Fill each block `<!-- table NAME -->` or `<!-- figure NAME -->`, up to its `<!-- end -->`, with that result.

    What the run has not made yet, or what is damaged, is named, and what stands in its block stays.
    """
    jobs = Jobs(read_config(config))
    made = {"table": jobs(tables), "figure": jobs(figures)}

    def fill(kind: str, name: str) -> str | None:
        job = made[kind].get(name)
        if job is None:
            raise InputError(f"{text}: {kind} {name}: {config} has none; it has {', '.join(made[kind])}")
        if (why := _unusable(job)) is not None:
            logger.warning("%s %s stays as it is: %s", kind, name, why)
            return None
        logger.info("%s %s: %s", kind, name, job.name)
        by = f"the target `{name if kind == 'table' else 'figures'}` of `{config}`, as `{job.name}`"
        return _table(job, name, by) if kind == "table" else _figure(job, name, by, text, jobs.config.run)

    write_text(text, filled(_read(text), fill, str(text)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text that can be read ({error}); a Markdown file with blocks") from None


def _unusable(job: Job) -> str | None:
    """Why a result can't be shown; None where it can."""
    if not job.complete:
        return f"{job.folder} is not made yet"
    return next((why for path in job.outputs if (why := problem(Path(path))) is not None), None)


def _table(job: Job, name: str, by: str) -> str:
    shown = read_table(name, Path(job.path("table.json")), Path(job.path("table.tex")))
    return table_block(shown, TABLE_CAPTIONS.get(name, STUDY_CAPTION), by)


def _figure(job: Job, name: str, by: str, text: Path, run: str) -> str:
    picture = text.parent / "images" / f"{run}-{name}.png"
    with atomic_path(picture) as temporary:
        shutil.copyfile(job.path("figure.png"), temporary)
    return figure_block(FIGURES[name].title, FIGURES[name].caption, f"images/{picture.name}", by)


if __name__ == "__main__":
    run_stage(document)
