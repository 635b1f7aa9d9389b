"""Command: read all results of a config; report damaged, missing, unknown and left-over files.

Each folder of results has the checksums of its files, taken when they were put in place. Exit code 0 if all files still
have them, else 1 with a line for each file that differs. Each stage checks its own inputs, so none uses a damaged file.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import DEMO, NETWORKS, STORE, WORK
from bright_pipeline.base.process import cores
from bright_pipeline.base.progress import Progress
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import FINGERPRINTS, read_fingerprint
from bright_pipeline.engine.checksums import SUMS, Checksum, difference, is_checksum, read_sums, take_checksum
from bright_pipeline.engine.command import ConfigArgument, run_stage
from bright_pipeline.engine.damage import DAMAGED, damaged_path, identity_problem, refused
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.engine.reservations import in_use
from bright_pipeline.engine.run import unfinished
from bright_pipeline.engine.shards import shard_of
from bright_pipeline.engine.store import IDENTITIES, identity_path, listing
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.models.metric_networks.manifest import manifest
from bright_pipeline.plan.checks import networks_needed
from bright_pipeline.plan.publish import published_copies, refuse_while_jobs_run
from bright_pipeline.stages.common import Jobs


class Kind(StrEnum):
    """What can be wrong with a file."""

    DAMAGED = "damaged"
    MISSING = "missing"
    UNKNOWN = "unknown"
    LEFT_OVER = "left over"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    line: str  # the file, and what it should be
    files: tuple[Path, ...] = ()  # the files that have to be moved away, so that the next run makes them again


@dataclass(frozen=True)
class StoredFile:
    """A file of a result or of a training's saved state."""

    path: Path
    job: Job | None  # the job of the plan that makes it; None for saved states and for results of other configs
    checksum: Checksum | None = None

    def damage(self) -> str | None:
        """Read the file; a line if it differs from its checksum."""
        return None if self.checksum is None else difference(self.path, self.checksum, "content")

    @property
    def made_together(self) -> tuple[Path, ...]:
        """The files that a run makes again together with this one.

        For a training without a saved state it is this file alone: a lost curve is not worth days of training.
        """
        if self.job is None or self.path.name not in self.job.files:
            return (self.path,)
        if self.job.is_training and not self.job.state.exists():
            return (self.path,)
        return tuple(map(Path, shard_of(self.job[self.path.name]).outputs))


def verify(
    config: ConfigArgument = DEMO,
    whole_store: Annotated[
        bool, typer.Option("--all", help="All of results/store and results/work, not this config's part alone.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged and left-over files to results/damaged: a run makes them again."),
    ] = False,
) -> None:
    """Read all results of a config: what is damaged, missing, unknown or left over; exit code 1 if anything is.

    With --repair, damaged files and those made together with them are moved away. Then only unknown and missing files
    give exit code 1.
    """
    if repair:
        refuse_while_jobs_run()
    # A config's results cannot be determined without its fingerprints of raw collections.
    found, read = list[Finding](), "results/fingerprints"
    for place in sorted(FINGERPRINTS.glob("*.json")):
        try:
            read_fingerprint(place)
        except InputError as error:
            found.append(Finding(Kind.DAMAGED, str(error), (place,)))
    moved = move_away(found) if repair else 0
    if not found or repair:
        of_config, read = inspect(Jobs(read_config(config)), whole_store)
        moved += move_away(of_config) if repair else 0
        found += of_config
    for finding in found:
        print(f"{finding.kind}: {finding.line.replace(f': {finding.kind}: ', ': ', 1)}")
    counts = Counter(finding.kind for finding in found)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])
    print(f"{config}: {read}: {summary or 'nothing damaged, missing, unknown or left over'}")
    if moved:
        print(f"moved into {DAMAGED}: {moved} files; snakemake makes them again, or dvc pull brings them back")
    sys.exit(any(not (repair and finding.files) for finding in found))


def inspect(jobs: Jobs, whole_store: bool) -> tuple[list[Finding], str]:
    """All findings in the order of `Kind`, and the number and size of the files that were read, in words."""
    found: list[Finding] = []
    files: list[StoredFile] = []
    # The folders of results and of saved states, of the plan or all of them, with the job that makes the result.
    of_plan = {job.folder: job for job in jobs(planned).values()}
    results = (path for path in STORE.glob("*/*") if path.is_dir()) if whole_store else of_plan
    states = WORK.glob("*") if whole_store else (job.work for job in of_plan.values())
    folders = {folder: of_plan.get(folder) for folder in sorted(results)}
    folders |= {path.parent: None for state in sorted(states) for path in sorted(state.rglob(SUMS))}
    for folder, job in folders.items():
        in_folder, wrong = look_into(folder, job)
        files += in_folder
        found += wrong
    sizes = [file.path.stat().st_size if file.path.exists() else 0 for file in files]
    with Progress("verify", sum(sizes), "bytes") as progress, ThreadPoolExecutor(min(8, cores())) as threads:
        for file, size, damage in zip(files, sizes, threads.map(StoredFile.damage, files), strict=True):
            progress.advance(size)
            if damage is not None:
                found.append(Finding(Kind.DAMAGED, damage, file.made_together))
            elif file.job is not None and file.path.name not in file.job.files:
                found.append(Finding(Kind.UNKNOWN, f"{file.path}: no output of {file.job.stage.name}"))
            elif file.checksum is None:
                found.append(Finding(Kind.UNKNOWN, f"{file.path}: has no checksum; a run of its config adds it"))
    found += [*copies(jobs), *records(jobs, whole_store)]
    return sorted(found, key=lambda one: [*Kind].index(one.kind)), f"{len(files)} files, {readable_bytes(sum(sizes))}"


def look_into(folder: Path, job: Job | None) -> tuple[list[StoredFile], list[Finding]]:
    """A folder's files with their checksums; what its names and its SHA256SUMS show to be wrong."""
    paths = [path for path in map(folder.joinpath, sorted(listing(folder))) if path.is_file()]
    paths = [path for path in paths if not is_checksum(path.name)]
    partial = [path for path in paths if path.name.startswith(".") and ".partial" in path.name]
    line = "of a process that was killed, or that writes now"
    found = [Finding(Kind.LEFT_OVER, f"{path}: {line}", (path,)) for path in partial]
    paths = [path for path in paths if path not in partial]
    try:
        sums = read_sums(folder)
    except InputError as error:
        # A file whose sha256 is still in the list is intact; the others are made again.
        text = (folder / SUMS).read_bytes()
        doubtful = [path for path in paths if take_checksum(path).sha256.encode() not in text]
        remade = (other for path in doubtful for other in StoredFile(path, job).made_together)
        return [], [*found, Finding(Kind.DAMAGED, str(error), (folder / SUMS, *remade))]
    if folder.is_relative_to(WORK):  # others, such as curves for TensorBoard, are not read by any stage
        paths = [path for path in paths if path.name in sums]
    elif job is None:
        lost = sorted(sums.keys() - {path.name for path in [*paths, *partial]})
        found += [Finding(Kind.MISSING, f"{folder / name}: in {SUMS}, but not here") for name in lost]
    return [StoredFile(path, job, sums.get(path.name)) for path in paths], found


def copies(jobs: Jobs) -> Iterator[Finding]:
    """Copies in results/RUN that differ from their result; git holds not all, and any run copies missing ones again."""
    for place, stored in published_copies(jobs).items():
        copy = Path(place)
        with suppress(InputError):  # a damaged SHA256SUMS is reported with its folder
            checksum = read_sums(stored.parent).get(stored.name)
            if checksum is not None and copy.exists() and take_checksum(copy).sha256 != checksum.sha256:
                line = f"{place}: damaged: differs from {stored} as it was put in place; a run copies it again"
                yield Finding(Kind.DAMAGED, line, (copy,))


def records(jobs: Jobs, whole_store: bool) -> Iterator[Finding]:
    """Damaged identities and networks, and results that a run would make."""
    places = IDENTITIES.glob("*.json") if whole_store else (identity_path(*key) for key in jobs(planned))
    for place in sorted(places):
        if (line := identity_problem(place)) is not None:
            yield Finding(Kind.DAMAGED, line, (place,))
    yield from (Finding(Kind.DAMAGED, line) for line in map(refused, jobs(planned).values()) if line is not None)
    for name in manifest() if whole_store else networks_needed(jobs(planned).values()):
        if (state := network_state(name, NETWORKS)).status == "wrong":
            yield Finding(Kind.DAMAGED, state.line, (NETWORKS / f"{name}.safetensors",))
    for job in unfinished(jobs).jobs:
        lost = sum(not job.has(file) for file in job.files)
        yield Finding(Kind.MISSING, f"{job.folder}: {lost} of {len(job.files)} files of {job.entry}; a run makes them")


def move_away(found: Iterable[Finding]) -> int:
    """Move the files of these findings to results/damaged; returns the number of files.

    Their checksums stay in SHA256SUMS: `dvc checkout` brings files back only into folders without changes.
    """
    moved = 0
    for path in dict.fromkeys(path for finding in found for path in finding.files):
        if in_use(path.parent):
            print(f"left, since a run or a training writes there now: {path}", file=sys.stderr)
            continue
        if path.exists():
            place = damaged_path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, place)
            moved += 1
    return moved


if __name__ == "__main__":
    run_stage(verify)
