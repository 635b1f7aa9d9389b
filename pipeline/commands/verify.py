"""Command: read everything that a config's results consist of; say what is damaged, missing, unknown or left over.

Each result has the checksums of its files beside it, taken when they were put in place. Exit code 0 when all is as it
was then; 1 with a line for each file that is not. A stage checks what it reads by itself, so nothing damaged is used.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import typer

from pipeline.base.amounts import readable_bytes
from pipeline.base.checksums import checksum_path
from pipeline.base.command import ConfigArgument, run_stage
from pipeline.base.paths import DEMO
from pipeline.base.progress import Progress
from pipeline.config.root import read_config
from pipeline.plan.claims import in_use
from pipeline.plan.damage import DAMAGED, aside
from pipeline.plan.dvc import refuse_while_jobs_run
from pipeline.plan.verification import (
    Finding,
    Kind,
    copies,
    fingerprints,
    identities,
    kept_files,
    left_over,
    missing,
    networks,
    read_all,
    size_of,
)
from pipeline.stages.common import Jobs


def verify(
    config: ConfigArgument = DEMO,
    whole_store: Annotated[
        bool, typer.Option("--all", help="The whole of results/store and results/work, not this config's part alone.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move what is damaged or left over into results/damaged: a run makes it again."),
    ] = False,
) -> None:
    """Read all results of a config: what is damaged, missing, unknown or left over; exit code 1 if anything is.

    With --repair, what is damaged is moved aside with what is made together with it, and only files that are unknown
    or that nothing was made of yet give exit code 1.
    """
    if repair:
        refuse_while_jobs_run()
    # Without its fingerprints nobody can tell what a config's results are.
    found, read = list(fingerprints()), "results/fingerprints"
    moved = move_aside(found) if repair else 0
    if not found or repair:
        of_config, read = inspect(Jobs(read_config(config)), whole_store)
        moved += move_aside(of_config) if repair else 0
        found += of_config
    for one in found:
        print(f"{one.kind}: {one.line.replace(f': {one.kind}: ', ': ', 1)}")
    counts = Counter(one.kind for one in found)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])
    print(f"{config}: {read}: {told or 'nothing damaged, missing, unknown or left over'}")
    if moved:
        print(f"moved into {DAMAGED}: {moved} files; snakemake makes them again, or dvc pull brings them back")
    sys.exit(any(not (repair and one.files) for one in found))


def inspect(jobs: Jobs, whole_store: bool) -> tuple[list[Finding], str]:
    """All findings, sorted as they are told, and how much was read, in words."""
    files = kept_files(jobs, whole_store)
    total = sum(size_of(one.path) for one in files)
    with Progress("verify", total, "bytes") as progress:
        found = list(read_all(files, progress.advance))
    found += [*copies(jobs), *identities(jobs, whole_store), *networks(jobs, whole_store)]
    found += [*missing(jobs), *left_over(sorted({one.path.parent for one in files}))]
    kinds = list(Kind)
    return sorted(found, key=lambda one: kinds.index(one.kind)), f"{len(files)} files, {readable_bytes(total)}"


def move_aside(found: Iterable[Finding]) -> int:
    """Move these findings' files, with their checksums, into results/damaged; returns how many files were moved."""
    moved = 0
    for path in dict.fromkeys(path for one in found for path in one.files):
        if in_use(path.parent):
            print(f"left, since a run or a training writes there now: {path}", file=sys.stderr)
            continue
        for each in (path, checksum_path(path)):
            if each.exists():
                place = aside(each)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(each, place)
                moved += each == path
    return moved


if __name__ == "__main__":
    run_stage(verify)
