"""The contracts of the stages, in the order of the data flow. workflow/rules/stages.smk makes a rule from each.

A contract gives the name of a stage, its folder in the store, its outputs, the settings of its command, GPU and memory,
and the function that makes its job. The command, `bright_pipeline/STAGE.py`, does the work. Nothing here imports torch.
"""

from functools import cache
from importlib import import_module

from bright_pipeline.engine.jobs import Stage

CONTRACTS = ("datasets", "autoencoders", "measurements", "generation", "evaluation", "tables", "figures", "page")


@cache
def all_stages() -> dict[str, Stage]:
    """Every stage by its name, in the order of the data flow."""
    modules = [import_module(f"{__name__}.{contract}") for contract in CONTRACTS]
    contracts = [value for module in modules for value in vars(module).values() if isinstance(value, Stage)]
    return {stage.name: stage for stage in contracts}
