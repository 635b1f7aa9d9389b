"""How PyTorch computes on a CPU: threads, and square roots that do not depend on the processor (docs/processors.md).

MKL's square root, which PyTorch calls, starts from the instruction RSQRTPS. Its result is an approximation, and
processors of AMD and Intel approximate differently. The processors' own square root and division are exact.
"""

from typing import Any

import torch
from torch import Tensor

from bright_pipeline.base.process import is_portable

_sqrt, _power = torch.sqrt, Tensor.__pow__


def use_cpu(threads: int) -> None:
    """Compute with this many threads, since sums depend on their number, and with portable square roots."""
    torch.set_num_threads(threads)
    if is_portable():  # also in libraries: LPIPS takes square roots, and so do the samplers of diffusers
        torch.sqrt = Tensor.sqrt = square_root
        Tensor.__pow__ = power


def square_root(numbers: Tensor, **options: Any) -> Tensor:
    """sqrt(x) as 1 / (1 / sqrt(x)) on a CPU, where PyTorch computes both steps without MKL."""
    return numbers.rsqrt().reciprocal() if numbers.device.type == "cpu" else _sqrt(numbers, **options)


def power(numbers: Tensor, exponent: Any) -> Tensor:
    """x ** y; PyTorch takes a square root where y is 0.5."""
    is_root = isinstance(exponent, float) and exponent == 0.5
    return square_root(numbers) if is_root else _power(numbers, exponent)
