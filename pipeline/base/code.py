"""The digest of the code that can change a stage's numbers (promise 1).

It is derived from the stage's command: the syntax trees, in canonical form, of its module and of all modules that
it imports, directly or not, also inside functions. What is left out is named here with its reason. A family of
models from elsewhere (`family: my_package.my_family`) counts with all that it imports of its own package.
Modules are found by path, so that planning imports none of them.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from pipeline.base.canonical import canonical, running_statements
from pipeline.base.errors import InputError

ROOT = Path(__file__).parents[2]
OWN = "pipeline"
TOLD_DIGITS = 16
"""Of the digest that a command is told."""

# Modules (NAME) and packages with all in them (NAME.*) that are in no digest, and why they can't move a number.
# What only they import is in none either.
EXCLUDED_FROM_DIGEST = {
    "pipeline.base.atomic": "writes files whole or not at all; what stands in them comes from elsewhere",
    "pipeline.base.checksums": "what is not what it was ends the command, the rest passes unchanged",
    "pipeline.base.command": "the command line: settings are read as they are, and are in the digest by value",
    "pipeline.base.errors": "an error ends a command, and nothing is put in place",
    "pipeline.base.parsing": "files and settings that are right pass unchanged, wrong ones end the command",
    "pipeline.base.process": "cores, allocator and signals; the order of images does not depend on the workers",
    "pipeline.base.progress": "bars and log lines",
    "pipeline.base.running_code": "ends a command that runs other code than its run was planned with",
    "pipeline.commands.*": "commands of people; no stage runs them",
    "pipeline.config.*": "whole configs; a job's settings are in its digest by value",
    "pipeline.data.pictures": "pictures that only people look at",
    "pipeline.evaluation.validation": "measures a model while it is trained; no step reads it",
    "pipeline.families": "finds the module that a config names; that module is in the digest itself",
    "pipeline.generation.interactive": "for Python sessions and notebooks; no stage calls it",
    "pipeline.models.metric_networks.manifest": "where networks lie; their weights are in the digest by sha256",
    "pipeline.plan.*": "what is planned reaches a command by value, in its arguments",
    "pipeline.settings.*": "what a job's settings are is in its digest by value",
    "pipeline.stages.*": "what a job is told is in its digest by value",
    "pipeline.training.history": "shows the numbers of a training; no step reads it",
}


@dataclass(frozen=True)
class Module:
    """One module of the code: its file, the digest of what it does, and the modules that it imports."""

    name: str
    path: Path
    digest: str
    imports: tuple[str, ...]
    libraries: tuple[str, ...]
    """The modules of others that it imports, by their first names; Python's own are not among them."""


def read_source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class Code:
    """The project under `root` as it is when it is looked at: each file is read once."""

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = read_source):
        self.root, self.read = root, read
        self.modules: dict[str, Module] = {}
        self.files: dict[str, Path | None] = {}

    def digest(self, roots: Iterable[str]) -> str:
        """One digest for these modules and all that they import."""
        text = "\n".join(f"{module.name} {module.digest}" for module in self.closure(roots))
        return hashlib.sha256(text.encode()).hexdigest()

    def closure(self, roots: Iterable[str]) -> list[Module]:
        """The modules and all that they import, directly or not, with the packages they lie in, by name."""
        found: dict[str, Module] = {}
        waiting = list(roots)
        for root in waiting:
            if self.file(root) is None:
                raise InputError(f"{root}: no such module, of the project in {self.root} or elsewhere")
        while waiting:
            for name in upwards(waiting.pop()):
                if name not in found and not is_excluded(name) and self.file(name) is not None:
                    found[name] = self.module(name)
                    waiting += found[name].imports
        return [found[name] for name in sorted(found)]

    def module(self, name: str) -> Module:
        """A module that has a file."""
        if name not in self.modules:
            path = self.file(name)
            assert path is not None
            try:
                tree = ast.parse(self.read(path), str(path))
            except SyntaxError as error:
                raise InputError(f"{path}, line {error.lineno}: {error.msg}; no digest of this code") from None
            imports = tuple(sorted(set(self._imports(tree, name, path))))
            libraries = tuple(sorted(set(_libraries(tree, name))))
            of_family = name.startswith("pipeline.families.") or name.partition(".")[0] != OWN
            digest = hashlib.sha256(canonical(tree, of_family).encode()).hexdigest()
            self.modules[name] = Module(name, path, digest, imports, libraries)
        return self.modules[name]

    def file(self, name: str) -> Path | None:
        """The source of a module; None for what is no module, or has no source."""
        if name not in self.files:
            package, _, rest = name.partition(".")
            bases = [base.joinpath(*rest.split(".")) if rest else base for base in self._places(package)]
            paths = [path for base in bases for path in (base / "__init__.py", base.with_suffix(".py"))]
            self.files[name] = next((path for path in paths if path.is_file()), None)
        return self.files[name]

    def _places(self, package: str) -> list[Path]:
        """Where a package (or a module that is in none) lies; of what is elsewhere nothing is imported."""
        if package == OWN:
            return [self.root / OWN]
        found = find_spec(package)
        if found is None:
            return []
        if found.submodule_search_locations is not None:
            return [Path(place) for place in found.submodule_search_locations]
        return [Path(found.origin).with_suffix("")] if found.origin and found.origin.endswith(".py") else []

    def _imports(self, tree: ast.Module, module: str, path: Path) -> Iterator[str]:
        """The modules that a module imports anywhere, of the project and of its own package.

        Those that are left out are taken from the tree too: which names come from where moves no number there.
        """
        packages = {OWN, module.partition(".")[0]}
        own_package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in running_statements(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                counting = []
                for alias in node.names:
                    name = self.imported(node, alias, own_package)
                    if name.partition(".")[0] not in packages:
                        counting.append(alias)
                    elif not is_excluded(name):
                        counting.append(alias)
                        yield name
                node.names = counting

    def imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, package: str) -> str:
        """The module that a name is imported from, or that it is."""
        if isinstance(node, ast.Import):
            return alias.name
        origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
        inner = f"{origin}.{alias.name}"
        own = origin.partition(".")[0] in (OWN, package.partition(".")[0])
        return inner if own and self.file(inner) is not None else origin


def _libraries(tree: ast.Module, module: str) -> Iterator[str]:
    """The first names of the modules of others that a module imports anywhere, but for types."""
    own = {OWN, module.partition(".")[0], *sys.stdlib_module_names}
    for node in running_statements(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name.partition(".")[0] for alias in node.names} - own
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from {(node.module or "").partition(".")[0]} - own


PROJECT = Code()


def upwards(name: str) -> list[str]:
    """A module and the packages it lies in."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def is_excluded(name: str) -> bool:
    return name in EXCLUDED_FROM_DIGEST or any(f"{package}.*" in EXCLUDED_FROM_DIGEST for package in upwards(name))


@cache
def code_digest(roots: tuple[str, ...]) -> str:
    """The digest of a stage's code, 64 hexadecimal digits.

    roots: its command's module and the modules of its models' families.
    """
    return PROJECT.digest(roots)


def expected_code(roots: tuple[str, ...]) -> str:
    """What a stage's command is told by `--code`: ROOT+ROOT=DIGEST."""
    return f"{'+'.join(roots)}={code_digest(roots)[:TOLD_DIGITS]}"
