"""A simulated GPU: its tensors have shapes, types and a device but no data, so models of any size cost nothing.

Within `FakeGPU` the CPU's tensors are real and those on `device` are fake. The project's own code runs unchanged on it,
with autograd and autocast. It fails as on a GPU where one operation mixes tensors of two devices, and wherever the host
would wait for a value of the device. It counts the device's floating-point operations and memory.

The device is torch's private-use backend. Its autocast has CUDA's rules for the operators that are used here; its
attention is CUDA's memory-efficient one.
"""

import functools
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.library import Library, fallthrough_kernel
from torch.utils import _pytree as pytree
from torch.utils import swap_tensors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

NAME = "fakegpu"
BLOCK = 512  # bytes: the granularity of CUDA's allocator
DRAWN = 2**16  # larger tensors on the CPU get no random values: they are only copied to the device
aten = torch.ops.aten

# The rules of torch.autocast on CUDA ("CUDA ops that can autocast") for the operators that occur here.
TO_HALF = (
    *("conv2d", "conv_transpose2d.input", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm"),
    "scaled_dot_product_attention",
)
TO_FLOAT = (
    *("layer_norm", "group_norm", "softmax.int", "log_softmax.int", "nll_loss", "kl_div", "mse_loss", "l1_loss"),
    *("softplus", "rsqrt", "exp", "log", "reciprocal", "pow.Tensor_Scalar", "cdist", "cumsum", "prod", "norm.Scalar"),
    *("sum", "sum.dim_IntList", "upsample_nearest2d", "upsample_bilinear2d"),
)
WIDEST = ("cat", "stack", "addcmul", "addcdiv")  # run in the widest type of their tensors


class NotCounted(RuntimeError):
    """The host waits for a value of the device, or this PyTorch is too old to simulate one."""


@functools.cache
def fake_device() -> torch.device:
    """The device; it is registered at the first call and stays registered in this process."""
    try:
        from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend
    except ImportError:
        raise NotCounted(f"torch {torch.__version__} has no Python backends; counting needs 2.10 or newer") from None

    class Module(_DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

    _setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    autocast, autograd = (Library("aten", "IMPL", f"{kind}PrivateUse1") for kind in ("Autocast", "Autograd"))
    others = Library("_", "IMPL", "AutocastPrivateUse1")
    others.fallback(fallthrough_kernel)
    rules: dict[tuple[str, ...], Callable[[list[Tensor]], torch.dtype]] = {
        TO_HALF: lambda tensors: torch.get_autocast_dtype(NAME),
        TO_FLOAT: lambda tensors: torch.float32,
        WIDEST: lambda tensors: functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors)),
    }
    for names, choose in rules.items():
        for name in names:
            packet, _, overload = name.partition(".")
            autocast.impl(name, _cast_first(getattr(getattr(aten, packet), overload or "default"), choose))
    autograd.impl("scaled_dot_product_attention", _fused_attention)
    _kept_alive.extend((autocast, others, autograd))
    return torch.device(f"{NAME}:0")


_kept_alive: list[Library] = []  # a registration ends when its library is collected


def _cast_first(operator: Any, choose: Callable[[list[Tensor]], torch.dtype]) -> Callable[..., Any]:
    """The operator with its tensors cast to one type, and without autocast inside."""
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
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    fused = aten._scaled_dot_product_efficient_attention
    return fused(query, key, value, attn_mask, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale)[0]


def _swap_others(one: Tensor, other: Tensor) -> None:
    """`torch.utils.swap_tensors`, without swapping a fake tensor with itself, which fails (`Module.to` tries it)."""
    if one.untyped_storage()._cdata != other.untyped_storage()._cdata:
        swap_tensors(one, other)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among an operator's arguments or results; pytree's functions are several times slower."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _device(tensor: Tensor) -> torch.device:
    """`tensor.device`, without the dispatched call that it takes for a fake tensor."""
    return tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device


class FakeGPU(TorchDispatchMode):
    """Runs the device's operations without data and counts them; the CPU's run as usual."""

    def __init__(self) -> None:
        super().__init__()
        self.device = fake_device()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.work = np.zeros(2)  # floating-point operations of convolutions, and of matrix products
        self.held = self.peak = 0  # bytes on the device now, and at most
        self._known = WeakIdKeyDictionary()

    def __enter__(self) -> "FakeGPU":
        # Dispatch modes do not reach the autograd engine's own threads.
        self._threads = torch.autograd.is_multithreading_enabled()
        torch.autograd.set_multithreading_enabled(False)
        torch.utils.swap_tensors = _swap_others
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.utils.swap_tensors = swap_tensors
        torch.autograd.set_multithreading_enabled(self._threads)

    def measure(self, call: Callable[[], object]) -> tuple[np.ndarray, int]:
        """The work of a call, and the bytes on the device at most."""
        self.work, self.peak = np.zeros(2), self.held
        call()
        return self.work, self.peak

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # most calls ask for the device of a tensor
        kwargs = kwargs or {}
        tensors = list(_tensors((*args, *kwargs.values())))
        fake = [one for one in tensors if isinstance(one, FakeTensor)]
        if not fake and kwargs.get("device") != self.device:
            drawn = torch.Tag.nondeterministic_seeded in func.tags
            if drawn and func._schema.name.endswith("_") and tensors[0].numel() > DRAWN:
                return tensors[0].zero_()  # rejection sampling would go on for ever with what the memory had
            if drawn and func._overloadpacket in (aten.randn, aten.rand) and math.prod(args[0]) > DRAWN:
                return aten.zeros.default(args[0], **{key: kwargs[key] for key in kwargs.keys() - {"generator"}})
            return func(*args, **kwargs)
        if len(fake) < len(tensors):
            args, kwargs = pytree.tree_map_only(
                Tensor, lambda one: one if isinstance(one, FakeTensor) else self.fake.from_tensor(one), (args, kwargs)
            )
        try:
            with self.fake:
                out = func(*args, **kwargs)
        except (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException) as error:
            raise NotCounted(f"{func}: the host waits for a value of the device") from error
        self._count(func, args, kwargs, out)
        return out

    def _count(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        for one in _tensors((out,)):
            if _device(one) == self.device and (storage := one.untyped_storage()) not in self._known:
                size = self._known[storage] = -(-storage.nbytes() // BLOCK) * BLOCK
                self.held += size
                self.peak = max(self.peak, self.held)
                weakref.finalize(storage, self._free, size)
        if func._overloadpacket in flop_registry:
            is_product = "convolution" not in func._schema.name
            self.work[int(is_product)] += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)

    def _free(self, size: int) -> None:
        self.held -= size
