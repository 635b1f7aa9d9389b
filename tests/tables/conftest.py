"""Tables from made-up summaries."""

from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.stages.tables import TableJob
from bright_pipeline.tables.build import BuiltTable, build_table
from built_tables import PUBLISHED_FOLDER, Built
from made_summaries import row_of, write_summary


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a table from made-up summaries, whose rows are those of the summaries or those given.

    A summary of a further training seed is named `ROW#SEED`; counts that are of no row stand for other autoencoders'.
    """

    def build(table: str, *summaries: dict[str, Any], **job: Any) -> BuiltTable:
        named = [
            (summary["name"], write_summary(tmp_path / f"{index}.json", summary))
            for index, summary in enumerate(summaries)
        ]
        told = {row["name"]: row for row in map(row_of, reversed(summaries))}
        names = dict.fromkeys(row_of(summary)["name"] for summary in summaries)
        rows = [told.get(row["name"], {}) | row for row in job.pop("rows", [{"name": name} for name in names])]
        counts = [row_of(summary) for summary in summaries if summary["kind"] == "complexity"]
        counted = [row for row in counts if row["name"] not in [one["name"] for one in rows]]
        settings = TableJob.model_validate({"table": table, "rows": rows, "counted": counted, **job})
        return build_table(settings, named, PUBLISHED_FOLDER)

    return build
