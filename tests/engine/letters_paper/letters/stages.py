"""The contracts: two stages and the functions that make their jobs."""

from pathlib import Path
from typing import Any

from bright_pipeline.engine.checksums import take_checksum
from bright_pipeline.engine.jobs import Job, Jobs, Stage
from pydantic import BaseModel


class Counting(BaseModel):
    """Count letters."""

    ignore_case: bool = False

    def numerical(self) -> dict[str, Any]:
        return self.model_dump()


class Comparing(BaseModel):
    """Compare counts."""

    letters: str = "abc"

    def numerical(self) -> dict[str, Any]:
        return self.model_dump()


COUNT = Stage("count_letters", "counts", Counting, {"counts": "counts.json"}, package="letters")
COMPARE = Stage(
    "compare_counts",
    "comparisons",
    Comparing,
    {"table": "table.csv"},
    shown=lambda jobs: [jobs(comparison)],
    copies=lambda jobs: {"table.csv": jobs(comparison)["table.csv"]},
    package="letters",
)


def counts(jobs: Jobs, text: Path) -> Job:
    """The counts of a text, which counts by its content."""
    facts = {"text": take_checksum(text).sha256}
    return jobs.job(COUNT, f"texts.{text.stem}", {"ignore_case": True}, inputs={"text": str(text)}, facts=facts)


def comparison(jobs: Jobs) -> Job:
    """The table of all texts in the folder `texts`."""
    texts = sorted(Path("texts").glob("*.txt"))
    inputs = {"counts": [jobs(counts, text)["counts.json"] for text in texts]}
    names = tuple(text.stem for text in texts)
    return jobs.job(COMPARE, "tables.letters", {}, inputs=inputs, names=names)


def all_jobs() -> Jobs:
    """The jobs of the run `letters`."""
    return Jobs({stage.name: stage for stage in (COUNT, COMPARE)}, "letters")
