"""The versions of the libraries that a stage's numbers depend on: those that its code imports.

The digest of the code contains no library versions: a result that another version made stays valid, and SHA256SUMS
records the versions (`checksums`).
"""

import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata

from pipeline.base.code import imported_libraries

NO_NUMBERS = {"pydantic": "settings pass unchanged, or end the command", "typer": "the command line"}
"""Libraries whose version cannot change a number, and why."""


def used_libraries() -> dict[str, str]:
    """Library -> version for the stage that this process runs in a workflow (`--code`); empty by hand."""
    modules = imported_libraries()
    return versions(modules) if modules else {}


@cache
def versions(modules: frozenset[str]) -> dict[str, str]:
    """The versions of Python and of the packages that provide these modules."""
    packages = (distribution(name) for name in modules - NO_NUMBERS.keys())
    found = {one.name.lower().replace("_", "-"): one.version for one in packages if one is not None}
    return dict(sorted(({"python": platform.python_version()} | found).items()))


def distribution(module: str) -> metadata.Distribution | None:
    """The installed package with a module's name, or the one that contains the module; None if there is none."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.distribution(module)
    return next((one for one in _installed() if module in (one.read_text("top_level.txt") or "").split()), None)


@cache
def _installed() -> Iterable[metadata.Distribution]:
    return tuple(metadata.distributions())
