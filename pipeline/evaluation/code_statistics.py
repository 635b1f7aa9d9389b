"""The range and the variance of codes, and how evenly they use codebooks or hash tables (section 3.4)."""

from typing import Any

import numpy as np
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


def usage(hits: np.ndarray, reachable: np.ndarray) -> dict[str, Any] | None:
    """Shares and perplexities from hits (groups, entries), over the entries (entries,) that a code can reach.

    A group is a codebook, or one group's table of the finest resolution. The perplexity exp(-sum p ln p) is the number
    of entries that would be used if all were used alike; `evenness` is that over the number of entries. None where a
    family has no entries.
    """
    among = hits[:, reachable.astype(bool)] if hits.size else hits
    if not among.size:
        return None
    shares, perplexities = (among > 0).mean(axis=1), [perplexity(group) for group in among]
    entries = among.shape[1]
    return {
        "groups": len(among),
        "entries": entries,
        "used_share": float(shares.mean()),
        "least_used_share": float(shares.min()),
        "perplexity": float(np.mean(perplexities)),
        "evenness": float(np.mean(perplexities) / entries),
    }


def perplexity(hits: np.ndarray) -> float:
    """exp of the entropy of how hits are spread over entries; 0 where there are none."""
    shares = hits[hits > 0] / max(hits.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0
