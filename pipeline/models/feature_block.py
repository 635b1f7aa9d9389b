"""The feature block (equation 2): F_mlp of every group on its retrieved features, side by side."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class GroupMLPs(nn.Module):
    """N_h small MLPs, one per group: N_r C_v -> hidden -> hidden -> C_d / N_h, with ReLU between."""

    def __init__(self, groups: int, retrieved: int, hidden: int, feature_channels: int):
        super().__init__()
        widths = [retrieved, hidden, hidden, feature_channels // groups]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            bound = 1 / math.sqrt(inputs)  # torch's own initialization of a linear layer
            self.weights.append(nn.Parameter(torch.empty(groups, outputs, inputs).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(groups, outputs, 1).uniform_(-bound, bound)))

    def forward(self, retrieved: Tensor) -> Tensor:
        """(N, N_h, N_r C_v, H_d, W_d) -> the feature block (N, C_d, H_d, W_d)."""
        features = retrieved.flatten(3)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            features = torch.matmul(weight, features) + bias
            if number < len(self.weights) - 1:
                features = features.relu()
        return features.flatten(1, 2).unflatten(-1, retrieved.shape[-2:])
