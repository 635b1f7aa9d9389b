"""Damaged results as a plan sees them, results that were moved away, and the recorded identities of results.

A plan compares sizes only, a stage the files that it reads, and `bright verify` everything. A damaged file stays in
its place until `bright verify --repair` moves it to results/damaged; the next run makes it again.

results/identities has a small file for each finished job, to be kept in git. A digest cannot be inverted: `bright
accept` and people read there which settings, code and inputs made a result.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.paths import RESULTS
from bright_pipeline.engine.atomic import locked_sums, update_sums
from bright_pipeline.engine.checksums import SUMS, problems, read_sums, take_checksum
from bright_pipeline.engine.code import joint_digest
from bright_pipeline.engine.jobs import Job, Jobs, Output, digest_of, planned
from bright_pipeline.engine.store import ACCEPTED, IDENTITIES, MADE_BY, identity_path

DAMAGED = RESULTS / "damaged"
REMEDY = "restore it from git, or remove it: the next run writes it again"


def wrong_sizes(job: Job, files: Iterable[str] | None = None) -> Iterator[str]:
    """One line for each of a job's files, or of these, whose size differs from its checksum's."""
    here = job.jobs.store.files(job.folder)
    if SUMS in here:
        yield from problems((job.folder / file for file in files or job.files if file in here), read="size")


def moved_away(jobs: Jobs) -> list[Output]:
    """Outputs of the plan that were moved to results/damaged and have not been made again."""
    if not DAMAGED.is_dir():
        return []
    missing = [job[file] for job in jobs(planned).values() for file in job.files if not job.has(file)]
    return [output for output in missing if damaged_path(Path(output.path)).exists()]


def damaged_path(path: Path) -> Path:
    return DAMAGED / path.relative_to(RESULTS)


def add_missing_checksums(job: Job) -> None:
    """Add the job's files that SHA256SUMS lacks, as they are now.

    These come from Snakemake's cache, or from a process killed before it wrote the line.
    """
    here = job.jobs.store.files(job.folder).intersection(job.files)
    with suppress(InputError):  # the next plan reports a damaged SHA256SUMS
        if missing := here and here - read_sums(job.folder).keys():
            taken = {name: take_checksum(job.folder / name) for name in missing}
            with locked_sums():
                update_sums(job.folder, taken | read_sums(job.folder))


def check_identities(jobs: Iterable[Job]) -> None:
    """InputError if an existing result was made from other settings, code or inputs than the job that would use it."""
    for job in jobs:
        if (line := refused(job)) is not None:
            raise InputError(line)
        path = identity_path(*job.key)
        recorded = None if job.jobs.store.files(job.folder).isdisjoint(job.files) else read_identity(path)
        if recorded is None or recorded == job.identity:
            continue
        if (line := identity_problem(path)) is not None:
            raise InputError(line)
        if job.digest == digest_of(job.identity):  # not an accepted result
            problem = f"was made from something else than {job.entry} asks for, although the digests are equal"
            remedy = "move the folder and that file away, and run again"
            raise InputError(f"{job.folder}: {problem} (see {path}); {remedy}")


def refused(job: Job) -> str | None:
    """A line if results/accepted.json names a result of other settings or inputs for the job.

    An entry whose result has no recorded identity, such as a removed one, has no effect.
    """
    key = f"{job.stage.name} {digest_of(job.identity)}"
    if (accepted := job.jobs.accepted.get(key)) is None or not identity_path(job.stage.name, accepted.digest).exists():
        return None
    difference = accepted.difference(job.stage.name, job.identity)
    remedy = "remove this entry, or accept the keys that differ (`bright accept --key`)"
    return difference and f"{ACCEPTED}: {key!r}: {accepted.digest} cannot count for {job.entry}: {difference}; {remedy}"


def read_identity(path: Path) -> dict[str, Any] | None:
    """A recorded identity, without what made it; None if there is none. InputError if it is unreadable."""
    recorded = read_recorded(path)
    return recorded and {name: part for name, part in recorded.items() if name != MADE_BY}


def code_of(stage: str, digest: str) -> dict[str, Any]:
    """What made a result: the digests of its `modules`, and its `copy` of the code; empty where no record says so."""
    made = (read_recorded(identity_path(stage, digest)) or {}).get(MADE_BY)
    return dict(made) if made is not None and names_code(made) else {}


def names_code(made: Any) -> bool:
    """Whether this part of a record, which may come from others, is one: digests by modules, the digits of a copy."""
    modules = made.get("modules") if isinstance(made, dict) else None
    if not isinstance(modules, dict) or not re.fullmatch("[0-9a-f]+", str(made.get("copy", "0"))):
        return False
    return all(re.fullmatch(r"\w+(\.\w+)*", name) and isinstance(digest, str) for name, digest in modules.items())


def read_recorded(path: Path) -> dict[str, Any] | None:
    """A recorded identity and, where it was recorded, what made it (MADE_BY); None if there is none."""
    try:
        return None if not path.exists() else dict(read_json(path, str(path)))
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged: not JSON ({error}); {REMEDY}") from None


def identity_problem(path: Path) -> str | None:
    """A line if a recorded identity, or its modules, do not have their digest; None also if there is no such file."""
    try:
        identity, record = read_identity(path), read_recorded(path)
    except InputError as error:
        return str(error)
    digest = path.stem.rpartition("-")[2]
    if identity is not None and digest != digest_of(identity):
        return f"{path}: damaged: its content does not have the digest {digest}; {REMEDY}"
    made = (record or {}).get(MADE_BY)
    is_intact = made is None or (names_code(made) and joint_digest(made["modules"]) == (identity or {}).get("code"))
    if not is_intact:
        return f"{path}: damaged: its modules do not have the digest of its code; {REMEDY}"
    return None


def recorded_of(stage: str, digest: str = "*") -> dict[str, dict[str, Any]]:
    """Digest -> identity of a stage's recorded results, or of the one with a digest; `*`: of any stage."""
    paths = sorted(IDENTITIES.glob(f"{stage}-{digest}.json"))
    return {path.stem.rpartition("-")[2]: identity for path in paths if (identity := read_identity(path)) is not None}
