"""List, and with --yes remove, results that no config uses (promise 1: results of old settings stay)."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.plan.identities import identity_path
from pipeline.plan.jobs import STORE, WORK
from pipeline.plan.run import Plan, read_config
from pipeline.plan.stages import STAGES
from pipeline.plan.tracking import dvc_file

UNITS = ("B", "kB", "MB", "GB", "TB")


def prune(
    configs: Annotated[list[Path], typer.Argument(help="The configs whose results stay.", metavar="CONFIG...")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> None:
    """List the folders of results/store and results/work that none of these configs uses; --yes removes them.

    Results of a run with settings on the command line (--config seed=1) are of no config file: they are
    listed too. Networks, fingerprints and results/RUN stay.
    """
    folders = unused([Plan(read_config(path)) for path in configs], configs)
    total = 0
    for folder in folders:
        size = folder_size(folder)
        total += size
        print(f"{readable(size):>8}  {folder}")
        if yes:
            remove(folder)
    what = "nothing to remove" if not folders else f"{readable(total)} in {len(folders)} folders"
    print(f"{what}{' removed' if folders and yes else ''}{'; --yes removes them' if folders and not yes else ''}")


def unused(plans: list[Plan], configs: list[Path]) -> list[Path]:
    """Folders of the store and of saved states that no job of the plans has, sorted."""
    used: set[Path] = set()
    for plan, config in zip(plans, configs, strict=True):
        for job in plan.jobs.values():
            if isinstance(job.numerical.get("source"), dict):
                of_dataset = job.stage == "prepare_dataset"
                where = f"datasets.{job.label}.source" if of_dataset else f"samples, {job.settings['samples']['path']}"
                raise InputError(
                    f"{config}: {where}: neither its raw images nor its fingerprint in results/fingerprints"
                    " is here, so what belongs to this config cannot be told"
                )
            used |= {job.folder, job.work}
    present = [*STORE.glob("*/*"), *WORK.glob("*")]
    return sorted(path for path in present if path.is_dir() and path not in used)


def folder_size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def readable(size: float) -> str:
    """A number of bytes for people."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.0f} {UNITS[-1]}"


def remove(folder: Path) -> None:
    """Remove a folder, the record of what it was made from, and DVC's file: `dvc pull` would bring it back."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    if folder.parent.parent == STORE:
        dvc_file(folder).unlink(missing_ok=True)
        stages = [name for name, stage in STAGES.items() if stage.section == folder.parent.name]
        for stage in stages:
            identity_path(stage, folder.name.rsplit("-", 1)[-1]).unlink(missing_ok=True)


if __name__ == "__main__":
    run_stage(prune)
