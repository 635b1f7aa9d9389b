"""What results were made from: one small file for each finished job, which git can hold.

A digest cannot be read back. `bright accept` needs what earlier results were made from, and a person may want to know
what a folder of the store is.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.base.atomic import write_json
from pipeline.base.errors import InputError
from pipeline.base.paths import RESULTS
from pipeline.stages.common import Job, digest_of, read_accepted

IDENTITIES = RESULTS / "identities"


def identity_path(stage: str, digest: str) -> Path:
    """Where the identity of a job lies."""
    return IDENTITIES / f"{stage}-{digest}.json"


def record_identity(job: Job) -> None:
    """Keep what a finished job's digest was made from, once."""
    path = identity_path(*job.key)
    if job.complete and not path.exists():
        write_json(path, job.identity)


def check_identities(made: Iterable[Job]) -> None:
    """InputError where a result that is here was made from something else than the job that would use it."""
    for job in made:
        path = identity_path(*job.key)
        known = None if job.jobs.shelf.files(job.folder).isdisjoint(job.files) else read_identity(path)
        if known is not None and known != job.identity and (line := identity_problem(path)) is not None:
            raise InputError(line)
        if known is not None and known != job.identity and job.key[1] not in job.jobs.accepted.values():
            raise InputError(
                f"{job.folder}: was made from something else than {job.entry} asks for, though the digests are equal"
                f" ({path} tells of what); move the folder and that file away, and run again"
            )


def read_identity(path: Path) -> dict[str, Any] | None:
    """A recorded identity; None where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not JSON ({error}); restore it from git, or remove it") from None


def identity_problem(path: Path) -> str | None:
    """A line where a recorded identity is not the one that its name is the digest of; None also where there is none."""
    remedy = "bring it back with git, or remove it: the next run writes it again"
    try:
        known = read_identity(path)
    except InputError:
        return f"{path}: damaged: not readable; {remedy}"
    if known is None:
        return None
    digest, told = digest_of(known), path.stem.rsplit("-", 1)[-1]
    stage = path.stem.removesuffix(f"-{told}")
    if told in (digest, read_accepted().get(f"{stage} {digest}")):
        return None
    return f"{path}: damaged: not what {told} is the digest of; {remedy}"


def recorded(digest: str) -> dict[str, Any] | None:
    """What the job with this digest was made from; None where no finished job with it was recorded."""
    paths = sorted(IDENTITIES.glob(f"*-{digest}.json"))
    return read_identity(paths[0]) if paths else None


def recorded_of(stage: str) -> dict[str, dict[str, Any]]:
    """Digest -> identity of a stage's recorded results."""
    found = {path.stem.rsplit("-", 1)[-1]: read_identity(path) for path in sorted(IDENTITIES.glob(f"{stage}-*.json"))}
    return {digest: identity for digest, identity in found.items() if identity is not None}
