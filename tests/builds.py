"""What PyTorch's build on this machine says where there is no GPU: the one for the CPU, and the one with CUDA."""

import torch
from bright_pipeline.base.errors import error_text


def no_gpu() -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"({error_text(error)})"
    return ""
