"""The contents of results/store, each folder read once, and the results that were accepted (`bright accept`).

An accepted result counts for jobs that differ from it only in the code or in given keys. results/accepted.json:
{"STAGE DIGEST": "DIGEST OF THE RESULT"}, or {"digest": ..., "keys": [...]} instead of the digest where keys differ too.
The file may come with a clone: an entry counts only if the recorded identity of its result (results/identities) and the
job's have no other difference.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.paths import RESULTS, STORE

ACCEPTED = RESULTS / "accepted.json"
IDENTITIES = RESULTS / "identities"
MADE_BY = "made_by"  # in a recorded identity, beside it: the copy of the code, and the digest of each covered module
CONTENT = re.compile("[0-9a-f]{64}")  # sha256 of the content of files


class Store:
    """The files of results/store when their folder was first read; `forget` drops them."""

    def __init__(self, root: Path = STORE):
        self.root = root
        self._names: dict[str, dict[str, str]] = {}
        self._files: dict[Path, frozenset[str]] = {}

    def name(self, folder: str, label: str, digest: str) -> str:
        """The name of the folder with this digest, whatever its label; LABEL-DIGEST if there is none.

        A folder that DVC tracks counts also before it is pulled. Two jobs with one digest have the name of the first.
        """
        if folder not in self._names:
            path, names = self.root / folder, self._names.setdefault(folder, {})
            for name in sorted({entry.removesuffix(".dvc") for entry in listing(path)}):
                # Of two with the same digest, the one with more files.
                other = names.setdefault(name.rsplit("-", 1)[-1], name)
                if other != name and len(listing(path / other)) < len(listing(path / name)):
                    names[name.rsplit("-", 1)[-1]] = name
        return self._names[folder].setdefault(digest, f"{label}-{digest}")

    def files(self, folder: Path) -> frozenset[str]:
        """The names of the files in a folder; none if it is missing."""
        if folder not in self._files:
            self._files[folder] = frozenset(listing(folder))
        return self._files[folder]

    def forget(self) -> None:
        """Read the files of all folders again on the next call; the folders' names stay."""
        self._files.clear()


def listing(folder: Path) -> list[str]:
    """The names in a folder; none if it cannot be read."""
    with suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []


@dataclass(frozen=True)
class Accepted:
    """The digest of a result, and the keys in which it may differ from the job."""

    digest: str
    keys: tuple[str, ...] = ()

    @property
    def entry(self) -> str | dict[str, Any]:
        """As in accepted.json."""
        return {"digest": self.digest, "keys": list(self.keys)} if self.keys else self.digest

    def difference(self, stage: str, identity: dict[str, Any]) -> str | None:
        """The reason why the result cannot count for a job with this identity; None if it can."""
        path = identity_path(stage, self.digest)
        if not path.is_file():
            return f"{path} is missing"
        recorded, required = without(read_json(path, str(path)), self.keys), without(identity, self.keys)
        parts = sorted(name for name in {*recorded, *required} if recorded.get(name) != required.get(name))
        return f"{path} differs in its {' and '.join(parts)}" if parts else None


def identity_path(stage: str, digest: str) -> Path:
    return IDENTITIES / f"{stage}-{digest}.json"


def read_accepted() -> dict[str, Accepted]:
    """`STAGE DIGEST` of jobs -> the results that were accepted for them."""
    if not ACCEPTED.exists():
        return {}
    content = read_json(ACCEPTED, str(ACCEPTED))
    accepted = {}
    for job, entry in content.items() if isinstance(content, dict) else [("", content)]:
        digest, keys = (entry.get("digest"), entry.get("keys")) if isinstance(entry, dict) else (entry, [])
        named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not (named and re.fullmatch(r"[a-z_]+ [0-9a-f]{12} [0-9a-f]{12}", f"{job} {digest}", re.ASCII)):
            raise InputError(f"{ACCEPTED}: digests by digests are expected; restore it from git, or remove it")
        accepted[job] = Accepted(str(digest), tuple(keys or ()))
    return accepted


def without(identity: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """An identity without its code, what made it, and these keys of its settings, at any depth.

    A section is no such key, and the sha256 of files is none either: they would stand for any other model or images.
    """
    ends = [tuple(key.split(".")) for key in keys]

    def pruned(value: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(value, dict):
            return value
        kept = [
            name
            for name, part in value.items()
            if isinstance(part, dict)
            or CONTENT.fullmatch(str(part))
            or not any((*path, name)[-len(end) :] == end for end in ends)
        ]
        return {name: pruned(value[name], (*path, name)) for name in kept}

    parts = identity if isinstance(identity, dict) else {}
    rest = {name: part for name, part in parts.items() if name not in ("code", MADE_BY)}
    return rest | {"settings": pruned(rest.get("settings"), ())}
