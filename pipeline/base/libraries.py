"""The versions of the libraries that a stage's numbers depend on: those that its code imports, as they are installed.

They are derived as the digest of the code is (`code`), which has no library in it: a result that another version made
stays, and says which one that was. They are kept beside each of its files (`checksums`).
"""

import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata

from pipeline.base.code import imported_libraries

NO_NUMBERS = {"pydantic": "settings pass unchanged, or end the command", "typer": "the command line"}
"""Libraries whose version can move no number, and why."""


def used_libraries() -> dict[str, str]:
    """The libraries of the stage that this process runs for the workflow (`--code`), and their versions."""
    modules = imported_libraries()
    return versions(modules) if modules else {}


@cache
def versions(modules: frozenset[str]) -> dict[str, str]:
    """Python, and the libraries that are installed under these modules' names, or have them."""
    named = (distribution(name) for name in modules - NO_NUMBERS.keys())
    found = {one.name.lower().replace("_", "-"): one.version for one in named if one is not None}
    return dict(sorted(({"python": platform.python_version()} | found).items()))


def distribution(module: str) -> metadata.Distribution | None:
    """What is installed under a module's name, or has it among its own; None where nothing has."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.distribution(module)
    return next((one for one in _installed() if module in (one.read_text("top_level.txt") or "").split()), None)


@cache
def _installed() -> Iterable[metadata.Distribution]:
    return tuple(metadata.distributions())
