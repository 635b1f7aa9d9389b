"""Stage: one table of the counts of several texts."""

from pathlib import Path
from typing import Annotated

import typer
from bright_pipeline.engine.command import stage
from bright_pipeline.base.parsing import read_json
from bright_pipeline.engine.atomic import write_text

from letters.stages import Comparing


@stage
def compare_counts(
    job: Comparing,
    counts: Annotated[list[str], typer.Argument(help="TEXT=COUNTS: the counts of each text.")],
    table: Annotated[Path, typer.Option(help="Where the table goes (csv).")],
) -> None:
    rows = [",".join(("text", *job.letters))]
    for name, _, path in (named.partition("=") for named in counts):
        known = read_json(Path(path), path)
        rows.append(",".join((name, *(str(known.get(letter, 0)) for letter in job.letters))))
    write_text(table, "\n".join(rows) + "\n")
