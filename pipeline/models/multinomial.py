"""Multinomial diffusion of codebook indices (Hoogeboom et al. 2021), in ImageBART's short chain.

q(x_t | x_{t-1}) = Cat((1 - beta_t) x_{t-1} + beta_t / K): each index stays, or is drawn again among all K.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class MultinomialDiffusion:
    """A chain of `steps` T over K indices with beta_t = 1 / (T - t + 1), from 1 / T to 1.

    So the share of x_0 that is left falls linearly, 1 - t / T, and x_T is noise alone. These are the authors'
    "geometric" betas, of their four-step models.
    """

    def __init__(self, steps: int, categories: int):
        self.steps, self.categories = steps, categories
        self.betas = torch.cat([torch.zeros(1), 1 / torch.arange(steps, 0, -1)])
        self.left = torch.cumprod(1 - self.betas, dim=0)
        """How much of x_0 is left in x_t: the product of 1 - beta up to t."""

    def advance(self, indices: Tensor, t: int, chances: Tensor, others: Tensor) -> Tensor:
        """x_{t-1} -> x_t: `others`, uniform indices, where `chances`, uniform in [0, 1), are below beta_t."""
        return torch.where(chances < self.betas[t].item(), others, indices)

    def transition(self, indices: Tensor, t: int) -> Tensor:
        """q(x_t | x_{t-1}), (..., K), of x_{t-1} (...)."""
        return self._mixed(indices, 1 - self.betas[t].item())

    def marginal(self, indices: Tensor, t: int) -> Tensor:
        """q(x_t | x_0), (..., K), of x_0 (...)."""
        return self._mixed(indices, self.left[t].item())

    def posterior(self, noisy: Tensor, clean: Tensor, t: int) -> Tensor:
        """q(x_{t-1} | x_t, x_0), (..., K), by Bayes' rule; the transition is symmetric in its two ends."""
        weights = self.transition(noisy, t) * self.marginal(clean, t - 1)
        return weights / weights.sum(dim=-1, keepdim=True)

    def _mixed(self, indices: Tensor, share: float) -> Tensor:
        return share * F.one_hot(indices, self.categories).float() + (1 - share) / self.categories
