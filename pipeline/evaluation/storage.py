"""What keeping a collection takes: bytes of the model that decodes, and of the codes (section 5's limitation)."""

from math import ceil, log2
from typing import Any

from torch import Tensor, nn

FLOAT_BITS = 32  # continuous codes are kept as they are dumped


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
