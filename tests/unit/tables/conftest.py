"""Tables from made-up summaries."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_summaries import PUBLISHED_FOLDER

from pipeline.tables.build import Table, build_table
from pipeline.tables.job import TableJob
from pipeline.tables.summaries import NamedSummary


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., Table]:
    """Build a table from made-up summaries; rows are named by the summaries unless given.

    A summary of a further training seed is named `ROW#SEED`.
    """

    def build(table: str, *summaries: dict[str, Any], **job: Any) -> Table:
        named = []
        for index, summary in enumerate(summaries):
            path = tmp_path / f"{index}.json"
            path.write_text(json.dumps(summary))
            named.append(NamedSummary(summary.get("autoencoder") or summary["samples"], path))
        names = dict.fromkeys(summary.row.partition("#")[0] for summary in named)
        rows = job.pop("rows", [{"name": name} for name in names])
        settings = TableJob.model_validate({"table": table, "run": "demo", "rows": rows, **job})
        return build_table(settings, named, PUBLISHED_FOLDER)

    return build
