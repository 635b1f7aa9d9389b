"""Tell what a result was made from: the config keys, code, data and results behind its digest, back to the images.

The tables' csv names the folders of each row; results/identities has one small file for each finished job.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.base.places import STORE
from pipeline.plan.dvc import tracked_as
from pipeline.plan.identities import recorded
from pipeline.stages import all_stages
from pipeline.stages.common import DIGEST_LENGTH

FOLDER_HELP = "A folder of results/store, a path in it, or a digest alone."


def provenance(results: Annotated[list[str], typer.Argument(help=FOLDER_HELP, metavar="FOLDER...")]) -> None:
    """Print what results were made from, as YAML: one entry for each result and for each one behind it."""
    entries: dict[str, Any] = {}
    for result in results:
        waiting = [digest_of(result)]
        while waiting:
            digest = waiting.pop(0)
            if digest not in entries:
                entries[digest] = told(digest)
                waiting += [told_input.split()[0] for told_input in entries[digest].get("inputs", [])]
        if not entries[digest_of(result)].get("stage"):
            raise InputError(f"{result}: no finished result with this digest is recorded in results/identities")
    print(yaml.safe_dump(entries, sort_keys=False, width=120).rstrip())


def digest_of(result: str) -> str:
    """The digest in a path of the store, in a folder's name, or itself; InputError where there is none."""
    parts = Path(result).parts
    sections = {stage.folder for stage in all_stages().values()}
    name = next((parts[i + 1] for i, part in enumerate(parts[:-1]) if part in sections), parts[-1] if parts else "")
    digest = name.rsplit("-", 1)[-1]
    if not re.fullmatch(rf"[0-9a-f]{{{DIGEST_LENGTH}}}", digest):
        raise InputError(f"{result!r}: names no result; give a folder such as autoencoders/main-3fa9c1d20b7e")
    return digest


def told(digest: str) -> dict[str, Any]:
    """What a digest was made from, and where its result lies."""
    identity = recorded(digest)
    if identity is None:
        return {"recorded": "not here: the result was removed, or made elsewhere"}
    stage = all_stages().get(identity["stage"])
    return {"stage": identity["stage"], **place(stage.folder if stage else "*", digest), **identity}


def place(section: str, digest: str) -> dict[str, str]:
    """Where a result lies, and the hash of its content where DVC tracks it."""
    folders = sorted(STORE.glob(f"{section}/*-{digest}"))
    tracked = [path.with_suffix("") for path in sorted(STORE.glob(f"{section}/*-{digest}.dvc"))]
    elsewhere = f"not here; dvc pull {tracked[0]}" if tracked else "not here"
    content = {"content": f"md5 {tracked_as(tracked[0])['md5']}"} if tracked else {}
    return {"folder": str(folders[0]) if folders else elsewhere, **content}


if __name__ == "__main__":
    run_stage(provenance)
