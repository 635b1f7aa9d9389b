"""The digest of the code that can change a stage's numbers (promise 1), and the check that a stage runs this code.

The digest covers the canonical form of the stage's command and of every module that it imports, directly or not, also
inside functions. Of another package (`family: my_package.my_family`) it covers the modules that a family imports from
there. Modules are found by path: planning imports none of them.

The workflow passes the digest to each stage (`--code ROOT+ROOT=DIGEST`), which starts from the run's copy of the code
(`bright_pipeline.engine.code_copy`) and compares it once. Without the option, by hand, nothing is compared.
"""

import ast
import hashlib
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from importlib.util import find_spec, resolve_name
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.process import is_portable
from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.engine.canonical import canonical, running_source, running_statements

ROOT = Path(__file__).parents[2]
OWN = __name__.partition(".")[0]
OPTION = "--code"
OPTION_DIGITS = 16  # of the digest in the option
REMEDY = "start snakemake again"

EXCLUDED = "excluded_from_digest.yaml"  # in the folder of a package that uses the engine

NO_NUMBERS = {"pydantic": "settings pass unchanged, or end the command", "typer": "the command line"}
"""Libraries whose version cannot change a number, and why."""


class Module(NamedTuple):
    """A module of the code: its file, the digest of its canonical form, and its imports."""

    name: str
    path: Path
    digest: str
    imports: tuple[str, ...]
    libraries: tuple[str, ...]  # first names of the third-party modules that it imports


class Code:
    """The code of packages: those `inside` are under `root`, others where Python finds them. Each file is read once."""

    def __init__(
        self, root: Path = ROOT, read: Callable[[Path], str | bytes] = Path.read_bytes, inside: Iterable[str] = (OWN,)
    ):
        self.root, self.read, self.inside = root, read, frozenset(inside)
        self.modules: dict[str, Module] = {}
        self.files: dict[str, Path | None] = {}
        self._exceptions: dict[str, dict[str, Any]] = {}

    def digest(self, roots: Iterable[str]) -> str:
        """One digest of these modules and everything that they import."""
        return joint_digest(digests(self.closure(roots)))

    def closure(self, roots: Iterable[str]) -> list[Module]:
        """These modules, everything that they import, directly or not, and the packages around them, by name."""
        modules: dict[str, Module] = {}
        waiting = list(roots)
        if missing := next((root for root in waiting if self.file(root) is None), None):
            raise InputError(f"{missing}: no such module, of the project in {self.root} or elsewhere")
        while waiting:
            for name in with_parents(waiting.pop()):
                if name not in modules and not self.is_excluded(name) and self.file(name) is not None:
                    modules[name] = self.module(name)
                    waiting += modules[name].imports
        return [modules[name] for name in sorted(modules)]

    def module(self, name: str) -> Module:
        if name not in self.modules:
            path = self.file(name)
            assert path is not None
            tree = self._tree(path)
            imports, libraries = self._imports(tree, name, path)
            digest = hashlib.sha256(canonical(tree).encode()).hexdigest()
            self.modules[name] = Module(name, path, digest, tuple(sorted(imports)), tuple(sorted(libraries)))
        return self.modules[name]

    def source(self, name: str) -> str:
        """A module's code as digests see it, one statement a line; empty where there is no such module."""
        if (path := self.file(name)) is None:
            return ""
        tree = self._tree(path)
        self._imports(tree, name, path)
        return running_source(tree)

    def _tree(self, path: Path) -> ast.Module:
        try:
            return ast.parse(self.read(path), str(path))
        except SyntaxError as error:
            raise InputError(f"{path}, line {error.lineno}: {error.msg}; no digest of this code") from None

    def file(self, name: str) -> Path | None:
        """The source file of a module; None if there is none."""
        if name not in self.files:
            package, _, rest = name.partition(".")
            bases = [folder.joinpath(*rest.split(".")) if rest else folder for folder in self.bases(package)]
            paths = [path for base in bases for path in (base / "__init__.py", base.with_suffix(".py"))]
            self.files[name] = next((path for path in paths if path.is_file()), None)
        return self.files[name]

    def bases(self, package: str) -> list[Path]:
        """The folders of a package, or a top-level module's file without its suffix; nothing is imported."""
        if package in self.inside:
            return [self.root / package]
        if (spec := find_spec(package)) is None:
            return []
        if spec.submodule_search_locations is not None:
            return list(map(Path, spec.submodule_search_locations))
        return [Path(spec.origin).with_suffix("")] if spec.origin and spec.origin.endswith(".py") else []

    def is_excluded(self, name: str) -> bool:
        """Whether no digest covers a module, by the exceptions of its package."""
        listed = self.exceptions(name.partition(".")[0])
        in_package = any(f"{package}.*" in listed["excluded"] for package in with_parents(name))
        return name not in listed["covered"] and (name in listed["excluded"] or in_package)

    def exceptions(self, package: str) -> dict[str, Any]:
        """`excluded` modules of a package by name, with reasons, and `covered` modules of excluded packages."""
        if package not in self._exceptions:
            path = self.file(package)
            file = None if path is None else path.with_name(EXCLUDED)
            listed = read_yaml(file, str(file)) if file is not None and file.is_file() else {}
            self._exceptions[package] = {"excluded": {}, "covered": []} | listed
        return self._exceptions[package]

    def _imports(self, tree: ast.Module, module: str, path: Path) -> tuple[set[str], set[str]]:
        """The modules of the project, and of the module's own package, that a module imports anywhere; its libraries.

        Imports of excluded modules are removed from the tree: they cannot change a number.
        """
        imports: set[str] = set()
        libraries: set[str] = set()
        packages = {OWN, module.partition(".")[0]}
        own_package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in running_statements(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                kept = []
                for alias in node.names:
                    name = self.imported(node, alias, own_package)
                    if (package := name.partition(".")[0]) not in packages:
                        libraries.add(package)
                    elif not self.is_excluded(name):
                        imports.add(name)
                    else:
                        continue
                    kept.append(alias)
                node.names = kept
        return imports, libraries - sys.stdlib_module_names

    def imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, package: str) -> str:
        """The module that a name is imported from, or the module that the name is."""
        if isinstance(node, ast.Import):
            return alias.name
        origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
        inner = f"{origin}.{alias.name}"
        is_covered = origin.partition(".")[0] in (OWN, package.partition(".")[0])
        return inner if is_covered and self.file(inner) is not None else origin


PROJECT = Code()


def with_parents(name: str) -> list[str]:
    """A module and the packages that contain it."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def digests(modules: Iterable[Module]) -> dict[str, str]:
    return {module.name: module.digest for module in modules}


def joint_digest(of_modules: dict[str, str]) -> str:
    """One digest of these modules' digests."""
    return hashlib.sha256("\n".join(f"{name} {of_modules[name]}" for name in sorted(of_modules)).encode()).hexdigest()


@cache
def code_digest(roots: tuple[str, ...]) -> str:
    """The digest of a stage's code; roots: the command's module and the modules of its models' families."""
    return PROJECT.digest(roots)


def expected_code(roots: tuple[str, ...]) -> str:
    """The value of a stage's `--code`."""
    return f"{'+'.join(roots)}={code_digest(roots)[:OPTION_DIGITS]}"


def described(module: str) -> str:
    """What a command does: the first paragraph of its docstring. Nothing is imported or parsed: each plan reads all."""
    path = PROJECT.file(module)
    text = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0] if path else ""
    return " ".join(text.partition("\n\n")[0].split()).removeprefix("Command: ").removeprefix("Stage: ")


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `--code`, and the arguments without it; arguments behind `--` are another command's."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if OPTION not in arguments[: max(0, end - 1)]:
        return None, list(arguments)
    index = arguments.index(OPTION)
    return arguments[index + 1], [*arguments[:index], *arguments[index + 2 :]]


_running: tuple[list[str], list[Module]] | None = None
"""The roots and modules of this process's stage; None without `--code`."""


def start_code_check(option: str) -> None:
    """Compare the stage's code with the digest in `--code`; InputError if it differs."""
    global _running
    names, _, expected = option.partition("=")
    roots = names.split("+")
    modules = _modules(roots)
    digest = joint_digest(digests(modules))
    if not expected or not digest.startswith(expected):
        code = f"the code of {names} in {ROOT / OWN} has digest {digest[: len(expected)]}"
        raise InputError(f"{_stage(roots)}: {code}, and this run was planned with {expected}; {REMEDY}")
    _running = roots, modules


def running_roots() -> list[str]:
    """The modules in the `--code` of this process's stage; empty by hand."""
    return _running[0] if _running is not None else []


def used_libraries() -> dict[str, str]:
    """Library -> version for the stage that this process runs in a workflow (`--code`); empty by hand.

    Digests contain no versions: a result of another version stays valid, and its SHA256SUMS records the version.
    """
    modules = frozenset(name for module in _running[1] for name in module.libraries) if _running else frozenset()
    return versions(modules) if modules else {}


@cache
def versions(modules: frozenset[str]) -> dict[str, str]:
    """The versions of Python and of the packages that provide these modules."""
    installed, found = tuple(metadata.distributions()), dict[str, str]()
    for module in modules - NO_NUMBERS.keys():  # a package with the module's name, or one that contains the module
        containing = (one for one in installed if module in (one.read_text("top_level.txt") or "").split())
        with suppress(metadata.PackageNotFoundError, StopIteration):
            package = next(chain(metadata.Distribution.discover(name=module), containing))
            found[package.name.lower().replace("_", "-")] = package.version
    if "torch" in sys.modules:  # its kernels of another instruction set round differently
        found["cpu"] = "portable" if is_portable() else sys.modules["torch"].backends.cpu.get_cpu_capability()
    return dict(sorted(({"python": platform.python_version()} | found).items()))


def _modules(roots: list[str]) -> list[Module]:
    try:
        return Code().closure(roots)
    except InputError as error:
        raise InputError(f"{_stage(roots)}: {error}; {REMEDY}") from None


def _stage(roots: list[str]) -> str:
    return roots[0].rpartition(".")[2]
