"""Whether tensors fit a module, told by name and shape."""

from pathlib import Path

from torch import Tensor, nn

from pipeline.base.errors import InputError

TOLD = 4  # names in a message; the rest is counted


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors that have the module's own names; InputError lists what is missing, unexpected or misshapen."""
    own = module.state_dict()
    misshapen = {
        f"{name}: {_shape(tensors[name])} in the file, {_shape(own[name])} by the settings"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != own[name].shape
    }
    missing, unexpected = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(problems.values()):
        told = "; ".join(_listed(what, sorted(names)) for what, names in problems.items() if names)
        raise InputError(f"{path}: does not fit the settings: {told}")
    module.load_state_dict(tensors)


def _listed(what: str, names: list[str]) -> str:
    """`3 missing: a, b, c`."""
    more = [f"and {len(names) - TOLD} more"] if len(names) > TOLD else []
    return f"{len(names)} {what}: {', '.join(names[:TOLD] + more)}"


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a number"
