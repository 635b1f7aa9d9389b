"""Everything that a config's results consist of, read and compared with what was put in place."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.base.checksums import checksum_path, file_of, is_checksum, problem, read_checksum, take_checksum
from pipeline.base.errors import InputError
from pipeline.base.paths import NETWORKS, STORE, WORK
from pipeline.base.process import cores
from pipeline.data.fingerprint import FINGERPRINTS, read_fingerprint
from pipeline.models.metric_networks.files import network_state
from pipeline.models.metric_networks.manifest import manifest
from pipeline.plan.checks import networks_needed
from pipeline.plan.identities import IDENTITIES, identity_path, identity_problem
from pipeline.plan.publish import published_copies
from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned, shard_of
from pipeline.stages.common import Job, Jobs
from pipeline.stages.shelf import listing


class Kind(StrEnum):
    """What can be wrong with a file."""

    DAMAGED = "damaged"
    MISSING = "missing"
    UNKNOWN = "unknown"
    LEFT_OVER = "left over"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    line: str
    """Which file, and what it should be."""
    files: tuple[Path, ...] = ()
    """What has to be out of the way, so that the next run makes it again."""


@dataclass(frozen=True)
class Kept:
    """A file of the store or of a training's saved state, and the job that it is of, where that is known."""

    path: Path
    job: Job | None

    @property
    def made_together(self) -> tuple[Path, ...]:
        """What a run makes again if this file is to be made again.

        Of a training that has no saved state that is this file alone: nobody wants days of training for a curve.
        """
        if self.job is None or self.path.name not in self.job.files:
            return (self.path,)
        if self.job.is_training and not (self.job.work / "state.safetensors").exists():
            return (self.path,)
        return tuple(map(Path, shard_of(self.job[self.path.name]).outputs))


def kept_files(jobs: Jobs, whole_store: bool) -> list[Kept]:
    """The files to read: of the plan's results and saved states, or of all that lie here."""
    of_plan = {job.folder: job for job in jobs(planned).values()}
    stored = [path for path in sorted(STORE.glob("*/*")) if path.is_dir()] if whole_store else sorted(of_plan)
    states = sorted(WORK.glob("*")) if whole_store else sorted(job.work for job in of_plan.values())
    found = [
        Kept(folder / name, of_plan.get(folder))
        for folder in stored
        for name in sorted(listing(folder))
        if not is_beside(name)
    ]
    return found + [
        Kept(file_of(place), None)
        for folder in states
        for place in sorted(folder.rglob(".*"))
        if is_checksum(place.name) and file_of(place).exists()
    ]


def is_beside(name: str) -> bool:
    """Whether a name is a checksum's, or one that a file has while it is written."""
    return is_checksum(name) or is_unfinished(name)


def is_unfinished(name: str) -> bool:
    """Whether a file has this name until it is put in place."""
    return name.startswith(".") and ".partial" in name


def read_all(files: Iterable[Kept], advance: Callable[[int], None]) -> Iterator[Finding]:
    """What is wrong with these files; all of them are read. `advance` is told of the bytes of each."""
    with ThreadPoolExecutor(min(8, cores())) as threads:
        for kept, line in threads.map(lambda one: (one, problem(one.path, whole=True)), files):
            advance(size_of(kept.path))
            if line is not None:
                yield Finding(Kind.DAMAGED, line, kept.made_together)
            elif kept.job is not None and kept.path.name not in kept.job.files:
                yield Finding(Kind.UNKNOWN, f"{kept.path}: no output of {kept.job.stage.name}")
            elif not checksum_path(kept.path).exists():
                yield Finding(Kind.UNKNOWN, f"{kept.path}: has no checksum; a run of its config takes it")


def size_of(path: Path) -> int:
    """Bytes; 0 of what is not here."""
    return path.stat().st_size if path.exists() else 0


def left_over(folders: Iterable[Path]) -> Iterator[Finding]:
    """What a process that was killed left, and checksums of files that are not here."""
    for folder in folders:
        names = set(listing(folder))
        for name in sorted(filter(is_beside, names)):
            path = folder / name
            if is_unfinished(name):
                yield Finding(Kind.LEFT_OVER, f"{path}: of a process that was killed, or that writes now", (path,))
            elif file_of(path).name not in names:
                yield Finding(Kind.LEFT_OVER, f"{path}: of a file that is not here", (path,))


def missing(jobs: Jobs) -> Iterator[Finding]:
    """What a run would make, a line for each result."""
    for job in unfinished(jobs).jobs:
        lost = sum(not job.has(file) for file in job.files)
        yield Finding(Kind.MISSING, f"{job.folder}: {lost} of {len(job.files)} files of {job.entry}; a run makes them")


def copies(jobs: Jobs) -> Iterator[Finding]:
    """Copies in results/RUN that are not what they are copies of."""
    for place, stored in published_copies(jobs).items():
        copy = Path(place)
        with suppress(InputError):  # a damaged checksum is named with its file
            kept = read_checksum(stored)
            if kept is not None and stored.exists() and not copy.exists():
                yield Finding(Kind.MISSING, f"{place}: a run copies it from {stored}")
            elif kept is not None and copy.exists() and take_checksum(copy).sha256 != kept.sha256:
                line = f"{place}: damaged: not what {stored} was put in place as; a run copies it again"
                yield Finding(Kind.DAMAGED, line, (copy,))


def identities(jobs: Jobs, whole_store: bool) -> Iterator[Finding]:
    """Records of what results were made from that do not have the digest of their name."""
    places = IDENTITIES.glob("*.json") if whole_store else (identity_path(*key) for key in jobs(planned))
    for place in sorted(places):
        if (line := identity_problem(place)) is not None:
            yield Finding(Kind.DAMAGED, line, (place,))


def fingerprints() -> Iterator[Finding]:
    """Kept fingerprints of raw collections that are not what was kept."""
    for place in sorted(FINGERPRINTS.glob("*.json")):
        try:
            read_fingerprint(place)
        except InputError as error:
            yield Finding(Kind.DAMAGED, str(error), (place,))


def networks(jobs: Jobs, whole_store: bool) -> Iterator[Finding]:
    """Networks whose weights are not the right ones."""
    for name in manifest() if whole_store else networks_needed(jobs(planned).values()):
        state = network_state(name, NETWORKS)
        if state.status == "wrong":
            yield Finding(Kind.DAMAGED, state.line, (NETWORKS / f"{name}.safetensors",))
