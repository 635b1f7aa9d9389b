"""A GPU that is not there: its tensors have shapes, types and a device, but no numbers, so that any size costs nothing.

Within `FakeGPU` the CPU's tensors are real and those on `device` are fake: the project's own code runs on it unchanged,
with autograd and autocast. What a GPU refuses, it refuses: tensors of two devices in one operation, and a value of the
device that Python asks for, on which the host would have to wait. It counts what the device does and what it holds.

The device is torch's private-use backend. Its autocast has CUDA's rules for the operations that are used here, its
attention is CUDA's memory-efficient one.
"""

import functools
import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.library import Library, fallthrough_kernel
from torch.utils import _pytree as pytree
from torch.utils import swap_tensors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from pipeline.estimation.devices import Work

NAME = "fakegpu"
BLOCK = 512  # bytes: what CUDA's allocator rounds up to
DRAWN = 2**16  # numbers of a tensor on the CPU above which initial values are not drawn: they only travel to the device
aten = torch.ops.aten

# As torch.autocast does on CUDA ("CUDA ops that can autocast"), of what occurs here.
TO_HALF = ("conv2d", "conv_transpose2d.input", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")
TO_FLOAT = (
    *("layer_norm", "group_norm", "softmax.int", "log_softmax.int", "nll_loss", "kl_div", "mse_loss", "l1_loss"),
    *("softplus", "rsqrt", "exp", "log", "reciprocal", "pow.Tensor_Scalar", "cdist", "cumsum", "prod", "norm.Scalar"),
    *("sum", "sum.dim_IntList", "upsample_nearest2d", "upsample_bilinear2d"),
)
WIDEST = ("cat", "stack", "addcmul", "addcdiv")  # take the widest type among their tensors
OPERATORS = ("aten", "bright")  # torch's, and kernels of this project
NO_WORK = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "_unsafe_view", "lift_fresh")


class HostWaits(RuntimeError):
    """A step asks for a value that lies on the device."""


class NoFakeGPU(RuntimeError):
    """This PyTorch is too old for one."""


@functools.cache
def fake_device() -> torch.device:
    """The device, registered at first use: once in a process, for good."""
    try:
        from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend
    except ImportError:
        raise NoFakeGPU(f"torch {torch.__version__} has no Python backends; counting costs needs 2.10") from None

    class Module(_DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

    _setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    autocast, others, autograd = (
        Library(*where)
        for where in (
            ("aten", "IMPL", "AutocastPrivateUse1"),
            ("_", "IMPL", "AutocastPrivateUse1"),
            ("aten", "IMPL", "AutogradPrivateUse1"),
        )
    )
    others.fallback(fallthrough_kernel)
    for names, choose in ((TO_HALF, _half), (TO_FLOAT, _float), (WIDEST, _widest)):
        for name in names:
            autocast.impl(name, _cast_first(_overload(name), choose))
    autocast.impl("scaled_dot_product_attention", _cast_first(aten.scaled_dot_product_attention.default, _half))
    autograd.impl("scaled_dot_product_attention", _fused_attention)
    _kept_alive.extend((autocast, others, autograd))
    return torch.device(f"{NAME}:0")


_kept_alive: list[Library] = []  # a library's registrations end with it


def _overload(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(aten, packet), overload or "default")


def _half(tensors: list[Tensor]) -> torch.dtype:
    return torch.get_autocast_dtype(NAME)


def _float(tensors: list[Tensor]) -> torch.dtype:
    return torch.float32


def _widest(tensors: list[Tensor]) -> torch.dtype:
    return functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))


def _cast_first(operator: Any, choose: Callable[[list[Tensor]], torch.dtype]) -> Callable[..., Any]:
    """The operator on tensors of one type, without autocast inside."""
    off = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def call(*args: Any, **kwargs: Any) -> Any:
        def floating(value: Any) -> bool:
            return isinstance(value, Tensor) and value.is_floating_point() and value.device.type == NAME

        with torch._C._ExcludeDispatchKeyGuard(off):
            if found := [one for one in pytree.tree_leaves((args, kwargs)) if floating(one)]:
                dtype = choose(found)
                args, kwargs = pytree.tree_map(lambda one: one.to(dtype) if floating(one) else one, (args, kwargs))
            return operator(*args, **kwargs)

    return call


def _fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    fused = aten._scaled_dot_product_efficient_attention
    return fused(query, key, value, attn_mask, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale)[0]


def _swap_others(one: Tensor, other: Tensor) -> None:
    """torch's, which fails on fake tensors, where `Module.to` comes to a weight that is on the device already."""
    if one.untyped_storage()._cdata != other.untyped_storage()._cdata:
        swap_tensors(one, other)


class FakeGPU(TorchDispatchMode):
    """Runs what happens on the device without numbers, and counts it; the rest runs as it always does."""

    def __init__(self) -> None:
        super().__init__()
        self.device = fake_device()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.operations: Counter[str] = Counter()
        """Work of the device by operator; views and allocations are none. One is about one kernel."""
        self.work = Work()
        """Floating-point operations of convolutions and matrix products."""
        self.to_device = self.to_host = 0
        """Copies."""
        self.held = self.peak = self.kept = self.most_kept = 0
        """Bytes on the device now and at most; those of them that a graph keeps for its backward pass."""
        self._known = WeakIdKeyDictionary()
        self._saved = WeakIdKeyDictionary()

    def __enter__(self) -> "FakeGPU":
        # The engine's own threads know nothing of modes.
        self._threads = torch.autograd.is_multithreading_enabled()
        torch.autograd.set_multithreading_enabled(False)
        torch.utils.swap_tensors = _swap_others
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.utils.swap_tensors = swap_tensors
        torch.autograd.set_multithreading_enabled(self._threads)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """From here on everything counts from nothing; what lies on the device is held, not kept for a backward."""
        self.operations, self.work, self.to_device, self.to_host = Counter(), Work(), 0, 0
        self.peak, self.kept, self.most_kept = self.held, 0, 0
        before = WeakIdKeyDictionary(dict.fromkeys(self._known.keys()))

        def keep(tensor: Tensor) -> Tensor:
            if tensor.device == self.device and (storage := tensor.untyped_storage()) not in before:
                self._keep(storage)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        fake = [one for one in tensors if isinstance(one, FakeTensor)]
        if not fake and kwargs.get("device") != self.device:
            return self._on_the_host(func, tensors, args, kwargs)
        args, kwargs = pytree.tree_map_only(Tensor, self._faked, (args, kwargs))
        try:
            with self.fake:
                out = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise HostWaits(f"{func}: the host waits for a value of the device") from error
        made = [one for one in pytree.tree_leaves(out) if isinstance(one, Tensor)]
        self._count(func, args, kwargs, out, fake, made)
        return out

    def _on_the_host(self, func: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        if drawn and func._schema.name.endswith("_") and tensors[0].numel() > DRAWN:
            return tensors[0]
        if drawn and func._overloadpacket in (aten.randn, aten.rand) and math.prod(args[0]) > DRAWN:
            kept = {key: one for key, one in kwargs.items() if key != "generator"}
            return aten.empty.memory_format(args[0], **kept)
        return func(*args, **kwargs)

    def _faked(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)

    def _count(self, func: Any, args: Any, kwargs: Any, out: Any, fake: list[Tensor], made: list[Tensor]) -> None:
        read, written = ({one.device == self.device for one in some} for some in (fake, made))
        if True not in read | written:
            return
        for one in made:
            if one.device == self.device and (storage := one.untyped_storage()) not in self._known:
                self._hold(storage)
        if func is aten._to_copy.default and read != written:
            self.to_device += written == {True}
            self.to_host += written == {False}
            return
        name = func._schema.name.removeprefix("aten::")
        if func.namespace not in OPERATORS or func.is_view or name in NO_WORK:
            return
        if not made and not name.startswith("_f"):
            return
        self.operations[name] += 1
        if func._overloadpacket in flop_registry:
            done = flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
            self.work += Work(convolutions=done) if "convolution" in name else Work(products=done)

    def _hold(self, storage: torch.UntypedStorage) -> None:
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._known[storage] = size
        self.held += size
        self.peak = max(self.peak, self.held)

        def freed() -> None:
            self.held -= size

        weakref.finalize(storage, freed)

    def _keep(self, storage: torch.UntypedStorage) -> None:
        if storage in self._saved or storage not in self._known:
            return
        size = self._saved[storage] = self._known[storage]
        self.kept += size
        self.most_kept = max(self.most_kept, self.kept)

        def freed() -> None:
            self.kept -= size

        weakref.finalize(storage, freed)
