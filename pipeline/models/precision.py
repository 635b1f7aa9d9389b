"""Float32 within mixed precision, where half would lose too much: retrieval and demodulation."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """No autocast on the tensor's device (which the meta device doesn't have)."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
