"""Results belong to the code that made them: a stage refuses to run another code than its run was planned with.

A stage's command is told `--code ROOT+ROOT=DIGEST` (`pipeline.base.code`). From then on every import of a module of
that code is watched, also in the middle of the work: a file that was edited since the start is not run under the
digest of what it was. By hand, without `--code`, nothing is watched.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from pipeline.base.code import ROOT, Code, read_source
from pipeline.base.errors import InputError

OPTION = "--code"
WHAT_TO_DO = "undo the edit, or start snakemake again"


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `--code` and the arguments without it; what stands behind `--` is another command's."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if OPTION not in own[:-1]:
        return None, list(arguments)
    place = own.index(OPTION)
    return arguments[place + 1], [*arguments[:place], *arguments[place + 2 :]]


class OtherCode(BaseException):
    """The line that says so. No `except Exception` around an import keeps it, and goes on without the module."""


class Watch(MetaPathFinder):
    """Finds no module: it looks at each that is about to be imported.

    `problem`: the line that says why this code must not make results; None while there is nothing to say. Before
    the stage's work begins it is kept for the stage to tell; from then on an import raises it.
    `libraries`: the first names of others' modules that the code imports.
    """

    def __init__(self, told: str):
        roots, _, self.expected = told.partition("=")
        self.roots = roots.split("+")
        self.stage = self.roots[0].rpartition(".")[2]
        self.working = False
        self.looking_at: set[str] = set()
        self.problem: str | None = None
        self.states: dict[Path, tuple[int, int]] = {}
        self.libraries: frozenset[str] = frozenset()
        try:
            code = Code(read=self._read)
            found = code.digest(self.roots)
            closure = code.closure(self.roots)
            self.digests = {module.name: module.digest for module in closure}
            self.libraries = frozenset(name for module in closure for name in module.libraries)
            if not self.expected or not found.startswith(self.expected):
                self.problem = (
                    f"{self.stage}: the code of {roots} in {ROOT / 'pipeline'} has digest"
                    f" {found[: len(self.expected)]}, and this run was planned with {self.expected}; {WHAT_TO_DO}"
                )
        except InputError as error:
            self.problem = f"{self.stage}: {error}; {WHAT_TO_DO}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None; raises OtherCode where the module's file has another content than at the start."""
        # To look at a package asks all finders where it is, this one too.
        if self.problem is None and fullname in self.digests and fullname not in self.looking_at:
            self.looking_at.add(fullname)
            self._look(fullname)
            self.looking_at.remove(fullname)
            if self.working:
                self.refuse()
        return None

    def refuse(self) -> None:
        """Raise OtherCode if there is a problem."""
        if self.problem is not None:
            raise OtherCode(self.problem)

    def _look(self, name: str) -> None:
        code = Code()
        path = code.file(name)
        try:
            if path is not None and (
                _state(path) == self.states.get(path) or code.module(name).digest == self.digests[name]
            ):
                return
        except InputError:
            pass  # it is no Python now
        self.problem = f"{self.stage}: {path or name} was edited after the start and before its import; {WHAT_TO_DO}"

    def _read(self, path: Path) -> str:
        self.states[path] = _state(path)  # before it is read: what comes between shows later
        return read_source(path)


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def watch(told: str) -> None:
    """Watch all imports from now on, once a process: `pipeline` begins before anything else of it is imported."""
    if not any(isinstance(finder, Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, Watch(told))


def refuse_other_code() -> None:
    """Raise OtherCode where this process is watched and has imported another code; later imports raise at once."""
    for finder in sys.meta_path:
        if isinstance(finder, Watch):
            finder.working = True
            finder.refuse()
