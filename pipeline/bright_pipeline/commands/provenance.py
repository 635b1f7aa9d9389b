"""Show the provenance of a result: the config keys, code, data and inputs behind its digest, back to the images.

The csv of a table names the folders of each row; results/identities has a small file for each finished job.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import STORE
from bright_pipeline.engine.checksums import result_libraries
from bright_pipeline.engine.code_copy import COPIES
from bright_pipeline.engine.damage import code_of, recorded_of
from bright_pipeline.engine.jobs import DIGEST_LENGTH
from bright_pipeline.plan.publish import tracked_as
from bright_pipeline.stages import all_stages


def provenance(
    results: Annotated[list[str], typer.Argument(help="Paths in results/store, or digests.", metavar="FOLDER...")],
) -> None:
    """Print the provenance of results as YAML: one entry for each result and for each of its inputs, by digest."""
    entries: dict[str, Any] = {}
    for result in results:
        waiting = [digest_of(result)]
        while waiting:
            digest = waiting.pop(0)
            if digest not in entries:
                entries[digest] = entry_of(digest)
                waiting += [line.split()[0] for line in entries[digest].get("inputs", [])]
        if not entries[digest_of(result)].get("stage"):
            raise InputError(f"{result}: no finished result with this digest is recorded in results/identities")
    print(yaml.safe_dump(entries, sort_keys=False, width=120).rstrip())


def digest_of(result: str) -> str:
    """The digest in a path of the store or in a folder's name, or the digest itself; InputError without one."""
    parts = Path(result).parts
    sections = {stage.folder for stage in all_stages().values()}
    name = next((parts[i + 1] for i, part in enumerate(parts[:-1]) if part in sections), parts[-1] if parts else "")
    digest = name.rsplit("-", 1)[-1]
    if not re.fullmatch(rf"[0-9a-f]{{{DIGEST_LENGTH}}}", digest):
        raise InputError(f"{result!r}: not a result; give a folder such as autoencoders/main-3fa9c1d20b7e")
    return digest


def entry_of(digest: str) -> dict[str, Any]:
    """The recorded identity of a digest, and the folder of its result."""
    identity = recorded_of("*", digest).get(digest)
    if identity is None:
        return {"recorded": "not here: the result was removed, or made elsewhere"}
    stage = all_stages().get(identity["stage"])
    pattern = f"{stage.folder if stage else '*'}/*-{digest}"
    folders = sorted(STORE.glob(pattern))
    tracked = [path.with_suffix("") for path in sorted(STORE.glob(f"{pattern}.dvc"))]
    elsewhere = f"not here; dvc pull {tracked[0]}" if tracked else "not here"
    entry: dict[str, Any] = {"stage": identity["stage"], "folder": str(folders[0]) if folders else elsewhere}
    if tracked:
        entry["content"] = f"md5 {tracked_as(tracked[0])['md5']}"
    # The versions of the libraries that computed it, if recorded; "2.12.0 and 2.13.0" for several.
    records = [libraries for folder in folders for libraries in result_libraries(folder)]
    if names := sorted(set().union(*records)):
        versions = {name: sorted({libraries[name] for libraries in records if name in libraries}) for name in names}
        entry["libraries"] = {name: " and ".join(numbers) for name, numbers in versions.items()}
    if copy := (made := code_of(identity["stage"], digest)).get("copy"):
        here = "" if (COPIES / copy).exists() else ", not here"
        entry["made_by"] = f"version {made.get('version', 'unknown')}: {COPIES / copy}{here}"
    return entry | identity
