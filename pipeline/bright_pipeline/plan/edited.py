"""Results that differ from the wanted ones in their code alone, and the price of an edit: trainings that it repeats."""

from collections.abc import Iterable
from typing import Any

from bright_pipeline.base.amounts import readable_duration
from bright_pipeline.engine.code_copy import edited_modules
from bright_pipeline.engine.damage import code_of, recorded_of
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.records import RECORDS, read_record
from bright_pipeline.engine.store import without


def earlier(job: Job, recorded: dict[str, dict[str, Any]], keys: tuple[str, ...] = ()) -> str | None:
    """The digest of a finished result that differs from the job in the code and in these keys alone."""
    required, store = without(job.identity, keys), job.jobs.store
    for digest, identity in recorded.items():
        folder = job.folder.with_name(store.name(job.stage.folder, job.label, digest))
        if without(identity, keys) == required and store.files(folder).issuperset(job.files):
            return digest
    return None


def price_of_edits(jobs: Iterable[Job], config: str) -> list[str]:
    """At most one line: the finished trainings that these jobs repeat because code was edited, and what they took."""
    again: dict[str, str] = {}
    modules: set[str] = set()
    trainings = [job for job in jobs if job.is_training]
    recorded = {stage: recorded_of(stage) for stage in {job.stage.name for job in trainings}}
    for job in trainings:
        if (digest := earlier(job, recorded[job.stage.name])) is not None:
            again[job.entry] = digest
            made = code_of(job.stage.name, digest)
            modules |= {*edited_modules(made, job.code_roots)} if "modules" in made else {"their code"}
    if not again:
        return []
    records = [read_record(path) for digest in again.values() for path in RECORDS.glob(f"train_*-{digest}.json")]
    seconds = sum(record.get("seconds", 0) for record in records)
    took = f" (they took {readable_duration(seconds)})" if seconds else ""
    edited = f"{', '.join(again)} train again{took}, since code was edited: {', '.join(sorted(modules))}"
    return [f"{edited}; `bright accept {config} --dry-run` shows the lines, `bright accept {config}` keeps the results"]
