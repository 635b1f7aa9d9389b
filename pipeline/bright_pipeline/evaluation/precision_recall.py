"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), with intervals.

Precision (recall): the share of generated (reference) images inside some ball around a reference (generated) image
that reaches to its third nearest neighbour; F1 is their harmonic mean (appendix B). Density and coverage use balls
around the reference images that reach to the fifth neighbour. Density is the mean number of these balls that a
generated image is in, over five; coverage is the share of them that have a generated image inside.

The protocols differ in a point on a sphere: torch_fidelity counts it as inside, as that library does;
paper_repository as outside, as the repository that the paper names. Density and coverage count it as outside in both,
as the authors' code does.

Distances are float64, one tile of them at a time. Two distances that differ by less than their rounding are equal: an
image and its copy are on the same spheres.
"""

from itertools import pairwise, product

import torch
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.evaluation.feature_files import Features
from bright_pipeline.evaluation.frechet import CONFIDENCE, student_quantile

NEIGHBOURHOOD = 3
WIDE_NEIGHBOURHOOD = 5  # of density and coverage
TILE = 1600  # points of either set, about, whose distances are in memory at once: of 4,096 dimensions that takes 0.2 GB
ROUNDING = 32 * torch.finfo(torch.float64).eps  # of a squared distance, times the root of its terms and their size


def precision_recall(generated: Features, reference: Features, protocol: str, tile: int = TILE) -> dict[str, float]:
    """Precision, recall, F1, density (and its deviation over images) and coverage of features (N, D) against (M, D)."""
    fewest = min(len(generated), len(reference))
    if fewest <= WIDE_NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {WIDE_NEIGHBOURHOOD} images a set, not {fewest}")
    samples, real = torch.from_numpy(generated), torch.from_numpy(reference)
    rows, columns = _parts(len(samples), tile), _parts(len(real), tile)
    longest = max(torch.linalg.vector_norm(points, dim=1).max().item() for points in (samples, real))
    rounding = ROUNDING * samples.shape[1] ** 0.5 * longest**2
    border = rounding if protocol == "torch_fidelity" else -rounding  # whether a point on a sphere is inside
    inside_real, inside_samples = torch.zeros(len(samples), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    balls, covered = torch.zeros(len(samples), dtype=torch.long), torch.zeros(len(real), dtype=torch.bool)
    tiles = sum(len(parts) * (len(parts) + 1) // 2 for parts in (rows, columns)) + len(rows) * len(columns)
    with Progress("precision and recall", tiles, "tiles of distances") as progress:
        sample_radii, real_radii = _squared_radii(samples, rows, progress), _squared_radii(real, columns, progress)
        for row, column in product(rows, columns):
            squares = _squared_distances(samples[row], real[column])
            inside_real[row] |= (squares < real_radii[column, NEIGHBOURHOOD] + border).any(dim=1)
            inside_samples[column] |= (squares < sample_radii[row, NEIGHBOURHOOD, None] + border).any(dim=0)
            in_wide = squares < real_radii[column, WIDE_NEIGHBOURHOOD] - rounding
            balls[row] += in_wide.sum(dim=1)
            covered[column] |= in_wide.any(dim=0)
            progress.advance()
    # torch-fidelity rounds its shares to 32 bits.
    share = torch.float32 if protocol == "torch_fidelity" else torch.float64
    precision, recall = (inside.to(share).mean().item() for inside in (inside_real, inside_samples))
    densities = balls.double() / WIDE_NEIGHBOURHOOD
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1(precision, recall),
        "density": densities.mean().item(),
        "density_std": densities.std().item(),
        "coverage": covered.double().mean().item(),
    }


def precision_recall_intervals(numbers: dict[str, float], samples: int, real: int) -> dict[str, tuple[float, float]]:
    """The 95% intervals of all these for `samples` generated and `real` reference images.

    Wilson's interval of a share. It covers how precision (recall, coverage) moves when the generated (reference) images
    are drawn again while the balls stay; F1's combines both (Zou and Donner 2008), density's is Student's t over the
    generated images. It omits the effect of other balls: with both sets drawn again, values of Gaussian sets moved 1.15
    to 1.4 times as much.
    """
    precision = _share_interval(numbers["precision"], samples)
    recall = _share_interval(numbers["recall"], real)
    ends = []
    for end, sign in ((0, -1), (1, 1)):
        precision_part = f1(precision[end], numbers["recall"]) - numbers["f1"]
        recall_part = f1(numbers["precision"], recall[end]) - numbers["f1"]
        ends.append(numbers["f1"] + sign * (precision_part**2 + recall_part**2) ** 0.5)
    half = student_quantile(samples - 1) * numbers["density_std"] / samples**0.5
    return {
        "precision": precision,
        "recall": recall,
        "f1": (ends[0], ends[1]),
        "density": (max(numbers["density"] - half, 0.0), numbers["density"] + half),
        "coverage": _share_interval(numbers["coverage"], real),
    }


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean; with torch-fidelity's guard, zero where both are."""
    return 2 * precision * recall / max(1e-5, precision + recall)


def _share_interval(share: float, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(round(share * count), count).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _parts(count: int, most: int) -> list[slice]:
    """Slices of about `most` rows; cut at multiples of 8, where products are faster."""
    parts = -(-count // most)
    cuts = [count * part // parts // 8 * 8 for part in range(parts)] + [count]
    return [slice(start, end) for start, end in pairwise(cuts)]


def _squared_radii(points: Tensor, parts: list[slice], progress: Progress) -> Tensor:
    """Squared distances (N, 6) of points (N, D) to their nearest points, the first to themselves."""
    nearest = torch.full((len(points), WIDE_NEIGHBOURHOOD + 1), torch.inf, dtype=torch.float64)
    for first, row in enumerate(parts):
        for column in parts[first:]:  # a tile serves its rows and, transposed, its columns
            squares = _squared_distances(points[row], points[column])
            for part, distances in [(row, squares), (column, squares.T)][: 1 + (row != column)]:
                fewest = distances.topk(min(nearest.shape[1], distances.shape[1]), largest=False).values
                nearest[part] = torch.cat([nearest[part], fewest], dim=1).sort(dim=1).values[:, : nearest.shape[1]]
            progress.advance()
    return nearest


def _squared_distances(some: Tensor, others: Tensor) -> Tensor:
    """(P, C) in float64 of points (P, D) and (C, D), by a matrix product."""
    some, others = some.double(), others.double()
    squares = torch.addmm(torch.linalg.vector_norm(others, dim=1).square()[None], some, others.T, alpha=-2)
    return squares.add_(torch.linalg.vector_norm(some, dim=1).square()[:, None])
