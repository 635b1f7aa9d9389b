"""The range and the variance of codes (section 3.4)."""

from typing import Any

from torch import Tensor


def code_statistics(codes: Tensor) -> dict[str, Any]:
    """Range, mean and variance of the codes, over all and per channel: strictly bounded (section 3.4)."""
    per_channel = codes.transpose(0, 1).flatten(1).double()
    return {
        "count": len(codes),
        "minimum": float(codes.min()),
        "maximum": float(codes.max()),
        "mean": float(per_channel.mean()),
        "variance": float(per_channel.var(correction=0)),
        "channels": {
            "minimum": per_channel.amin(1).tolist(),
            "maximum": per_channel.amax(1).tolist(),
            "mean": per_channel.mean(1).tolist(),
            "variance": per_channel.var(1, correction=0).tolist(),
        },
    }
