"""Command: read all results of a config, and compare them with their checksums; report damaged files."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import DEMO, NETWORKS, STORE, WORK
from bright_pipeline.base.process import cores
from bright_pipeline.base.progress import Progress
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.checksums import SUMS, difference, read_sums, take_checksum
from bright_pipeline.engine.code_copy import DAMAGED_COPY, damaged_copies
from bright_pipeline.engine.damage import DAMAGED, damaged_path, identity_problem, refused
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.engine.reservations import in_use
from bright_pipeline.engine.shards import shard_of
from bright_pipeline.engine.store import IDENTITIES
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.plan.checks import networks_needed
from bright_pipeline.plan.publish import published_copies, refuse_while_jobs_run
from bright_pipeline.stages.common import Jobs


class Damage(NamedTuple):
    """A line on a damaged file, and the files to move away so that the next run makes them again."""

    line: str
    files: tuple[Path, ...] = ()


def verify(
    config: ConfigArgument = DEMO,
    whole_store: Annotated[bool, typer.Option("--all", help="All of results/store and results/work.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Move damaged files to results/damaged.")] = False,
) -> None:
    """Read all results of a config; report damaged files (then exit code 1).

    With --repair, damaged files and those made together with them are moved away: a run makes them again. Then only
    damage without such files gives exit code 1.
    """
    if repair:
        refuse_while_jobs_run()
    damages = inspect(Jobs(read_config(config)), whole_store)
    for line, _ in damages:
        print(f"damaged: {line.replace(': damaged: ', ': ', 1)}")
    print(f"{config}: {len(damages) or 'nothing'} damaged")
    if moved := move_away(damages) if repair else 0:
        print(f"moved into {DAMAGED}: {moved} files; snakemake makes them again, or dvc pull brings them back")
    sys.exit(any(not (repair and damage.files) for damage in damages))


def inspect(jobs: Jobs, whole_store: bool) -> list[Damage]:
    """All damage in the folders of the plan, or in all folders of results."""
    jobs_by_folder = {job.folder: job for job in jobs(planned).values()}
    parts = (STORE, WORK) if whole_store else [*jobs_by_folder, *(job.work for job in jobs_by_folder.values())]
    folders = sorted({path.parent for part in parts for path in part.rglob(SUMS)})
    damages = [*records(jobs)]
    with Progress("verify", len(folders), "folders") as progress, ThreadPoolExecutor(min(8, cores())) as threads:
        for new in threads.map(lambda path: list(in_folder(path, jobs_by_folder.get(path))), folders):
            damages += new
            progress.advance()
    return damages


def in_folder(folder: Path, job: Job | None) -> Iterator[Damage]:
    """Read all files of a result, or of a training's saved state; job: the job of the plan that makes them, if any."""
    try:
        sums = read_sums(folder)
    except InputError as error:  # files whose sha256 is still in the list are intact
        text = (folder / SUMS).read_bytes()
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != SUMS]
        doubtful = [path for path in files if take_checksum(path).sha256.encode() not in text]
        yield Damage(str(error), (folder / SUMS, *(file for path in doubtful for file in remade(path, job))))
        return
    for name in sorted(sums):
        if (line := difference(folder / name, sums[name], "content")) is not None:
            yield Damage(line, remade(folder / name, job))


def remade(path: Path, job: Job | None) -> tuple[Path, ...]:
    """The files made with this file; if a training has no saved state, it alone: a lost curve is not worth days."""
    if job is None or path.name not in job.files or (job.is_training and not job.state.exists()):
        return (path,)
    return tuple(map(Path, shard_of(job[path.name]).outputs))


def records(jobs: Jobs) -> Iterator[Damage]:
    """Damaged copies in results/RUN and of code, identities, accepted results and networks."""
    for copy, stored in published_copies(jobs).items():
        with suppress(InputError, FileNotFoundError, KeyError):  # a damaged list is reported with its folder
            if take_checksum(Path(copy)).sha256 != read_sums(stored.parent)[stored.name].sha256:
                yield Damage(f"{copy}: differs from {stored} as it was stored; a run copies it again", (Path(copy),))
    for path in sorted(IDENTITIES.glob("*.json")):
        if (line := identity_problem(path)) is not None:
            yield Damage(line, (path,))
    for folder in damaged_copies():
        yield Damage(f"{folder}: {DAMAGED_COPY}", (folder,))
    yield from (Damage(line) for line in map(refused, jobs(planned).values()) if line is not None)
    for name in networks_needed(jobs(planned).values()):
        if (state := network_state(name, NETWORKS)).status == "wrong":
            yield Damage(state.line, (NETWORKS / f"{name}.safetensors",))


def move_away(damages: Iterable[Damage]) -> int:
    """Move files to results/damaged; returns their number. SHA256SUMS keeps their lines, which `dvc checkout` needs."""
    moved = 0
    for path in dict.fromkeys(path for damage in damages for path in damage.files):
        if in_use(path.parent):
            print(f"left, since a run or a training writes there now: {path}", file=sys.stderr)
        elif path.exists():
            damaged_path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, damaged_path(path))
            moved += 1
    return moved
