"""What decoding costs: parameters and multiply-accumulates (Tables 3, 7 and 8), from the settings alone.

"GFlops" of the paper are multiply-accumulates. BRIGHT's follow a hand-written rule that counts an
up-convolution as c -> c and the to-RGB convolution at one pixel. With c channels at resolution r, style
width s, r' = r / 2 for an up-convolution else r, r_0 = H_d, 3 image channels:

    conv      = s c + c + 9 r'^2 c^2 + 36 c^2 + 2 r^2 c  (+ 16 r^2 c for an up-convolution)
    rgb       = s c + c + 15 c + 6 r^2
    retrieval = r_0^2 (C_z / C_key) 2^C_key 2 C_v
    F_mlp     = r_0^2 C_z (64 N_r C_v + 64^2 + 64 C_d / C_z)

summed over two convolutions and one rgb per resolution, an up-convolution above r_0, retrieval and F_mlp. Of the
ablations: without modulation there is no s c + c; without tables there is no retrieval, and F_mlp is one MLP.
The true count runs the network on shapes without numbers and counts its convolutions and matrix products.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.bright import groups, make_group_mlps, make_synthesis, retrieved_shape
from pipeline.models.decoder import StyleMLP, synthesis_widths
from pipeline.models.encoder import KeyCodeEncoder
from pipeline.models.levels import make_levels
from pipeline.models.traits import hash_tables
from pipeline.settings.autoencoder import Autoencoder

GIGA = 1e9


def hash_table_parameters(settings: Autoencoder, convention: str) -> int:
    """Numbers in all tables of all groups, by a convention's nodes per dimension; 0 in a model without tables."""
    tables = hash_tables(settings)
    if tables is None:
        return 0
    levels = make_levels(tables.model_copy(update={"convention": convention}))
    return groups(settings) * tables.features_per_entry * sum(level.entries for level in levels)


def parameters(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def paper_rule(settings: Autoencoder, resolution: int, channels: int) -> int:
    """Multiply-accumulates of retrieval and decoding of one image, as the paper counts them."""
    style, size = settings.decoder.style_width, settings.feature_size
    widths = synthesis_widths(settings.decoder.channels, settings.feature_channels, size, resolution)

    def scales(c: int) -> int:
        return style * c + c if style else 0

    def conv(r: int, c: int, up: bool) -> int:
        pixels = (r // 2) ** 2 if up else r**2
        return scales(c) + 9 * pixels * c**2 + 36 * c**2 + 2 * r**2 * c + (16 * r**2 * c if up else 0)

    total = retrieval_count(settings) + size**2 * _mlps_rule(settings)
    for number, width in enumerate(widths):
        side = size << number
        total += 2 * conv(side, width, False) + (conv(side, width, True) if number else 0)
        total += scales(width) + 5 * channels * width + 2 * channels * side**2
    return total


def _mlps_rule(settings: Autoencoder) -> int:
    """Multiply-accumulates of F_mlp at one pixel, by the rule: a group for every channel, also where C_key > 1."""
    hidden, keys = settings.tables.hidden_width, settings.code_size.channels
    _, retrieved, *_ = retrieved_shape(settings)
    if hash_tables(settings) is None:  # one MLP in the place of all groups
        hidden, keys = hidden * groups(settings), 1
    return keys * hidden * (retrieved + hidden) + hidden * settings.feature_channels


def retrieval_count(settings: Autoencoder) -> int:
    """Multiply-accumulates of retrieval, by the paper's rule; none without tables."""
    tables = hash_tables(settings)
    if tables is None:
        return 0
    return settings.feature_size**2 * groups(settings) * 2**tables.key_length * 2 * tables.features_per_entry


def multiply_accumulates(call: Callable[[], object]) -> int:
    """Those of the convolutions and matrix products that `call` does; tensors may be on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


def gmacs(paper_rule: int, true: dict[str, int]) -> dict[str, Any]:
    """Both counts in 10^9 multiply-accumulates, with the parts of the true one."""
    parts = {name: count / GIGA for name, count in true.items()}
    return {"gmacs": {"paper_rule": paper_rule / GIGA, "true": sum(true.values()) / GIGA}, "true_gmacs": parts}


def counts(settings: Autoencoder, resolution: int, channels: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of one autoencoder; nothing is trained or computed.

    `true_gmacs` has the parts of the true count: the synthesis with its FIR filters, the style MLP, F_mlp
    of all groups, and retrieval as the rule counts it.
    """
    settings.check_resolution(resolution)
    size = settings.feature_size
    with torch.device("meta"):
        encoder = KeyCodeEncoder(settings.encoder, settings.code_size, resolution, channels)
        synthesis = make_synthesis(settings, resolution, channels)
        style_mlp = StyleMLP(settings.feature_channels, settings.decoder.style_width)
        mlps = make_group_mlps(settings)
        retrieved = torch.empty(1, *retrieved_shape(settings))
        block = torch.empty(1, settings.feature_channels, size, size)
        style = torch.empty(1, settings.decoder.style_width)
        true = {
            "synthesis": multiply_accumulates(lambda: synthesis(block, style, torch.empty)),
            "style_mlp": multiply_accumulates(lambda: style_mlp(block)),
            "group_mlps": multiply_accumulates(lambda: mlps(retrieved)),
            "retrieval": retrieval_count(settings),
        }
    return {
        "hash_table_params": {name: hash_table_parameters(settings, name) for name in ("ngp", "tcnn")},
        "decoder_params": parameters(synthesis) + parameters(style_mlp) + parameters(mlps),
        "encoder_params": parameters(encoder),
        **gmacs(paper_rule(settings, resolution, channels), true),
    }
