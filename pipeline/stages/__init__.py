"""What the workflow knows of its stages: one contract module for each file of workflow/rules, in the order data flows.

A contract holds, of each of its stages, the name, the folder in the store, the outputs, the settings that its command
is told, GPU and memory, and the function that makes its job. What a stage does is its command: `pipeline/STAGE.py`.
Nothing here imports torch.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.stages.common import Stage

CONTRACTS = ("datasets", "autoencoders", "generation", "evaluation", "studies", "tables", "figures", "page")


@cache
def all_stages() -> "dict[str, Stage]":
    """Every stage by its name, in the order data flows."""
    from pipeline.stages.common import Stage

    modules = [import_module(f"{__name__}.{contract}") for contract in CONTRACTS]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Stage)]
    return {stage.name: stage for stage in found}
