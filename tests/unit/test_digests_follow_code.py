"""An edit anywhere in the project moves the digests of the stages whose code it is in, and of no other."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_origin

import pytest
from pydantic import BaseModel

from pipeline.base.code import LEFT_OUT, ROOT, Code, is_left_out, upwards
from pipeline.families import AUTOENCODERS, GENERATORS, GeneratorFamily, find_family

PACKAGE = ROOT / "pipeline"
STAGES = tuple(sorted(path.stem for path in PACKAGE.glob("*.py") if "run_stage(" in path.read_text()))
FAMILIES = (*AUTOENCODERS, *GENERATORS)

read = cache(Path.read_text)
project = Code(read=read)


def family_code(name: str) -> tuple[str, ...]:
    family = find_family(name)
    networks = family.training_code if isinstance(family, GeneratorFamily) else family.code
    return (f"pipeline.families.{name}", *networks)


# What jobs' digests are made from: every stage's command, and what a family adds to it.
ROOTS = {stage: (f"pipeline.{stage}",) for stage in STAGES} | {name: family_code(name) for name in FAMILIES}
CLOSURES = {name: {module.name for module in project.closure(roots)} for name, roots in ROOTS.items()}
COVERED = sorted(set().union(*CLOSURES.values()))


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


def test_an_edit_in_any_module_moves_exactly_the_stages_that_reach_it() -> None:
    assert len(STAGES) > 15
    for module in COVERED:
        reached = {name for name, modules in CLOSURES.items() if module in modules}
        assert moved_by(file_of(module), lambda text: f"{text}\nANOTHER_NUMBER = 1\n") == reached, module


def test_words_move_nothing_in_any_module() -> None:
    for module in COVERED:
        assert moved_by(file_of(module), other_words) == set(), module


def other_words(text: str) -> str:
    """The module with another docstring, comment, log line, help of options, and text of errors."""
    text = f'"""Other words."""\n# A comment.\n{text}\nlogger.info("other words")  # a log line\n'
    text = re.sub(r'\n( +)"""(?=\w)', r'\n\1"""Other words: ', text)
    text = re.sub(r'help="', 'help="Other words: ', text)
    return re.sub(r'InputError\((f?)"', r'InputError(\1"Other words: ', text)


def test_words_are_changed_where_there_are_some() -> None:
    text = (
        'def f(a: Annotated[int, Option(help="A number.")]):\n    """Its value."""\n    raise InputError(f"{a}: no")\n'
    )
    changed = other_words(text)
    assert 'help="Other words: A' in changed
    assert '"""Other words: Its' in changed
    assert 'InputError(f"Other words: {' in changed


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [
        ("torch.randperm(len(source), gen", "torch.randperm(len(source) - 1, gen", {"generate"}),
        ('"beta_end": last', '"beta_end": 2 * last', {"generate", "train_diffusion", "ddpm"}),
        (".network.latent_channels or", ".network.latent_channels and", {"kl", "rqvae", "vqgan"}),
        (
            "return tensors, _checked(",
            "return {key: 2 * one for key, one in tensors.items()}, _checked(",
            {"extract_features", "reconstruct", "nearest_neighbours", "train_autoencoder"},
        ),
        ("seen, job.neighbours,", "seen, job.neighbours + 1,", {"nearest_neighbours"}),
        ('"count": len(originals),\n        "metrics"', '"count": 2,\n        "metrics"', {"reconstruct"}),
    ],
    ids=["order of real images", "betas", "latent channels", "metric weights", "neighbours", "image count"],
)
def test_edits_that_change_numbers_move_the_stages_that_compute_them(old: str, new: str, stages: set[str]) -> None:
    (path,) = (path for path in sorted(PACKAGE.rglob("*.py")) if read(path).count(old) == 1)
    assert stages <= moved_by(path, lambda text: text.replace(old, new))


class Use(NamedTuple):
    """What covered code uses of a module that is left out."""

    name: str
    by: str


# Of modules that are left out, covered code may use settings (they are values) and what stands here.
USED = {
    "pipeline.base.atomic.atomic_path": "gives a path beside the one asked for",
    "pipeline.base.atomic.write_json": "writes the numbers that it is given, in full",
    "pipeline.base.atomic.write_text": "writes the text that it is given",
    "pipeline.base.command.LogOption": "where log lines go",
    "pipeline.base.command.TERMINATED": "an exit code",
    "pipeline.base.command.listed": "reads paths from a list of arguments",
    "pipeline.base.command.read_settings": "the settings, which are in the digest by value",
    "pipeline.base.command.run_stage": "starts the command, whose arguments are its job's",
    "pipeline.base.command.stage": "gives the command its settings, which are in the digest by value",
    "pipeline.base.errors.InputError": "ends the command",
    "pipeline.base.parsing.explain": "the text of an error",
    "pipeline.base.parsing.parse_settings": "settings that are right pass unchanged",
    "pipeline.base.progress.Progress": "counts for a person who waits",
    "pipeline.base.progress.log_to": "where log lines go",
    "pipeline.base.progress.logger": "log lines",
    "pipeline.base.running_code.refuse_other_code": "ends the command",
    "pipeline.base.running_code.split_arguments": "finds what `refuse_other_code` is to look at",
    "pipeline.base.running_code.watch": "remembers what `refuse_other_code` is to tell",
    "pipeline.config.families.parse_autoencoder": "settings that are right pass unchanged",
    "pipeline.config.families.parse_generator": "settings that are right pass unchanged",
    "pipeline.settings.fields.is_power_of_two": "a check of settings",
    "pipeline.data.pictures.contact_sheet": "pictures that only people look at",
    "pipeline.families.AutoencoderFamily": "what a family consists of; each of its modules is in the digest",
    "pipeline.families.GeneratorFamily": "what a family consists of; each of its modules is in the digest",
    "pipeline.families.autoencoder_family": "finds the family, whose modules are in the digest",
    "pipeline.families.generator_family": "finds the family, whose modules are in the digest",
    "pipeline.families.load": "finds the family's network, whose module is in the digest",
    "pipeline.generation.interactive.interactive": "for Python sessions and notebooks; no stage calls it",
    "pipeline.models.metric_networks.manifest.PERCEPTUAL_NETWORKS": "a network's name; its sha256 is in the digest",
    "pipeline.models.metric_networks.manifest.manifest": "whose weights they are, for the page",
    "pipeline.models.metric_networks.manifest.missing_line": "the text of an error",
    "pipeline.models.metric_networks.manifest.network": "the sha256 that weights must have, which is in the digest",
    "pipeline.models.metric_networks.manifest.package_file": "where a file lies whose sha256 is checked",
    "pipeline.training.history.History": "writes down what the training says; no step reads it",
}

# Methods and properties of settings, and what only has the name of one: MODULE: EXPRESSION.
READ = {
    "check_resolution": "a check of settings",
    "check_shape": "a check of settings",
    "pipeline.families.stylegan2: self.execution.processes": "a check of settings",
    "pipeline.figures.codes: points.sort": "numpy's",
    "pipeline.figures.hits: np.sort": "numpy's",
    "pipeline.foreign.first_stages: match.groups": "of a regular expression",
}


def used() -> Iterator[Use]:
    """What covered code imports from modules that are left out, but for settings."""
    for module in COVERED:
        path = file_of(module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(read(path))):
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
                origin = project.imported(node, alias, package)
                name = f"{origin}.{alias.name}"
                if is_left_out(origin) and not (is_for_types(module, name) or is_settings(origin, alias.name)):
                    yield Use(name, module)


def is_settings(module: str, name: str) -> bool:
    """Whether the name is that of settings, of a union of them, or of another class that only holds values."""
    if f"{module}.{name}" in USED:
        return False
    found = getattr(importlib.import_module(module), name, None)
    holds_values = isinstance(found, type) and (issubclass(found, BaseModel | tuple) or is_dataclass(found))
    return holds_values or get_origin(found) is not None


def is_for_types(module: str, name: str) -> bool:
    """Names that a module imports for its annotations alone."""
    return module == "pipeline" and name.rpartition(".")[0] == "pipeline.generation.interactive" and name not in USED


def methods() -> set[str]:
    """The names of all methods and properties of classes of settings in modules that are left out."""
    found = set()
    for path in (*PACKAGE.glob("config/*.py"), *PACKAGE.glob("stages/*.py")):
        for node in ast.parse(read(path)).body:
            if isinstance(node, ast.ClassDef) and node.bases:
                functions = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
                found |= {name for name in functions if not name.startswith("_")}
    return found


def test_no_number_comes_from_a_function_that_is_left_out() -> None:
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


def test_nothing_is_named_that_is_not_there() -> None:
    """A list kept by hand holds what is used, and no more."""
    assert not USED.keys() - {use.name for use in used()}
    imported = {name for use in used() for name in upwards(use.name)}
    planned = {"pipeline.commands.*", "pipeline.plan.*", "pipeline.stages.*", "pipeline.config.*"}
    assert not LEFT_OUT.keys() - imported - planned
