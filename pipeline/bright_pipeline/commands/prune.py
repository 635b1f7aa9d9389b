"""List, and with --yes remove, results that no config uses (promise 1: results of old settings stay)."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import STORE, WORK
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.code_copy import COPIES
from bright_pipeline.engine.damage import code_of
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.reservations import Reservations, has_locks, in_use
from bright_pipeline.engine.store import identity_path
from bright_pipeline.plan.publish import dvc_file, refuse_while_jobs_run
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs


def prune(
    configs: Annotated[list[Path], typer.Argument(help="The configs whose results stay.", metavar="CONFIG...")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove the listed folders.")] = False,
) -> None:
    """List the folders of results/store, work and code that none of these configs uses; --yes removes them.

    Saved states and snapshots of finished trainings are listed too; folders in use by a run or a training are not.
    Results of a run with settings on the command line (--config seed=1) belong to no config file and are listed.
    Networks, fingerprints and results/RUN stay. Where file locks do not hold, nothing is removed.
    """
    folders = unused([Jobs(read_config(path)) for path in configs], configs)
    if yes:
        refuse_while_jobs_run()
        # A run reserves only the results that it makes, but may read any other: no run may be active.
        reservations = Reservations()
        if not has_locks(WORK):
            line = "file locks do not hold on this file system, so results that another run uses are not known"
            raise InputError(f"{WORK}: {line}: stop all runs, and remove the listed folders by hand")
        if not reservations.lock(None):
            raise InputError("a run on these results is active, perhaps of another checkout: wait for it, or stop it")
    total = 0
    for folder in folders:
        size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
        total += size
        snapshots = len(list(folder.glob("snapshots/*.safetensors")))
        print(f"{readable_bytes(size):>8}  {folder}{f'  (with {snapshots} snapshots)' if snapshots else ''}")
        if yes and folder.is_symlink():
            folder.unlink()
        elif yes:
            shutil.rmtree(folder)
        if yes:
            dvc_file(folder).unlink(missing_ok=True)  # `dvc pull` would bring it back
        if yes and folder.parent.parent == STORE:
            for stage in all_stages().values():
                if stage.folder == folder.parent.name:
                    identity_path(stage.name, folder.name.rpartition("-")[2]).unlink(missing_ok=True)
    remedy = " removed" if yes else "; --yes removes them"
    print(f"{readable_bytes(total)} in {len(folders)} folders{remedy}" if folders else "nothing to remove")


def unused(plans: list[Jobs], configs: list[Path]) -> list[Path]:
    """Folders of the store that no job of the configs uses, and of states that no unfinished job uses, sorted."""
    used: set[Path] = set()
    for jobs, config in zip(plans, configs, strict=True):
        for job in jobs(planned).values():
            for key, data in {"source": "raw images", "checkpoint": "checkpoint", "initial": "initial weights"}.items():
                if isinstance(job.numerical.get(key), dict):  # without a fingerprint, digests are not known
                    line = f"neither its {data} nor the fingerprint in results/fingerprints is here"
                    raise InputError(f"{config}: {job.entry}: {line}, so its results cannot be determined")
            if job.stage.copies_states and not job.complete:
                used |= {training.work for training in job.upstream}  # it has the snapshot, or will have it
            used |= {job.folder} if job.is_training and job.complete else {job.folder, job.work}
            used |= {COPIES / copy for copy in [code_of(*job.key).get("copy")] if copy}
    present = [*STORE.glob("*/*"), *WORK.glob("*"), *COPIES.glob("*"), *COPIES.glob(".*.partial")]
    return sorted(path for path in present if path.is_dir() and path not in used and not in_use(path))
