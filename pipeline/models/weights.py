"""Weights from a file into a module: they fit, and they are numbers."""

from pathlib import Path

from torch import Tensor, nn

from pipeline.base.errors import InputError

TOLD = 4  # names in a message; the rest is counted


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors that have the module's own names; InputError lists those that are missing, too many or wrong."""
    own = module.state_dict()
    misshapen = {
        f"{name}: {_shape(tensors[name])} in the file, {_shape(own[name])} by the settings"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != own[name].shape
    }
    missing, unexpected = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(problems.values()):
        raise InputError(f"{path}: does not fit the settings: {_told(problems)}")
    if infinite := {name for name, tensor in tensors.items() if not tensor.isfinite().all()}:
        raise InputError(f"{path}: weights that are NaN or infinite: {_told({'such': infinite})}")
    module.load_state_dict(tensors)


def _told(problems: dict[str, set[str]]) -> str:
    """`3 missing: a, b, c; 1 unexpected: d`."""
    return "; ".join(f"{len(names)} {what}: {_listed(names)}" for what, names in problems.items() if names)


def _listed(names: set[str]) -> str:
    more = [f"and {len(names) - TOLD} more"] if len(names) > TOLD else []
    return ", ".join(sorted(names)[:TOLD] + more)


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a number"
