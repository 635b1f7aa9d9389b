"""Precision and recall (Kynkäänniemi et al.) with intervals, in the two protocols that are in use (appendix B).

The share of generated (reference) images inside some ball around a reference (generated) image that reaches
to its third nearest neighbour; F1 is their harmonic mean.

- torch_fidelity: that library's own function. 32-bit distances; a point on a sphere is inside.
- paper_repository: as in the repository that the paper names. 64-bit distances; a point on a sphere is
  outside. The bulk is a 32-bit matrix product; what its rounding leaves open is taken again in 64 bits.

Both are exact and hold some rows of distances at a time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.evaluation.feature_files import Features
from pipeline.evaluation.frechet import CONFIDENCE

NEIGHBOURHOOD = 3
MOST_ROWS = 10_000  # torch-fidelity's default for rows of a distance matrix at once
CANDIDATES = NEIGHBOURHOOD + 13  # the nearest in 32 bits, among which 64 bits find the neighbours
PAIRS_AT_ONCE = 256  # of 64-bit differences
ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a product's sum, times the root of its terms and their size


def precision_recall(generated: Features, reference: Features, memory_gb: float, protocol: str) -> dict[str, float]:
    """Precision, recall and F1 of features (N, D) against (M, D); distances take at most `memory_gb`."""
    fewest = min(len(generated), len(reference))
    if fewest <= NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {NEIGHBOURHOOD} images a set, not {fewest}")
    measure = {"torch_fidelity": _by_torch_fidelity, "paper_repository": _by_paper_repository}[protocol]
    rows = rows_at_once(max(len(generated), len(reference)), memory_gb)
    precision, recall = measure(torch.from_numpy(generated), torch.from_numpy(reference), rows)
    return {"precision": precision, "recall": recall, "f1": f1(precision, recall)}


def precision_recall_intervals(found: dict[str, float], made: int, real: int) -> dict[str, tuple[float, float]]:
    """The 95% intervals of precision, recall and F1 of `made` generated and `real` reference images.

    Wilson's interval of a share. It covers how precision (recall) moves when the generated (reference) images are drawn
    again while the balls stay; F1's puts both together (Zou and Donner 2008). It leaves out what other balls would do:
    with both sets drawn again, values of Gaussian sets moved 1.15 to 1.4 times as much.
    """
    precision = _share_interval(found["precision"], made)
    recall = _share_interval(found["recall"], real)
    ends = []
    for end, sign in ((0, -1), (1, 1)):
        of_precision = f1(precision[end], found["recall"]) - found["f1"]
        of_recall = f1(found["precision"], recall[end]) - found["f1"]
        ends.append(found["f1"] + sign * (of_precision**2 + of_recall**2) ** 0.5)
    return {"precision": precision, "recall": recall, "f1": (ends[0], ends[1])}


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean; with torch-fidelity's guard, zero where both are."""
    return 2 * precision * recall / max(1e-5, precision + recall)


def rows_at_once(columns: int, memory_gb: float) -> int:
    """Rows of a 32-bit distance matrix such that rows, their joined copy and its sorted values fit."""
    return max(1, min(MOST_ROWS, int(memory_gb * 1e9 / (4 * 4 * columns))))


def _share_interval(share: float, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(round(share * count), count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def _by_torch_fidelity(generated: Tensor, reference: Tensor, rows: int) -> tuple[float, float]:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    how = {"prc_neighborhood": NEIGHBOURHOOD, "prc_batch_size": rows, "save_cpu_ram": True, "verbose": False}
    found = prc_features_to_metric(generated, reference, **how)
    return found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]


def _by_paper_repository(generated: Tensor, reference: Tensor, rows: int) -> tuple[float, float]:
    made_inside = torch.zeros(len(generated), dtype=torch.bool)
    real_inside = torch.zeros(len(reference), dtype=torch.bool)
    with Progress("precision and recall", 2 * len(generated) + len(reference), "rows of distances") as progress:
        made, real = (_balls(points, rows, progress) for points in (generated, reference))
        for start in range(0, len(generated), rows):
            squares = _squared_distances(generated[start : start + rows], reference)
            part = made.part(start, start + rows)
            made_inside[start : start + rows] = _inside(squares, generated[start : start + rows], real)
            real_inside |= _inside(squares.T, reference, part)
            progress.advance(len(squares))
    return made_inside.double().mean().item(), real_inside.double().mean().item()


@dataclass(frozen=True)
class _Balls:
    """Balls around some points, from `first` on, of a set (N, D).

    squared_radii: (C), in 32 bits; nearest: (C, 16), the points among which the third neighbour is.
    """

    points: Tensor
    first: int
    squared_radii: Tensor
    nearest: Tensor

    @property
    def centres(self) -> Tensor:
        return self.points[self.first : self.first + len(self.squared_radii)]

    def part(self, start: int, end: int) -> "_Balls":
        return _Balls(self.points, self.first + start, self.squared_radii[start:end], self.nearest[start:end])

    def exact_squared_radii(self, which: Tensor) -> Tensor:
        """In 64 bits, of the balls `which` (K)."""
        nearest = self.nearest[which]
        own = (self.first + which).repeat_interleave(nearest.shape[1])
        squares = _exact_squared_distances(self.points, own, self.points, nearest.flatten())
        return squares.view_as(nearest).kthvalue(NEIGHBOURHOOD + 1).values


def _balls(points: Tensor, rows: int, progress: Progress) -> _Balls:
    """The balls around all points (N, D)."""
    found = []
    for start in range(0, len(points), rows):
        squares = _squared_distances(points[start : start + rows], points)
        found.append(squares.topk(min(CANDIDATES, len(points)), largest=False))
        progress.advance(len(squares))
    radii = torch.cat([nearest.values[:, NEIGHBOURHOOD] for nearest in found])  # the first is the point itself
    return _Balls(points, 0, radii, torch.cat([nearest.indices for nearest in found]))


def _inside(squares: Tensor, points: Tensor, balls: _Balls) -> Tensor:
    """Which points (P) are inside a ball, from their squared distances (P, C) to the centres in 32 bits."""
    size = _squared_norms(points).max() + 3 * _squared_norms(balls.centres)  # of a distance and of a radius
    rounding = ROUNDING * points.shape[1] ** 0.5 * size
    above = squares - balls.squared_radii
    inside = (above < -rounding).any(dim=1)
    open_pairs = above.abs_() <= rounding
    open_pairs &= ~inside[:, None]
    point, centre = open_pairs.nonzero(as_tuple=True)
    which, place = centre.unique(return_inverse=True)
    exact = _exact_squared_distances(points, point, balls.centres, centre)
    inside[point[exact < balls.exact_squared_radii(which)[place]]] = True
    return inside


def _squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """(P, C) in 32 bits, by a matrix product."""
    squares = torch.addmm(_squared_norms(others)[None], points, others.T, alpha=-2)
    return squares.add_(_squared_norms(points)[:, None])


def _squared_norms(points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(points, dim=1).square()


def _exact_squared_distances(points: Tensor, point: Tensor, others: Tensor, other: Tensor) -> Tensor:
    """Of pairs of rows (K), in 64 bits."""
    found = [
        (points[one].double() - others[two].double()).square_().sum(dim=1)
        for one, two in zip(point.split(PAIRS_AT_ONCE), other.split(PAIRS_AT_ONCE), strict=True)
    ]
    return torch.cat(found)
