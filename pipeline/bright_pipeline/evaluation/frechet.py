"""Fréchet distance between Gaussian fits to features, as each library computes it, with an interval (appendix B).

|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)): FID on InceptionV3's features, CLIP-FID on CLIP's, FD-DINOv2 on DINOv2's.
The interval needs 40 more distances: it uses torch's matrices, which run on several threads.
"""

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.evaluation.feature_files import Features

CONFIDENCE = 0.95
GROUPS = 20
GROUP_SEED = 0
FEWEST = 3  # images: a covariance must remain without one of them


def frechet_distance(generated: Features, reference: Features, library: str) -> float:
    """Between Gaussian fits to features (N, D) and (M, D), bit-identical to torch-fidelity or dgm-eval.

    clean-fid's number agrees to 1e-6: it takes a matrix square root, through an interface that scipy 1.18 removed.
    """
    fewest = min(len(generated), len(reference))
    if fewest < FEWEST:
        raise InputError(f"Fréchet distance: needs at least {FEWEST} images a set, not {fewest}")
    if library == "dgm-eval":  # its means are float64, too
        generated, reference = generated.astype(np.float64), reference.astype(np.float64)
    shift = generated.mean(axis=0) - reference.mean(axis=0)
    covariance, other_covariance = (np.cov(features, rowvar=False) for features in (generated, reference))
    roots = np.sqrt(np.linalg.eigvals(covariance.dot(other_covariance)).astype(np.complex128)).real
    return float(shift.dot(shift) + np.trace(covariance) + np.trace(other_covariance) - 2 * roots.sum())


def frechet_interval(generated: Features, reference: Features, distance: float) -> tuple[float, float]:
    """The 95% interval of a Fréchet distance, from a delete-a-group jackknife.

    Each set is split at random into 20 groups, and the distance is computed again without each. The interval covers
    how the distance moves when both sets are drawn again at the same counts. It omits the bias of these counts: with
    fewer images a distance grows, so that only equal counts compare.

    Near zero a distance is of second order in the sampling noise, and a jackknife's variance is twice too large (Efron
    and Stein 1981). There the whole distance is bias; far from zero the bias is small. The variance is therefore
    reduced by half the square of the share of bias, which the same groups estimate.
    """
    sides = (_Set(generated), _Set(reference))
    whole = _distance(sides[0].mean, sides[0].trace, sides[1], _seen_covariance(*sides))
    groups = min(GROUPS, len(generated), len(reference))
    variance, bias = 0.0, 0.0
    with Progress("interval of the Fréchet distance", 2 * groups, "groups") as progress:
        for side, other in (sides, sides[::-1]):
            # The distance without each group of `side`, from the sums of the whole set less those of the group.
            distances, count = [], len(side.features)
            scatter, squares = (count - 1) * _seen_covariance(side, other), (count - 1) * side.trace
            order = torch.from_numpy(np.random.default_rng(GROUP_SEED).permutation(count))
            for rows in order.tensor_split(groups):
                group = side.features[rows] - side.mean
                seen = group @ other.root.T
                kept = count - len(rows)
                shift = -group.sum(dim=0) / kept
                seen_shift = other.root @ shift
                without = scatter - seen.T @ seen - kept * torch.outer(seen_shift, seen_shift)
                trace = (squares - (group**2).sum() - kept * (shift**2).sum()) / (kept - 1)
                distances.append(_distance(side.mean + shift, trace, other, without / (kept - 1)))
                progress.advance()
            variance += (groups - 1) * float(np.var(distances))
            bias += (groups - 1) * (float(np.mean(distances)) - whole)
    share = min(max(bias / whole, 0.0), 1.0) if whole > 0 else 1.0
    deviation = (variance * (1 - share**2 / 2)) ** 0.5
    half = student_quantile(groups - 1) * deviation
    return max(distance - half, 0.0), max(distance + half, 0.0)


def student_quantile(freedom: int) -> float:
    """The half-width of a 95% interval in standard deviations, by Student's t."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


class _Set:
    """A set's features (N, D), their mean (D), and a root (min(N, D), D): root^T root is the covariance."""

    def __init__(self, features: Features):
        self.features = torch.from_numpy(features)
        self.mean = self.features.mean(dim=0, dtype=torch.float64)
        count, width = features.shape
        if count <= width:
            self.root = (self.features - self.mean) / (count - 1) ** 0.5
        else:
            levels, vectors = torch.linalg.eigh(torch.cov(self.features.double().T))
            self.root = levels.clamp(min=0).sqrt()[:, None] * vectors.T
        self.trace = (self.root**2).sum()


def _seen_covariance(side: _Set, other: _Set) -> Tensor:
    """R S R^T of the covariance S of `side` and the root R of S' of `other`: its eigenvalues are those of S S'."""
    product = other.root @ side.root.T
    return product @ product.T


def _distance(mean: Tensor, trace: Tensor, other: _Set, seen: Tensor) -> float:
    """To `other` from a set with this mean, trace of its covariance, and `_seen_covariance`."""
    roots = torch.linalg.eigvalsh(seen).clamp(min=0).sqrt().sum()
    return float(((mean - other.mean) ** 2).sum() + trace + other.trace - 2 * roots)
