"""The Triton kernels against `gather`: on a GPU where there is one, else in Triton's interpreter (conftest.py)."""

import os
import subprocess
import sys
from itertools import product

import pytest
import torch
from bright_pipeline.models import retrieval_triton as own
from bright_pipeline.models.retrieval import KERNELS, difference, differentiated
from reference_hash_grid import assert_equal_to_1e_5, make_tables, unit_keys

pytest.importorskip("triton", reason="needs triton: torch's CUDA builds bring it, PyPI has it")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("needs a CUDA device or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")

CONVENTIONS = ("tcnn", "ngp")


def case(images=2, seed=0, **geometry):
    """Groups, their tables, and keys, on the device of the kernels."""
    groups = make_tables(**{"resolutions": 4, "finest": 9} | geometry)
    size = groups.feature_size
    keys = unit_keys(images, groups.groups, groups.settings.key_length, size, size, seed=seed)
    return groups, groups.tables.detach().to(DEVICE), keys.to(DEVICE)


def kernels(groups):
    return own.TritonRetrieval(groups.levels, groups.settings, groups.feature_size)


@pytest.mark.parametrize(
    ("key_length", "size", "convention"),
    [*product([1, 2], [18, 8], CONVENTIONS), (3, 18, "tcnn"), (3, 8, "ngp")],  # 18: all dense; 8: some hashed
)
def test_values_and_gradients_are_those_of_gather(key_length, size, convention):
    features = key_length + 1  # also one that is no power of two
    less = {"images": 1, "resolutions": 3} if key_length == 3 else {}
    groups, tables, keys = case(key_length=key_length, size=size, convention=convention, features=features, **less)
    assert any(level.hashed for level in groups.levels) == (size == 8)
    past = [level.cells >= level.nodes for level in groups.levels]
    assert any(past) == (convention == "tcnn")  # rows that run over
    found = differentiated(kernels(groups), tables, keys)
    for one, other in zip(found, differentiated(groups.fallback, tables, keys), strict=True):
        assert_equal_to_1e_5(one, other)


def test_the_kernels_pass_the_comparison_before_their_first_use():
    """That comparison includes a dense level of 2^18 entries."""
    groups, _, _ = case()
    assert difference(KERNELS["triton"], groups.settings, groups.feature_size, DEVICE) is None


def test_the_gradient_of_the_tables_does_not_depend_on_the_order_of_its_sum():
    groups, tables, keys = case(images=16, resolutions=2, size=6)
    geometry = kernels(groups).geometry(DEVICE)
    random = torch.Generator().manual_seed(1)
    upstream = torch.randn(16, 2, 4, 4, 4, generator=random) * 10.0 ** torch.randint(-6, 6, (16, 1, 1, 1, 1))
    order = torch.randperm(16, generator=random)
    upstream, entries = upstream.to(DEVICE), tables.shape[1]
    found = own.tables_gradient(upstream, keys, geometry, entries)
    other = own.tables_gradient(upstream[order].contiguous(), keys[order].contiguous(), geometry, entries)
    assert torch.equal(found, other)


@pytest.mark.parametrize("size", [1e-38, 1e-20, 1.0, 1e30])
def test_gradients_of_any_size_are_added(size):
    groups, tables, keys = case(resolutions=2)
    geometry = kernels(groups).geometry(DEVICE)
    upstream = torch.ones(2, 2, 4, 4, 4, device=DEVICE)
    one, other = (own.tables_gradient(upstream * by, keys, geometry, tables.shape[1]) for by in (1.0, size))
    torch.testing.assert_close(other, one * size, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_gradient_that_is_not_finite_stays_so_and_a_key_that_is_none_gives_such_features(value):
    groups, tables, keys = case(resolutions=2)
    upstream = torch.ones(2, 2, 4, 4, 4, device=DEVICE)
    upstream[0, 0, 0, 0, 0] = value
    assert not own.tables_gradient(upstream, keys, kernels(groups).geometry(DEVICE), tables.shape[1]).isfinite().any()
    expected = kernels(groups)(tables, keys)
    keys[0, 1, 0, 2, 3] = torch.nan
    features = kernels(groups)(tables, keys)
    assert features[0, 1, :, 2, 3].isnan().all()
    features[0, 1, :, 2, 3] = expected[0, 1, :, 2, 3]
    assert torch.equal(features, expected)


def test_only_the_gradients_that_are_wanted_are_worked_out():
    groups, tables, keys = case(resolutions=2)
    for wanted in (tables, keys):
        leaves = [part.clone().requires_grad_(part is wanted) for part in (tables, keys)]
        with torch.profiler.profile() as profile:
            kernels(groups)(*leaves).sum().backward()
        called = {event.key for event in profile.key_averages() if event.key.startswith("bright::")}
        backward = "table_sums" if wanted is tables else "keys_gradient"
        assert called == {"bright::retrieve", f"bright::retrieve_{backward}"}


def test_second_derivatives_are_refused():
    groups, tables, keys = case(groups=1, images=1, resolutions=1, feature_size=2)
    keys.requires_grad_()
    with pytest.raises(RuntimeError, match=r"^retrieval: triton has no second derivatives"):
        torch.autograd.grad(kernels(groups)(tables, keys).sum(), keys, create_graph=True)


def test_the_operators_keep_to_their_schemas_and_know_their_shapes():
    groups, tables, keys = case(groups=1, images=1, resolutions=1, feature_size=2)
    geometry = kernels(groups).geometry(DEVICE)
    upstream = torch.ones(1, 1, 2, 2, 2, device=DEVICE)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    given = (tables.clone().requires_grad_(), keys.clone().requires_grad_(), geometry)
    torch.library.opcheck(own.retrieve, given, test_utils=checks)
    unit = own.sum_unit(upstream, 4)
    torch.library.opcheck(own.table_sums, (upstream, unit, keys, geometry, tables.shape[1]), test_utils=checks)
    torch.library.opcheck(own.keys_gradient, (upstream, tables, keys, geometry), test_utils=checks)


@pytest.mark.slow
def test_retrieval_can_be_compiled_with_its_gradients():
    groups, tables, keys = case(groups=1, images=1, resolutions=2, feature_size=2)
    strategy = kernels(groups)
    compiled = torch.compile(lambda *given: strategy(*given), backend="aot_eager", fullgraph=True)
    expected = differentiated(strategy, tables, keys)
    for one, other in zip(differentiated(compiled, tables, keys), expected, strict=True):
        assert torch.equal(one, other)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import bright_pipeline.models.triton_kernels as kernels
pointers = dict.fromkeys(("levels", "cells", "sums"), "*i64")
pointers |= dict.fromkeys(("tables", "keys", "scales", "weights", "output", "upstream", "unit", "gradient"), "*fp32")
constants = dict(KEYS=2, DIMENSIONS=4, CORNERS=16, BLOCK=32, FEATURES=4, WIDTH=4, KEY_WIDTH=2)
for name in ("forward", "tables_backward", "keys_backward"):
    kernel = getattr(kernels, name)
    own = {key: value for key, value in constants.items() if key in kernel.arg_names}
    signature = {arg: "constexpr" if arg in own else pointers.get(arg, "i32") for arg in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=own)
    made = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": False})
    print(name, len(made.asm["cubin"]) > 0, "fma" in made.asm["ptx"])
"""


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    """The interpreter takes what the compiler refuses. No product and sum are fused (`launch` says why)."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    names = ("forward", "tables_backward", "keys_backward")
    assert said.stdout.splitlines() == [f"{name} True False" for name in names]
