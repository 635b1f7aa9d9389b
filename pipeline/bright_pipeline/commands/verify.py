"""Command: read all results of a config; report damaged, missing, unknown and left-over files.

Each folder of results has the checksums of its files as they were stored. Each stage checks its own inputs.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from bright_pipeline.engine.command import ConfigArgument, run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import DEMO, NETWORKS, STORE, WORK
from bright_pipeline.base.process import cores
from bright_pipeline.base.progress import Progress
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import FINGERPRINTS, read_fingerprint
from bright_pipeline.engine.checksums import SUMS, difference, read_sums, take_checksum
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

KINDS = ("damaged", "missing", "unknown", "left over")


class Finding(NamedTuple):
    """A problem, its kind, and the files to move away so that the next run makes them again."""

    kind: str
    line: str
    files: tuple[Path, ...] = ()


def verify(
    config: ConfigArgument = DEMO,
    whole_store: Annotated[
        bool, typer.Option("--all", help="All of results/store and results/work, not only this config's results.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged and left-over files to results/damaged: a run makes them again."),
    ] = False,
) -> None:
    """Read all results of a config; report damaged, missing, unknown and left-over files (then exit code 1).

    With --repair, damaged files and those made together with them are moved away. Then only unknown and missing files
    give exit code 1.
    """
    if repair:
        refuse_while_jobs_run()
    findings = list(fingerprints())  # of raw collections; without them the config's results are unknown
    moved = move_away(findings) if repair else 0
    if not findings or repair:
        results = inspect(Jobs(read_config(config)), whole_store)
        moved += move_away(results) if repair else 0
        findings += results
    for kind, line, _ in findings:
        print(f"{kind}: {line.replace(f': {kind}: ', ': ', 1)}")
    counts = Counter(finding.kind for finding in findings)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    print(f"{config}: {summary or 'nothing damaged, missing, unknown or left over'}")
    if moved:
        print(f"moved into {DAMAGED}: {moved} files; snakemake makes them again, or dvc pull brings them back")
    sys.exit(any(not (repair and finding.files) for finding in findings))


def fingerprints() -> Iterator[Finding]:
    """Damaged fingerprints of raw collections."""
    for path in sorted(FINGERPRINTS.glob("*.json")):
        try:
            read_fingerprint(path)
        except InputError as error:
            yield Finding("damaged", str(error), (path,))


def inspect(jobs: Jobs, whole_store: bool) -> list[Finding]:
    """All findings in the folders of the plan, or in all folders of results, sorted by kind."""
    jobs_by_folder = {job.folder: job for job in jobs(planned).values()}
    states = WORK.glob("*") if whole_store else [job.work for job in jobs_by_folder.values()]
    folders = {path for path in STORE.glob("*/*") if path.is_dir()} if whole_store else set(jobs_by_folder)
    folders |= {path.parent for state in states for path in state.rglob(SUMS)}
    findings = [*records(jobs, whole_store)]
    with Progress("verify", len(folders), "folders") as progress, ThreadPoolExecutor(min(8, cores())) as threads:
        for new in threads.map(lambda path: list(in_folder(path, jobs_by_folder.get(path))), sorted(folders)):
            findings += new
            progress.advance()
    return sorted(findings, key=lambda finding: KINDS.index(finding.kind))


def in_folder(folder: Path, job: Job | None) -> Iterator[Finding]:
    """Read all files of a result, or of a training's saved state; job: the job of the plan that makes them, if any."""
    paths = [path for path in map(folder.joinpath, sorted(listing(folder))) if path.is_file() and path.name != SUMS]
    try:
        sums = read_sums(folder)
    except InputError as error:  # files whose sha256 is still in the list are intact
        text = (folder / SUMS).read_bytes()
        doubtful = [path for path in paths if take_checksum(path).sha256.encode() not in text]
        yield Finding(
            "damaged", str(error), (folder / SUMS, *(file for path in doubtful for file in remade(path, job)))
        )
        return
    for path in paths:
        if path.name.startswith(".") and ".partial" in path.name:
            yield Finding("left over", f"{path}: of a process that was killed, or that writes now", (path,))
        elif path.name in sums and (line := difference(path, sums[path.name], "content")) is not None:
            yield Finding("damaged", line, remade(path, job))
        elif job is not None and path.name not in job.files:
            yield Finding("unknown", f"{path}: no output of {job.stage.name}")
        elif path.name not in sums and not folder.is_relative_to(WORK):  # no stage reads other files there
            yield Finding("unknown", f"{path}: has no checksum; a run of its config adds it")
    if job is None and not folder.is_relative_to(WORK):
        lost = sorted(sums.keys() - {path.name for path in paths})
        yield from (Finding("missing", f"{folder / name}: in {SUMS}, but not here") for name in lost)


def remade(path: Path, job: Job | None) -> tuple[Path, ...]:
    """The files that a run makes together with this file.

    For a training without a saved state, this file alone: a lost curve is not worth days of training.
    """
    if job is None or path.name not in job.files or (job.is_training and not job.state.exists()):
        return (path,)
    return tuple(map(Path, shard_of(job[path.name]).outputs))


def records(jobs: Jobs, whole_store: bool) -> Iterator[Finding]:
    """Damaged copies in results/RUN, identities and networks, and results that a run would make."""
    for copy, stored in published_copies(jobs).items():
        with suppress(InputError, FileNotFoundError, KeyError):  # a damaged list is reported with its folder
            if take_checksum(Path(copy)).sha256 != read_sums(stored.parent)[stored.name].sha256:
                differs = f"{copy}: differs from {stored} as it was stored; a run copies it again"
                yield Finding("damaged", differs, (Path(copy),))
    for path in sorted(IDENTITIES.glob("*.json") if whole_store else (identity_path(*key) for key in jobs(planned))):
        if (line := identity_problem(path)) is not None:
            yield Finding("damaged", line, (path,))
    yield from (Finding("damaged", line) for line in map(refused, jobs(planned).values()) if line is not None)
    for name in manifest() if whole_store else networks_needed(jobs(planned).values()):
        if (state := network_state(name, NETWORKS)).status == "wrong":
            yield Finding("damaged", state.line, (NETWORKS / f"{name}.safetensors",))
    for job in unfinished(jobs).jobs:
        lost = sum(not job.has(file) for file in job.files)
        yield Finding("missing", f"{job.folder}: {lost} of {len(job.files)} files of {job.entry}; a run makes them")


def move_away(findings: Iterable[Finding]) -> int:
    """Move the files of these findings to results/damaged; returns the number of files.

    Their checksums stay in SHA256SUMS: `dvc checkout` brings files back only into folders without changes.
    """
    moved = 0
    for path in dict.fromkeys(path for finding in findings for path in finding.files):
        if in_use(path.parent):
            print(f"left, since a run or a training writes there now: {path}", file=sys.stderr)
        elif path.exists():
            damaged_path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, damaged_path(path))
            moved += 1
    return moved


if __name__ == "__main__":
    run_stage(verify)
