"""The GPU check's report names the card and the libraries."""

import torch


def pytest_report_header() -> str:
    if not torch.cuda.is_available():
        return "no CUDA device: these results, at the demo's sizes on the CPU, say nothing of a GPU"
    card = torch.cuda.get_device_properties(0)
    memory, count = card.total_memory / 2**30, torch.cuda.device_count()
    return f"{card.name}, {memory:.1f} GiB, {count} of them, CUDA {torch.version.cuda}, torch {torch.__version__}"
