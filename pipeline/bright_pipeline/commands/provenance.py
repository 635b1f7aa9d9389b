"""Show the provenance of a result: the config keys, code, data and inputs behind its digest, back to the images.

The csv of a table names the folders of each row; results/identities has a small file for each finished job.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import STORE
from bright_pipeline.engine.checksums import result_libraries
from bright_pipeline.engine.damage import recorded
from bright_pipeline.engine.jobs import DIGEST_LENGTH
from bright_pipeline.plan.publish import tracked_as
from bright_pipeline.stages import all_stages
from bright_pipeline.tables.measured import flat

COMPARED = ("libraries", "code", "settings")
"""The keys that are compared for two results, in this order; their inputs are compared as results."""
FOLDER_HELP = "A folder of results/store, a path in it, or a digest alone."


def provenance(
    results: Annotated[list[str], typer.Argument(help=FOLDER_HELP, metavar="FOLDER...")],
    differences: Annotated[bool, typer.Option("--differences", help="Print how two results differ.")] = False,
) -> None:
    """Print the provenance of results as YAML: one entry for each result and for each of its inputs."""
    entries = upstream(results)
    if differences and len(results) != 2:
        raise InputError(f"--differences: needs two results to compare, not {len(results)}")
    shown = differing(entries, *map(digest_of, results)) if differences else entries
    flow = None if differences else False  # both values on the key's line
    print(yaml.safe_dump(shown, sort_keys=False, width=120, default_flow_style=flow).rstrip())


def upstream(results: list[str]) -> dict[str, Any]:
    """Digest -> its entry, for these results and all results that they depend on."""
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
    return entries


def differing(entries: dict[str, Any], first: str, second: str) -> dict[str, dict[str, list[Any]]]:
    """`STAGE DIGEST, DIGEST` -> key -> both values where they differ, for two results and their inputs by name."""
    unequal: dict[str, dict[str, list[Any]]] = {}
    waiting = [(first, second)]
    for pair in waiting:
        compared_entries = [entries[digest] for digest in pair]
        stages = [entry.get("stage", "not recorded") for entry in compared_entries]
        # Everything differs between two stages, so only their names are shown.
        compared = COMPARED if stages[0] == stages[1] else ("stage",)
        both = [flat({key: entry.get(key, {}) for key in compared}, frozenset()) for entry in compared_entries]
        keys = sorted(set().union(*both), key=lambda key: (compared.index(key.partition(".")[0]), key))
        values = {key: [values.get(key, "none") for values in both] for key in keys}
        name = f"{stages[0]} {', '.join(pair)}"
        if changed := {key: pair for key, pair in values.items() if pair[0] != pair[1]}:
            unequal[name] = changed
        inputs = [dict(reversed(line.split(" ", 1)) for line in entry.get("inputs", [])) for entry in compared_entries]
        pairs = [(inputs[0][name], inputs[1][name]) for name in inputs[0] if name in inputs[1]]
        waiting += [pair for pair in pairs if pair not in waiting]
    return unequal


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
    identity = recorded(digest)
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
    return entry | identity


if __name__ == "__main__":
    run_stage(provenance)
