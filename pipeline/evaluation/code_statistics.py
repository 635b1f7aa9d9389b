"""The range and the variance of codes, and how evenly they use codebooks or hash tables (section 3.4).

Also what keeping a collection takes: bytes of the model that decodes, and of the codes (section 5's limitation).
"""

from math import ceil, log2
from typing import Any

import numpy as np
from torch import Tensor, nn

from pipeline.models.code_bits import FLOAT_BITS


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


def storage(model: nn.Module, codes: Tensor) -> dict[str, Any]:
    """Bytes of a trained autoencoder and of the codes (count, C_z, H_z, W_z) of a collection.

    `tables` are BRIGHT's hash tables; `decoding` is everything but the encoder, the tables among it. Families that
    quantize keep indices instead of numbers.
    """
    tables = getattr(model, "tables", None)
    encoder = getattr(model, "encoder", None)
    bits, numbers = FLOAT_BITS, codes[0].numel()
    if entries := getattr(model, "codebook_size", None):
        bits = index_bits(entries)
        numbers = model.indices(codes[:1].to(next(model.parameters()).device))[0].numel()
    return {
        "tables": weight_bytes(tables) if isinstance(tables, nn.Module) else 0,
        "decoding": weight_bytes(model) - (weight_bytes(encoder) if isinstance(encoder, nn.Module) else 0),
        "code_bits": numbers * bits,
        "images": len(codes),
        "codes": code_bytes(len(codes), numbers, bits),
    }


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, as its weights' file has them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def index_bits(entries: int) -> int:
    """Bits of an index into so many entries."""
    return max(1, ceil(log2(entries)))


def code_bytes(images: int, numbers: int, bits: int) -> int:
    """Bytes of the codes of a collection, each image's in whole bytes."""
    return images * ceil(numbers * bits / 8)
