"""Stage: make one of the paper's tables, each measured number beside the published one, or the table of its claims.

The inputs are the summaries (json) of each row, ROW=SUMMARY; for the claims, other tables (csv) by name.
"""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import InputsArgument, stage
from bright_pipeline.base.parsing import named_paths
from bright_pipeline.base.paths import PUBLISHED
from bright_pipeline.stages.tables import CLAIMS, TableJob


@stage
def make_table(
    job: TableJob,
    inputs: InputsArgument = None,
    csv: Annotated[Path | None, typer.Option(help="Where the machine-readable table goes.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where the Markdown goes.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Where the LaTeX goes.")] = None,
    parts: Annotated[Path | None, typer.Option(help="Where the table as shown goes, in parts (json).")] = None,
    published: Annotated[Path, typer.Option(help="The folder of the published numbers.")] = PUBLISHED,
    print_it: Annotated[bool, typer.Option("--print", help="Print the Markdown.")] = False,
) -> None:
    from bright_pipeline.tables.build import build_table
    from bright_pipeline.tables.claims import build_claims
    from bright_pipeline.tables.render import to_markdown, write_table

    build = build_claims if job.table == CLAIMS else build_table
    table = build(job, named_paths(inputs or []), published)
    write_table(table, csv, markdown, latex, parts)
    if print_it:
        print(to_markdown(table))
