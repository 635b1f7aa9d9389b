"""List, and with --yes remove, results that no config uses (promise 1: results of old settings stay)."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.amounts import readable_bytes
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.base.paths import STORE, WORK
from pipeline.config.root import read_config
from pipeline.plan.claims import in_use
from pipeline.plan.dvc import dvc_file, refuse_while_jobs_run
from pipeline.plan.identities import identity_path
from pipeline.plan.shards import planned
from pipeline.stages import all_stages
from pipeline.stages.autoencoders import TAKE_SNAPSHOT
from pipeline.stages.common import Jobs


def prune(
    configs: Annotated[list[Path], typer.Argument(help="The configs whose results stay.", metavar="CONFIG...")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> None:
    """List the folders of results/store and results/work that none of these configs uses; --yes removes them.

    Saved states and snapshots of trainings that are done are listed too; what a run or a training uses anywhere is not.
    Results of a run with settings on the command line (--config seed=1) are of no config file: they are listed as well.
    Networks, fingerprints and results/RUN stay.
    """
    if yes:
        refuse_while_jobs_run()
    folders = unused([Jobs(read_config(path)) for path in configs], configs)
    total = 0
    for folder in folders:
        size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
        total += size
        snapshots = len(list(folder.glob("snapshots/*.safetensors")))
        print(f"{readable_bytes(size):>8}  {folder}{f'  (with {snapshots} snapshots)' if snapshots else ''}")
        if yes:
            remove(folder)
    what = "nothing to remove" if not folders else f"{readable_bytes(total)} in {len(folders)} folders"
    print(f"{what}{' removed' if folders and yes else ''}{'; --yes removes them' if folders and not yes else ''}")


def unused(of_configs: list[Jobs], configs: list[Path]) -> list[Path]:
    """Folders of the store that no job of the configs has, and of states that no unfinished one has, sorted."""
    used: set[Path] = set()
    for jobs, config in zip(of_configs, configs, strict=True):
        for job in jobs(planned).values():
            for key in ("source", "checkpoint"):
                if isinstance(job.numerical.get(key), dict):
                    what = "raw images" if key == "source" else "checkpoint"
                    raise InputError(
                        f"{config}: {job.entry}: neither its {what} nor the fingerprint in results/fingerprints is"
                        " here, so what belongs to this config cannot be told"
                    )
            if job.stage is TAKE_SNAPSHOT and not job.complete:
                used |= {one.work for one in job.upstream}  # the snapshot is there, or will be
            used |= {job.folder} if job.is_training and job.complete else {job.folder, job.work}
    present = [*STORE.glob("*/*"), *WORK.glob("*")]
    return sorted(path for path in present if path.is_dir() and path not in used and not in_use(path))


def remove(folder: Path) -> None:
    """Remove a folder, the record of what it was made from, and DVC's file: `dvc pull` would bring it back."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    if folder.parent.parent == STORE:
        dvc_file(folder).unlink(missing_ok=True)
        for stage in all_stages().values():
            if stage.folder == folder.parent.name:
                identity_path(stage.name, folder.name.rsplit("-", 1)[-1]).unlink(missing_ok=True)


if __name__ == "__main__":
    run_stage(prune)
