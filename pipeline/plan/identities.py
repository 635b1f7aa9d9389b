"""What results were made from: one small file for each finished job, which git can hold.

A digest cannot be read back. `bright accept` needs the code digests of earlier results, and a person
may want to know what a folder of the store is.
"""

import json
from pathlib import Path
from typing import Any

from pipeline.base.atomic import write_json
from pipeline.plan.jobs import Job

IDENTITIES = Path("results/identities")


def identity_path(stage: str, digest: str) -> Path:
    """Where the identity of a job lies."""
    return IDENTITIES / f"{stage}-{digest}.json"


def record_identity(job: Job) -> None:
    """Keep what a finished job's digest was made from, once."""
    path = identity_path(job.stage, job.digest)
    if job.complete and not path.exists():
        write_json(path, job.identity)


def recorded(digest: str) -> dict[str, Any] | None:
    """What the job with this digest was made from; None where no finished job with it was recorded."""
    paths = sorted(IDENTITIES.glob(f"*-{digest}.json"))
    return json.loads(paths[0].read_text(encoding="utf-8")) if paths else None


def known_code(stage: str) -> list[str]:
    """The code digests of a stage's recorded results, sorted."""
    texts = (path.read_text(encoding="utf-8") for path in IDENTITIES.glob(f"{stage}-*.json"))
    return sorted({json.loads(text)["code"] for text in texts})
