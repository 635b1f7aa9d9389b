"""What decoding costs in the families with VQGAN's network (Tables 3, 7 and 8), from the settings alone.

The published numbers are of the decoder without its 1 x 1 post_quant_conv: multiply-accumulates of convolutions and
attention, plus 5 for each number that a GroupNorm gives and 1 for each that a nearest-neighbour upsampling gives.
That rule gives VQGAN's 42.45M (printed 42.5) and 126.79 G for 16 x 16 codes, 13.59M and 119.77 G for 32 x 32.
The true count is of the multiplications in all convolutions and matrix products that decode, those that find
the nearest entry included.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.families import autoencoder_family, load
from pipeline.models.complexity import gmacs, multiply_accumulates, parameters
from pipeline.models.first_stage import latent_channels
from pipeline.models.vqgan_network import Upsample
from pipeline.settings.first_stage import FirstStage

NORM_OPERATIONS = 5  # for each number of a GroupNorm's output
UPSAMPLE_OPERATIONS = 1  # for each number of an upsampling's output


def counts(settings: FirstStage, resolution: int, channels: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of one autoencoder; nothing is trained or computed."""
    height, width, code_channels = settings.code_size
    codebook = getattr(settings, "codebook", None)
    numbers = codebook.entries * code_channels if codebook is not None else 0
    with torch.device("meta"):
        model = load(autoencoder_family(settings.family).model)(settings, resolution, channels).eval()
        decoder, projection = model.decoder.network, model.decoder.post_quant_conv
        code = torch.empty(1, code_channels, height, width)
        latent = torch.empty(1, latent_channels(settings), height, width)
        true = {
            "decoder": multiply_accumulates(lambda: decoder(latent)),
            "post_quant_conv": multiply_accumulates(lambda: projection(code)),
            # Products of every vector of a code with every entry, at every depth: what finds the nearest ones.
            "nearest_entry": height * width * getattr(codebook, "depth", 1) * numbers,
        }
        rule = true["decoder"] + _elementwise_operations(decoder, lambda: decoder(latent))
    return {
        "codebook_params": numbers,
        "decoder_params": parameters(decoder),
        "encoder_params": parameters(model.encoder),
        **gmacs(rule, true),
    }


def _elementwise_operations(network: nn.Module, call: Callable[[], object]) -> int:
    """What the rule adds for the normalizations and upsamplings of a network that `call` runs."""
    found: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Not the output of an upsampling: the convolution that follows it may change the channels.
        upsampled = inputs[0].shape[:2].numel() * output.shape[-2:].numel()
        normalized = isinstance(module, nn.GroupNorm)
        found.append(NORM_OPERATIONS * output.numel() if normalized else UPSAMPLE_OPERATIONS * upsampled)

    counted = [module for module in network.modules() if isinstance(module, nn.GroupNorm | Upsample)]
    hooks = [module.register_forward_hook(count) for module in counted]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return sum(found)
