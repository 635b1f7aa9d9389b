"""F_mlp: the features that a group retrieves at a pixel become its part of the feature block (equation 2).

`GroupMLPs` is the paper's. `StyledGroupMLPs` is that of the authors' code (docs/authors-code.md), where each group also
makes its part of the style code, and its F_mlp is modulated.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.models.autoencoder import full_precision, in_float32
from bright_pipeline.models.equalized import activate

EPSILON = 1e-8
MAPPING_RATE = 0.01  # relative learning rate of the layers from a group's mean features to its style
SLOPE = 0.01  # of F_mlp's leaky ReLU


class GroupMLPs(nn.Module):
    """F_mlp of all groups in parallel (equation 2): N_r C_v -> hidden -> hidden -> C_d / N_h, with ReLU between."""

    def __init__(self, groups: int, retrieved: int, hidden: int, feature_channels: int):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise([retrieved, hidden, hidden, feature_channels // groups]):
            bound = 1 / math.sqrt(inputs)  # PyTorch's initialization of a linear layer
            self.weights.append(nn.Parameter(torch.empty(groups, outputs, inputs).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(groups, outputs, 1).uniform_(-bound, bound)))

    def forward(self, retrieved: Tensor) -> Tensor:
        """(N, N_h, N_r C_v, H_d, W_d) -> the feature block (N, C_d, H_d, W_d), in float32 even under autocast."""

        def mlps(features: Tensor, *layers: Tensor) -> Tensor:
            weights, biases = layers[: len(layers) // 2], layers[len(layers) // 2 :]
            for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                features = torch.matmul(weight, features) + bias
                if number < len(weights) - 1:
                    features = features.relu()
            return features

        features = in_float32(mlps, retrieved.flatten(3), *self.weights, *self.biases)
        return features.flatten(1, 2).unflatten(-1, retrieved.shape[-2:])


class GroupLinear(nn.Module):
    """A linear layer of each group, with equalized learning rate: (N, N_h, inputs) -> (N, N_h, outputs)."""

    def __init__(self, groups: int, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(groups, outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((groups, outputs), bias))
        self.rate, self.gain = rate, rate / math.sqrt(inputs)

    def forward(self, features: Tensor) -> Tensor:
        return torch.matmul(self.gain * self.weight, features[..., None])[..., 0] + self.rate * self.bias


class StyledGroupMLPs(nn.Module):
    """F_mlp and style of the authors' code: one style of a group modulates its F_mlp, another is for the synthesis.

    Both come from the mean over pixels of the features that the group retrieves. A layer of F_mlp with weights W, bias
    b and scales s of its inputs gives (W (s x) + b) / sqrt(sum over inputs of (W s)^2), for each output.
    """

    def __init__(self, groups: int, retrieved: int, feature_channels: int, style_width: int):
        super().__init__()
        widths, style = [retrieved] * 3 + [feature_channels // groups], 2 * retrieved
        self.to_modulation = _mapping(groups, [retrieved, retrieved, style])
        self.to_style = _mapping(groups, [retrieved] * 3 + [style_width // groups])
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            deviation = math.sqrt(2 / (inputs + outputs))
            self.weights.append(nn.Parameter(deviation * torch.randn(groups, outputs, inputs)))
            self.biases.append(nn.Parameter(torch.zeros(groups, outputs, 1)))
        self.scales = nn.ModuleList(GroupLinear(groups, style, inputs, bias=1.0) for inputs in widths[:-1])

    def forward(self, retrieved: Tensor) -> tuple[Tensor, Tensor]:
        """(N, N_h, N_r C_v, H_d, W_d) -> the feature block (N, C_d, H_d, W_d) and the style code (N, s), in float32."""
        with full_precision(retrieved):
            features = retrieved.float().flatten(3)
            mean = features.mean(3)
            mean = mean * mean.square().mean(2, keepdim=True).add(EPSILON).rsqrt()  # its mean square over C is 1
            modulation = self.to_modulation(mean)
            for weight, bias, scale in zip(self.weights, self.biases, self.scales, strict=True):
                scales = scale(modulation)  # (N, N_h, inputs)
                demodulation = (scales.square()[:, :, None] * weight.square()).sum(3, keepdim=True).add(EPSILON).rsqrt()
                features = (torch.matmul(weight, scales[..., None] * features) + bias) * demodulation
                if weight is not self.weights[-1]:
                    features = F.leaky_relu(features, SLOPE)
            return features.flatten(1, 2).unflatten(-1, retrieved.shape[-2:]), self.to_style(mean).flatten(1)


class _Activate(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return activate(features)


def _mapping(groups: int, widths: list[int]) -> nn.Sequential:
    """Layers of all groups, each with leaky ReLU."""
    layers = [GroupLinear(groups, inputs, outputs, MAPPING_RATE) for inputs, outputs in pairwise(widths)]
    return nn.Sequential(*(part for layer in layers for part in (layer, _Activate())))
