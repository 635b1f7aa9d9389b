"""DINOv2's vision transformer (Oquab et al. 2023) by torchvision's, for FD-DINOv2 (Stein et al. 2023).

torchvision's VisionTransformer differs in its names and in two parts, which are folded into the weights:

- LayerScale multiplies each channel of a branch: gamma (W x + b) = (gamma W) x + gamma b for its last linear map.
- Positions were learned at 518 px (37 x 37 patches of 14). For the 16 x 16 patches of 224 px the authors' code
  interpolates them bicubically with a scale of 16.1 / 37.

timm and transformers include DINOv2, but interpolate positions in other ways.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer

SIZE, PATCH = 224, 14
HEAD = 64  # channels of an attention head, in all sizes of DINOv2
OFFSET = 0.1  # patches; the authors' code adds it before interpolating, against rounding


def vision_transformer(weights: dict[str, Tensor]) -> VisionTransformer:
    """Build DINOv2 from the authors' weights: normalized images (N, 3, 224, 224) to class tokens (N, D)."""
    width = weights["cls_token"].shape[-1]
    depth = sum(name.endswith(".ls1.gamma") for name in weights)
    with torch.device("meta"):
        network = VisionTransformer(SIZE, PATCH, depth, width // HEAD, width, 4 * width)
    network.heads = nn.Identity()

    # The positions (1, 1 + 37 * 37, D) of class token and patches, interpolated from 518 px to 224 px.
    of_class, of_patches = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:]
    before, after = round(of_patches.shape[1] ** 0.5), SIZE // PATCH
    square = of_patches.unflatten(1, (before, before)).permute(0, 3, 1, 2)
    scale = (after + OFFSET) / before
    resized = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    positions = torch.cat([of_class, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)

    # By torchvision's names, without the mask token: only training uses it.
    renamed = {"class_token": weights["cls_token"], "encoder.pos_embedding": positions}
    for kind in ("weight", "bias"):
        renamed[f"conv_proj.{kind}"] = weights[f"patch_embed.proj.{kind}"]
        renamed[f"encoder.ln.{kind}"] = weights[f"norm.{kind}"]
        for number in range(depth):
            old, new = f"blocks.{number}.", f"encoder.layers.encoder_layer_{number}."
            attention, perceptron = weights[f"{old}ls1.gamma"], weights[f"{old}ls2.gamma"]
            renamed |= {
                f"{new}ln_1.{kind}": weights[f"{old}norm1.{kind}"],
                f"{new}self_attention.in_proj_{kind}": weights[f"{old}attn.qkv.{kind}"],
                f"{new}self_attention.out_proj.{kind}": _scaled(weights[f"{old}attn.proj.{kind}"], attention),
                f"{new}ln_2.{kind}": weights[f"{old}norm2.{kind}"],
                f"{new}mlp.0.{kind}": weights[f"{old}mlp.fc1.{kind}"],
                f"{new}mlp.3.{kind}": _scaled(weights[f"{old}mlp.fc2.{kind}"], perceptron),
            }
    network.load_state_dict(renamed, assign=True)
    return network


def _scaled(linear: Tensor, gamma: Tensor) -> Tensor:
    """Multiply the output of a linear map, given its weight (D, E) or bias (D), by gamma (D)."""
    return linear * gamma.view(-1, *[1] * (linear.ndim - 1))
