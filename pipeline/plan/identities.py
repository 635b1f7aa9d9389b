"""Recorded identities: results/identities has a small file for each finished job, to be kept in git.

A digest cannot be inverted: `bright accept` and people read there which settings, code and inputs made a result.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.parsing import read_json
from pipeline.stages.common import Job, digest_of
from pipeline.stages.store import ACCEPTED, IDENTITIES, identity_path


def check_identities(made: Iterable[Job]) -> None:
    """InputError if an existing result was made from other settings, code or inputs than the job that would use it."""
    for job in made:
        path = identity_path(*job.key)
        known = None if job.jobs.store.files(job.folder).isdisjoint(job.files) else read_identity(path)
        differs = known is not None and known != job.identity
        if (line := refused(job) or (identity_problem(path) if differs else None)) is not None:
            raise InputError(line)
        if differs and job.digest == digest_of(job.identity):  # not an accepted result
            raise InputError(
                f"{job.folder}: was made from something else than {job.entry} asks for, although the digests are equal"
                f" (see {path}); move the folder and that file away, and run again"
            )


def refused(job: Job) -> str | None:
    """A line if results/accepted.json names a result of other settings or inputs for the job.

    An entry whose result has no recorded identity, such as a removed one, has no effect.
    """
    own = f"{job.stage.name} {digest_of(job.identity)}"
    if (accepted := job.jobs.accepted.get(own)) is None or not identity_path(job.stage.name, accepted.digest).exists():
        return None
    if (difference := accepted.difference(job.stage.name, job.identity)) is None:
        return None
    return (
        f"{ACCEPTED}: {own!r}: {accepted.digest} cannot count for {job.entry}: {difference}; remove this entry, or"
        " accept the keys that differ (`bright accept --key`)"
    )


def read_identity(path: Path) -> dict[str, Any] | None:
    """A recorded identity; None if there is none. InputError if it is unreadable."""
    try:
        return None if not path.exists() else dict(read_json(path, str(path)))
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not JSON ({error}); restore it from git, or remove it") from None


def identity_problem(path: Path) -> str | None:
    """A line if a recorded identity does not have the digest in its name; None also if there is no such file."""
    remedy = "restore it from git, or remove it: the next run writes it again"
    try:
        known = read_identity(path)
    except InputError:
        return f"{path}: damaged: not readable; {remedy}"
    digest = path.stem.rpartition("-")[2]
    if known is None or digest == digest_of(known):
        return None
    return f"{path}: damaged: its content does not have the digest {digest}; {remedy}"


def recorded(digest: str) -> dict[str, Any] | None:
    """The identity of the finished job with this digest; None if none was recorded."""
    paths = sorted(IDENTITIES.glob(f"*-{digest}.json"))
    return read_identity(paths[0]) if paths else None


def recorded_of(stage: str) -> dict[str, dict[str, Any]]:
    """Digest -> identity of a stage's recorded results."""
    found = {path.stem.rpartition("-")[2]: read_identity(path) for path in sorted(IDENTITIES.glob(f"{stage}-*.json"))}
    return {digest: identity for digest, identity in found.items() if identity is not None}
