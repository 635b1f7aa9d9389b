"""Whether tensors fit a module, told by name and shape."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from pipeline.base.errors import InputError

TOLD = 4  # names in a message; the rest is counted


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors that have the module's own names; InputError lists what is missing, unexpected or misshapen."""
    own = module.state_dict()
    problems = [
        _listed("missing", own.keys() - tensors.keys()),
        _listed("unexpected", tensors.keys() - own.keys()),
        _listed(
            "of another shape",
            (
                f"{name}: {_shape(tensors[name])} in the file, {_shape(own[name])} by the settings"
                for name in own.keys() & tensors.keys()
                if tensors[name].shape != own[name].shape
            ),
        ),
    ]
    if any(problems):
        raise InputError(f"{path}: does not fit the settings: {'; '.join(filter(None, problems))}")
    module.load_state_dict(tensors)


def _listed(what: str, names: Iterable[str]) -> str:
    """`3 missing: a, b, c`; empty without names."""
    found = sorted(names)
    more = [f"and {len(found) - TOLD} more"] if len(found) > TOLD else []
    return f"{len(found)} {what}: {', '.join(found[:TOLD] + more)}" if found else ""


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a number"
