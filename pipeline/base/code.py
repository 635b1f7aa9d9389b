"""The digest of the code that can change a stage's numbers (promise 1).

A family of models from elsewhere (`family: my_package.my_family`) counts like a module of the project.

It is taken from the syntax trees of the stage's numerical modules and of all project modules that
these import, without comments, docstrings and formatting. Modules that move no number (config, logging,
atomic writes, pictures) are left out.
"""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = "pipeline"

WITHOUT_NUMBERS = (
    "pipeline.base.atomic",
    "pipeline.config",
    "pipeline.data.pictures",
    "pipeline.base.errors",
    "pipeline.models.metric_networks.files",
    "pipeline.models.metric_networks.manifest",
    "pipeline.families",
    "pipeline.plan",
    "pipeline.base.progress",
    "pipeline.base.command",
    "pipeline.training.history",
)


@cache
def code_digest(modules: tuple[str, ...], root: Path = ROOT) -> str:
    """One digest for these modules and everything of the project that they import."""
    text = "\n".join(f"{module} {_module_digest(module, root)}" for module in closure(modules, root))
    return hashlib.sha256(text.encode()).hexdigest()


def closure(modules: tuple[str, ...], root: Path = ROOT) -> list[str]:
    """The modules and all numerical project modules that they import, directly or not, sorted."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and not _without_numbers(module):
            found.add(module)
            waiting += _imports(module, root)
    return sorted(found)


def _without_numbers(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_NUMBERS)


def _file(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None if module.split(".")[0] == OWN else _elsewhere(module)


def _elsewhere(module: str) -> Path | None:
    """The file of a module that is not the project's; None for a name that is no module."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found is not None and found.origin not in (None, "built-in") else None


@cache
def _tree(module: str, root: Path) -> ast.Module:
    path = _file(module, root)
    if path is None:
        raise ModuleNotFoundError(f"{module}: no such module under {root}")
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _imports(module: str, root: Path) -> tuple[str, ...]:
    """Project modules that a module imports anywhere, also inside functions."""
    names: list[str] = []
    for node in ast.walk(_tree(module, root)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.append(inner if _file(inner, root) else node.module)
    own = {OWN, module.split(".")[0]}
    return tuple(name for name in names if name.split(".")[0] in own and name != OWN)


@cache
def _module_digest(module: str, root: Path) -> str:
    return hashlib.sha256(_canonical(_tree(module, root)).encode()).hexdigest()


def _canonical(node: object) -> str:
    """A syntax tree as text that is the same in every Python version and for every formatting."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        inner = ",".join(f"{name}={_canonical(_undocumented(node, name, value))}" for name, value in fields)
        return f"{type(node).__name__}({inner})"
    if isinstance(node, list):
        return "[" + ",".join(_canonical(item) for item in node) + "]"
    return repr(node)


def _undocumented(node: ast.AST, name: str, value: object) -> object:
    """The field's value, a body without its docstring."""
    holds_docstring = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if holds_docstring and name == "body" and isinstance(value, list) and value:
        first = value[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return value[1:]
    return value
