"""The state of a training in one safetensors file: tensors, and JSON for everything else. Nothing is pickled.

The file is written atomically: it contains the whole state of one step, or does not exist.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from bright_pipeline.base.errors import readable
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.engine.checksums import check


def save_tree(path: Path, tree: dict[str, Any]) -> None:
    """Save nested dicts and lists of tensors and JSON values, such as state dicts."""
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_take_tensors(tree, "", tensors))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": skeleton})


def load_tree(path: Path) -> dict[str, Any]:
    """Load the tree that `save_tree` wrote, with tensors on the CPU; InputError where it is another file."""
    check(path)
    damaged = readable(f"{path}: not a training state of this version", "; delete it to start again")
    with damaged, safe_open(path, framework="pt") as file:
        return _put_tensors(json.loads(file.metadata()["tree"]), file)


def _take_tensors(node: Any, path: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """A node as {type: content} in JSON; its tensors are added to `tensors`, and replaced by their names."""
    if isinstance(node, Tensor):
        # The number makes it unique: the paths of {"a/b": t} and {"a": {"b": t}}, or of keys 1 and "1", are equal.
        name = f"{len(tensors)}{path}"
        # A clone: safetensors refuses tensors that share memory.
        tensors[name] = node.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(node, dict):
        # Pairs, since JSON has no integer keys, and the state of an optimizer does.
        return {"dict": [[key, _take_tensors(value, f"{path}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        items = [_take_tensors(value, f"{path}/{number}", tensors) for number, value in enumerate(node)]
        return {"tuple" if isinstance(node, tuple) else "list": items}
    return {"value": node}


def _put_tensors(node: dict[str, Any], file: Any) -> Any:
    ((kind, content),) = node.items()
    if kind in ("list", "tuple"):
        items = [_put_tensors(value, file) for value in content]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {key: _put_tensors(value, file) for key, value in content}
    return file.get_tensor(content) if kind == "tensor" else content


def all_finite(modules: dict[str, torch.nn.Module]) -> bool:
    """Whether every weight is finite: a state with NaN must never replace a good one."""
    return all(bool(torch.isfinite(p).all()) for module in modules.values() for p in module.parameters())
