"""Learning rates over a training."""

from math import cos, pi


def warmed_up_cosine(peak: float, warmup_steps: int, steps: int, step: int) -> float:
    """Linear warm-up to the peak, then cosine decay to zero at the last step."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * 0.5 * (1 + cos(pi * progress))
