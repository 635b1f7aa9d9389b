"""Track the results of a run with DVC: after `dvc push`, colleagues pull them and compute nothing twice.

Each folder of the store gets a small file beside it, results/store/SECTION/NAME.dvc, for git. One trained autoencoder
can therefore be pulled alone, and two runs on one dataset share its file. Nothing is committed or sent anywhere. DVC
does not wait for its own lock, so no job of the workflow calls it; call this command after a run.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import DEMO, NETWORKS
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.checksums import problems
from bright_pipeline.engine.code_copy import COPIES, DAMAGED_COPY, damaged_copies
from bright_pipeline.engine.damage import code_of
from bright_pipeline.engine.jobs import planned
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.plan.checks import networks_needed
from bright_pipeline.plan.publish import dvc_file, refuse_while_jobs_run, tracked_as
from bright_pipeline.stages.common import Jobs, network

PATHS_PER_CALL = 5000  # Linux takes 2 MB of arguments, a path has about 100 bytes


def share(
    configs: Annotated[list[Path] | None, typer.Argument(help=f"Configs; else {DEMO}.", metavar="CONFIG...")] = None,
) -> None:
    """Track all finished results of these configs with DVC, one .dvc file for each; commits and sends nothing."""
    plans = [Jobs(read_config(path)) for path in configs or [DEMO]]
    refuse_while_jobs_run()
    paths = list(sharable(plans))
    if not paths:
        raise InputError("nothing to track: these configs have no finished results here; run snakemake before")
    before = {path: tracked_as(path) for path in paths}
    texts = {path: dvc_file(path).read_text(encoding="utf-8") for path in paths if before[path]}
    refuse_damaged(path for path in paths if path not in texts)
    add(paths)
    new = [path for path in paths if tracked_as(path) != before[path]]
    # DVC, which remembers sizes and times, decides which files changed: a store of terabytes is not read again.
    try:
        refuse_damaged(path for path in new if path in texts)
    except InputError:
        for path in texts.keys() & {*new}:
            write_text(dvc_file(path), texts[path])
        raise
    for path in new:
        print(f"{readable_bytes(tracked_as(path)['size']):>8}  {dvc_file(path)}")
    total = readable_bytes(sum(tracked_as(path)["size"] for path in paths))
    print(f"{len(paths)} results tracked, {total}; {len(new)} .dvc files are new or changed")
    print("next: git add results, git commit, dvc push")


def sharable(plans: list[Jobs]) -> Iterator[Path]:
    """Folders of finished jobs, the copies of their code, and networks that jobs read.

    Folders with fewer files than tracked are skipped.
    """
    all_jobs = [job for jobs in plans for job in jobs(planned).values()]
    for folder in sorted({job.folder for job in all_jobs if job.complete}):
        # The folder may have been pulled in part, or have lost a shard.
        files, here = tracked_as(folder).get("nfiles", 0), sum(path.is_file() for path in folder.rglob("*"))
        if here < files:
            line = f"{here} of {files} files are here; dvc pull {folder} brings the others"
            print(f"left as it was tracked, {folder}: {line}", file=sys.stderr)
        else:
            yield folder
    copies = {code_of(*job.key).get("copy") for job in all_jobs if job.complete}
    yield from (path for copy in sorted(filter(None, copies)) if (path := COPIES / copy).is_dir())
    present = [path for path in map(Path, map(network, networks_needed(all_jobs))) if path.is_file()]
    if present and NETWORKS.is_symlink():
        print(f"not tracked, {NETWORKS}: a link to another place, which DVC does not follow", file=sys.stderr)
    else:
        yield from present


def refuse_damaged(paths: Iterable[Path]) -> None:
    """InputError if a file in these results is damaged: damaged files are never shared."""
    lines: list[str] = []
    for path in paths:
        if path.parent == NETWORKS:
            state = network_state(path.stem, NETWORKS)
            lines += [state.line] if state.status == "wrong" else []
        elif path.parent == COPIES:
            lines += [f"{path}: {DAMAGED_COPY}"] if path in damaged_copies() else []
        else:
            lines += problems(sorted(path.rglob("*")), read="content")
    if lines:
        raise InputError("nothing is tracked: " + "; ".join(lines))


def add(paths: list[Path]) -> None:
    """Call `dvc add`, each time for as many paths as a command line takes; --no-relink keeps files and their times."""
    if not Path(".dvc").is_dir():
        raise InputError("no .dvc folder here: call this in the repository's root, or `dvc init` before")
    if find_spec("dvc") is None:
        raise ModuleNotFoundError(name="dvc")
    for start in range(0, len(paths), PATHS_PER_CALL):
        batch = map(str, paths[start : start + PATHS_PER_CALL])
        command = [sys.executable, "-m", "dvc", "add", "--no-relink", *batch]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:  # its errors go to the terminal
            raise InputError("dvc add failed; its own message is above")
