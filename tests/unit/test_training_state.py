"""Training state: nested dicts and lists of tensors and JSON values in one safetensors file."""

import signal
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from pipeline.base.errors import InputError
from pipeline.training.state import all_finite, load_tree, save_tree

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda shape, dtype, seed: (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
leaves = st.one_of(
    tensors, st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=5)
)
keys = st.one_of(st.integers(0, 99), st.text("ab/.", min_size=1, max_size=3))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(keys, trees, max_size=4))
def test_a_tree_comes_back_with_its_types_keys_and_bits(tmp_path, tree):
    save_tree(tmp_path / "state.safetensors", tree)
    assert same(load_tree(tmp_path / "state.safetensors"), tree)


WHOLE = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "tree",
    [
        {"a/b": torch.tensor([1]), "a": {"b": torch.tensor([2])}, 1: torch.tensor([3]), "1": torch.tensor([4])},
        {"whole": WHOLE, "again": WHOLE, "part": WHOLE[1], "turned": WHOLE.T},
    ],
    ids=["keys that look alike as paths", "tensors that share memory"],
)
def test_trees_that_could_be_mixed_up_come_back_too(tmp_path, tree):
    save_tree(tmp_path / "state.safetensors", tree)
    assert same(load_tree(tmp_path / "state.safetensors"), tree)


def test_a_damaged_state_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tree(path, {"step": 3, "weights": torch.ones(100)})
    no_tree = save({"weights": torch.ones(2)})
    for content in (path.read_bytes()[:-50], b"not safetensors at all", b"", no_tree):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^.*{path}.*delete it to start again.*$"):
            load_tree(path)


def test_a_kill_while_saving_leaves_the_state_before(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tree(path, {"step": 1, "weights": torch.ones(10)})
    code = (
        "import os, signal, sys, torch; from pathlib import Path; from pipeline.training import state\n"
        "def killed(tensors, path, metadata):\n"
        "    Path(path).write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "state.save_file = killed\n"
        "state.save_tree(Path(sys.argv[1]), {'step': 2, 'weights': torch.zeros(10)})"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert same(load_tree(path), {"step": 1, "weights": torch.ones(10)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_weight_among_all_modules_is_found(bad):
    modules = {"model": torch.nn.Linear(3, 3), "discriminator": torch.nn.Linear(3, 3)}
    assert all_finite(modules)
    with torch.no_grad():
        modules["discriminator"].bias[1] = bad
    assert not all_finite(modules)
