"""DINOv2's vision transformer (Oquab et al. 2023) by torchvision's, for FD-DINOv2 (Stein et al. 2023).

torchvision's VisionTransformer is the same network but for its names and two things, which go into its weights:

- LayerScale, a factor for each channel of what a branch adds: that of the branch's last linear map,
  gamma (W x + b) = (gamma W) x + gamma b.
- Positions were learned at 518 px, 37 x 37 patches of 14. For the 16 x 16 of 224 px the authors' code interpolates
  them bicubically, with a scale of 16.1 / 37.

A package that has DINOv2 itself (timm, transformers) would save the names alone: it interpolates otherwise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer

SIZE, PATCH = 224, 14
HEAD = 64  # channels of an attention head, in the whole family
OFFSET = 0.1  # patches that the authors' code adds before it interpolates, against rounding


def vision_transformer(weights: dict[str, Tensor]) -> VisionTransformer:
    """The network of weights under the authors' names: normalized images (N, 3, 224, 224) to class tokens (N, D)."""
    width = weights["cls_token"].shape[-1]
    depth = sum(name.endswith(".ls1.gamma") for name in weights)
    with torch.device("meta"):
        network = VisionTransformer(SIZE, PATCH, depth, width // HEAD, width, 4 * width)
    network.heads = nn.Identity()
    network.load_state_dict(_renamed(weights, depth), assign=True)
    return network


def _renamed(weights: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Under torchvision's names; the mask token, which training alone has a use for, is left out."""
    found = {"class_token": weights["cls_token"], "encoder.pos_embedding": _positions(weights["pos_embed"])}
    for kind in ("weight", "bias"):
        found[f"conv_proj.{kind}"] = weights[f"patch_embed.proj.{kind}"]
        found[f"encoder.ln.{kind}"] = weights[f"norm.{kind}"]
        for number in range(depth):
            old, new = f"blocks.{number}.", f"encoder.layers.encoder_layer_{number}."
            attention, perceptron = weights[f"{old}ls1.gamma"], weights[f"{old}ls2.gamma"]
            found |= {
                f"{new}ln_1.{kind}": weights[f"{old}norm1.{kind}"],
                f"{new}self_attention.in_proj_{kind}": weights[f"{old}attn.qkv.{kind}"],
                f"{new}self_attention.out_proj.{kind}": _scaled(weights[f"{old}attn.proj.{kind}"], attention),
                f"{new}ln_2.{kind}": weights[f"{old}norm2.{kind}"],
                f"{new}mlp.0.{kind}": weights[f"{old}mlp.fc1.{kind}"],
                f"{new}mlp.3.{kind}": _scaled(weights[f"{old}mlp.fc2.{kind}"], perceptron),
            }
    return found


def _scaled(linear: Tensor, gamma: Tensor) -> Tensor:
    """A weight (D, E) or a bias (D) of a linear map whose output is multiplied by gamma (D)."""
    return linear * gamma.view(-1, *[1] * (linear.ndim - 1))


def _positions(learned: Tensor) -> Tensor:
    """Positions (1, 1 + 37 * 37, D) of the class token and the patches at 518 px, for the patches at 224 px."""
    of_class, of_patches = learned[:, :1], learned[:, 1:]
    before, after = round(of_patches.shape[1] ** 0.5), SIZE // PATCH
    square = of_patches.unflatten(1, (before, before)).permute(0, 3, 1, 2)
    scale = (after + OFFSET) / before
    resized = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    return torch.cat([of_class, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
