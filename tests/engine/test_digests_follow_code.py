"""An edit changes the digests of the stages whose code it is in, and no others; each module is in some digest."""

import ast
import importlib
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import NamedTuple, get_origin

import yaml
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.canonical import running_statements
from bright_pipeline.engine.code import PROJECT, ROOT, Code, with_parents
from bright_pipeline.engine.jobs import planned
from bright_pipeline.families import AUTOENCODERS, GENERATORS, GeneratorFamily, autoencoder_family, find_family
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs
from pydantic import BaseModel

PACKAGE = ROOT / "bright_pipeline"
FAMILIES = (*AUTOENCODERS, *GENERATORS)

read = cache(Path.read_text)
project = Code(read=read)


def family_code(name: str) -> tuple[str, ...]:
    family = find_family(name)
    named = (family.model, family.task) if isinstance(family, GeneratorFamily) else (family.model,)
    return (f"bright_pipeline.families.{name}", *(path.partition(":")[0] for path in named))


# What jobs' digests are made from: every stage's command, what a family adds to it, what a figure adds.
ROOTS = (
    {stage.name: (stage.command,) for stage in all_stages().values()}
    | {name: family_code(name) for name in FAMILIES}
    | {f"counts of {name}": (autoencoder_family(name).counts.partition(":")[0],) for name in AUTOENCODERS}
    | {name: (figure.module,) for name, figure in FIGURES.items()}
)
CLOSURES = {name: {module.name for module in project.closure(roots)} for name, roots in ROOTS.items()}
COVERED = sorted(set().union(*CLOSURES.values()))
# Modules that no stage's command imports, except through modules that are excluded for a reason of their own.
NOT_REACHED = {
    "bright_pipeline.data.embedded": "a folder of pictures, which are in digests by sha256",
    "bright_pipeline.generation.code_files": "for `bright encode` and `bright decode`",
    "bright_pipeline.generation.exported": "for `bright export` and Python sessions",
    "bright_pipeline.generation.interactive": "for Python sessions",
    "bright_pipeline.generation.released": "for `bright export`, releases and Python sessions",
    "bright_pipeline.models.metric_networks.fetching": "networks, which are in digests by sha256",
    "bright_pipeline.page.model_card": "for `bright export`",
}


def moved_by(path: Path, edit: Callable[[str], str]) -> set[str]:
    """The stages and families whose digest has moved after an edit of this file."""
    text = edit(read(path))
    assert text != read(path)
    edited = Code(read=lambda one: text if one == path else read(one))
    edited.files = project.files
    edited.modules = {name: module for name, module in project.modules.items() if module.path != path}
    return {name for name, roots in ROOTS.items() if edited.digest(roots) != project.digest(roots)}


def file_of(module: str) -> Path:
    path = project.file(module)
    assert path is not None
    return path


def test_the_roots_of_all_families_jobs_are_covered_here(own_folder: Path) -> None:
    known = {root for roots in ROOTS.values() for root in roots}
    jobs = Jobs(read_config(ROOT.parent / "config" / "demo-all.yaml"), every_network=True)
    stages = {job.stage.name for job in jobs(planned).values()}
    assert all_stages().keys() - stages <= {"import_weights", "make_study", "measure_storage", "take_snapshot"}
    assert {root for job in jobs(planned).values() for root in job.code_roots} <= known


def test_every_module_is_in_a_digest_or_cannot_change_a_number() -> None:
    """`bright_pipeline.estimation` is for `bright estimate` and warnings."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py"))
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    left = {name for name in modules - set(COVERED) if not PROJECT.is_excluded(name)}
    assert {name for name in left if not name.startswith("bright_pipeline.estimation")} == NOT_REACHED.keys()
    for name in ("models.triton_kernels", "figures.codes", "foreign.unets"):
        assert f"bright_pipeline.{name}" in COVERED


def test_an_edit_in_any_module_moves_exactly_the_stages_that_reach_it() -> None:
    for module in COVERED:
        reached = {name for name, modules in CLOSURES.items() if module in modules}
        assert moved_by(file_of(module), lambda text: f"{text}\nANOTHER_NUMBER = 1\n") == reached, module


class Use(NamedTuple):
    """A name of an excluded module, and the covered module that uses it."""

    name: str
    by: str


# The names of excluded modules, other than settings, that covered code may use, and of settings' methods; with reasons.
ALLOWED = yaml.safe_load(Path(__file__).with_name("used_by_covered_code.yaml").read_text(encoding="utf-8"))
USED = {f"bright_pipeline.{name}" for names in ALLOWED["names"].values() for name in names.split()}
READ = ALLOWED["read"]


def used() -> Iterator[Use]:
    """What covered code imports from excluded modules, except settings."""
    return (use for use in imports() if not is_settings(*use.name.rpartition(".")[::2]))


def imports() -> Iterator[Use]:
    """What covered code imports from excluded modules: names, or a module whose names it then uses."""
    for module in COVERED:
        path = file_of(module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        tree = ast.parse(read(path))
        uses = {(ast.unparse(one.value), one.attr) for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
        for node in running_statements(tree):
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
                origin = project.imported(node, alias, package)
                if PROJECT.is_excluded(origin):
                    of_module = {name for value, name in uses if value == (alias.asname or alias.name)}
                    names = of_module if origin.endswith(f".{alias.name}") else {alias.name}
                    yield from (Use(f"{origin}.{name}", module) for name in names)


def is_settings(module: str, name: str) -> bool:
    """Whether the name is that of settings, of a union of them, or of the class that holds a key's value."""
    if f"{module}.{name}" in USED:
        return False
    found = getattr(importlib.import_module(module), name, None)
    return (isinstance(found, type) and issubclass(found, BaseModel | CodeSize)) or get_origin(found) is not None


def methods() -> set[str]:
    """The names of all methods and properties of classes of settings in excluded modules."""
    found = set()
    for package in ("config", "settings", "stages"):
        for path in PACKAGE.glob(f"{package}/*.py"):
            module = importlib.import_module(f"bright_pipeline.{package}.{path.stem}")
            own = [one for one in vars(module).values() if getattr(one, "__module__", None) == module.__name__]
            for settings in own:
                if isinstance(settings, type) and issubclass(settings, BaseModel):
                    callables = FunctionType | property | cached_property
                    found |= {name for name, one in vars(settings).items() if isinstance(one, callables)}
    return {name for name in found if not name.startswith("_")}


def test_no_number_comes_from_an_excluded_function() -> None:
    found = sorted({use for use in used() if use.name not in USED})
    assert not found, "\n".join(["in no digest, but used by code that is:", *map(str, found)])


def test_no_number_comes_from_a_method_of_settings() -> None:
    names = methods() - READ.keys()
    found = set()
    for module in COVERED:
        for node in ast.walk(ast.parse(read(file_of(module)))):
            if isinstance(node, ast.Attribute) and node.attr in names:
                found.add(f"{module}: {ast.unparse(node)}")
    unnamed = sorted(found - READ.keys())
    assert not unnamed, "\n".join(["in no digest, but used by code that is:", *unnamed])


def test_the_lists_of_exceptions_are_minimal() -> None:
    """The lists contain nothing that is no longer used."""
    assert not USED - {use.name for use in used()}
    imported = {name for use in imports() for name in with_parents(use.name)}
    reached = imported | {f"{name}.*" for name in imported}
    assert PROJECT.exceptions("bright_pipeline")["excluded"].keys() - reached == {
        "bright_pipeline.commands.*",
        "bright_pipeline.config.*",
        "bright_pipeline.plan.*",
    }, "only these are above the stages"
