"""The cost of decoding: parameters and multiply-accumulates (Tables 3, 7 and 8), from the settings alone.

The true count runs networks on shapes without data and counts the products in convolutions and matrix products. The
paper's "GFlops" are multiply-accumulates by other rules, which `paper_rule` follows.

BRIGHT's is a hand-written rule that counts an up-convolution as c -> c and the to-RGB convolution at one pixel. With c
channels at resolution r, style width s, r' = r / 2 for an up-convolution else r, r_0 = H_d, 3 image channels:

    conv      = s c + c + 9 r'^2 c^2 + 36 c^2 + 2 r^2 c  (+ 16 r^2 c for an up-convolution)
    rgb       = s c + c + 15 c + 6 r^2
    retrieval = r_0^2 (C_z / C_key) 2^C_key 2 C_v
    F_mlp     = r_0^2 C_z (64 N_r C_v + 64^2 + 64 C_d / C_z)

summed over two convolutions and one rgb per resolution, an up-convolution above r_0, retrieval and F_mlp. Ablations:
without modulation there is no s c + c; without tables there is no retrieval, and F_mlp is a single MLP.

The rule for VQGAN's network adds to the true count of its decoder, without the 1 x 1 post_quant_conv, 5 for each number
that a GroupNorm gives and 1 for each that a nearest-neighbour upsampling gives. It gives VQGAN's 42.45M (printed 42.5)
and 126.79 G for 16 x 16 codes, 13.59M and 119.77 G for 32 x 32.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.bright import Bright, groups
from bright_pipeline.models.decoder import synthesis_widths
from bright_pipeline.models.levels import make_levels
from bright_pipeline.models.traits import hash_tables
from bright_pipeline.models.vqgan_network import Upsample
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.first_stage import FirstStage

GIGA = 1e9
NORM_OPERATIONS = 5  # for each number of a GroupNorm's output


def counts(settings: Autoencoder, resolution: int, channels: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of BRIGHT; nothing is trained or computed."""
    size = settings.feature_size
    with torch.device("meta"):
        model = Bright(settings, resolution, channels)
        synthesis, style_mlp, mlps = model.synthesis, model.style_mlp, model.group_mlps
        block = torch.empty(1, settings.feature_channels, size, size)
        style = torch.empty(1, settings.decoder.style_width)
        parallel, _, retrieved = mlps.weights[0].shape
        features = torch.empty(1, parallel, retrieved, size, size)
        true = {
            "synthesis": multiply_accumulates(lambda: synthesis(block, style, torch.empty)),  # with its FIR filters
            "style_mlp": multiply_accumulates(lambda: style_mlp(block)),
            "group_mlps": multiply_accumulates(lambda: mlps(features)),  # with the style code, if groups make it
            "retrieval": retrieval_count(settings),  # by the paper's rule
        }
    # Numbers in all tables of all groups, by each convention's nodes per dimension; 0 in a model without tables.
    tables = {"ngp": 0, "tcnn": 0}
    if (hashed := hash_tables(settings)) is not None:
        for convention in tables:
            entries = sum(level.entries for level in make_levels(hashed.model_copy(update={"convention": convention})))
            tables[convention] = groups(settings) * hashed.features_per_entry * entries
    rule, decoder = paper_rule(settings, resolution, channels, retrieved), nn.ModuleList([synthesis, style_mlp, mlps])
    return {"hash_table_params": tables, **_counts(decoder, model.encoder, rule, true)}


def first_stage_counts(settings: FirstStage, resolution: int, channels: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of an autoencoder with VQGAN's network; nothing is computed."""
    height, width, code_channels = settings.code_size
    codebook = getattr(settings, "codebook", None)
    numbers = codebook.entries * code_channels if codebook is not None else 0
    elementwise = 0

    def count_elementwise(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal elementwise
        # The convolution that follows an upsampling may change the channels, so its output has another size.
        upsampled = inputs[0].shape[:2].numel() * output.shape[-2:].numel()
        elementwise += NORM_OPERATIONS * output.numel() if isinstance(module, nn.GroupNorm) else upsampled

    with torch.device("meta"):
        model = load(autoencoder_family(settings.family).model)(settings, resolution, channels).eval()
        decoder, projection = model.decoder.network, model.decoder.post_quant_conv
        for module in decoder.modules():
            if isinstance(module, nn.GroupNorm | Upsample):
                module.register_forward_hook(count_elementwise)
        true = {
            "decoder": multiply_accumulates(lambda: decoder(torch.empty(1, projection.out_channels, height, width))),
            "post_quant_conv": multiply_accumulates(lambda: projection(torch.empty(1, code_channels, height, width))),
            # The product of every vector of a code with every entry, at every depth.
            "nearest_entry": height * width * getattr(codebook, "depth", 1) * numbers,
        }
    return {"codebook_params": numbers, **_counts(decoder, model.encoder, true["decoder"] + elementwise, true)}


def _counts(decoder: nn.Module, encoder: nn.Module, rule: int, true: dict[str, int]) -> dict[str, Any]:
    """Parameters, and both counts in 10^9 multiply-accumulates, with the parts of the true one."""
    return {
        "decoder_params": parameters(decoder),
        "encoder_params": parameters(encoder),
        "gmacs": {"paper_rule": rule / GIGA, "true": sum(true.values()) / GIGA},
        "true_gmacs": {name: count / GIGA for name, count in true.items()},
    }


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_accumulates(call: Callable[[], object]) -> int:
    """Those of the convolutions and matrix products of a call; tensors may be on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


def retrieval_count(settings: Autoencoder) -> int:
    """Multiply-accumulates of retrieval, by the paper's rule; 0 without tables."""
    tables = hash_tables(settings)
    if tables is None:
        return 0
    return settings.feature_size**2 * groups(settings) * 2**tables.key_length * 2 * tables.features_per_entry


def paper_rule(settings: Autoencoder, resolution: int, channels: int, retrieved: int) -> int:
    """Multiply-accumulates of BRIGHT's retrieval and decoding by the paper's rule; F_mlp reads `retrieved` numbers."""
    style, size = settings.decoder.style_width, settings.feature_size
    widths = synthesis_widths(settings.decoder.channels, settings.feature_channels, size, resolution)

    def scales(c: int) -> int:
        return style * c + c if style else 0

    def conv(r: int, c: int, up: bool) -> int:
        pixels = (r // 2) ** 2 if up else r**2
        return scales(c) + 9 * pixels * c**2 + 36 * c**2 + 2 * r**2 * c + (16 * r**2 * c if up else 0)

    # F_mlp has a group for every channel in the rule, also where C_key > 1; without tables it is one MLP.
    hidden, keys = settings.tables.hidden_width, settings.code_size.channels
    if hash_tables(settings) is None:
        hidden, keys = hidden * groups(settings), 1
    total = retrieval_count(settings)
    total += size**2 * (keys * hidden * (retrieved + hidden) + hidden * settings.feature_channels)
    for number, width in enumerate(widths):
        side = size << number
        total += 2 * conv(side, width, False) + (conv(side, width, True) if number else 0)
        total += scales(width) + 5 * channels * width + 2 * channels * side**2
    return total
