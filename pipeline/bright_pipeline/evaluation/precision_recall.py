"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), with intervals.

Precision (recall): the share of generated (reference) images inside some ball around a reference (generated) image
that reaches to its third nearest neighbour; F1 is their harmonic mean (appendix B). Density and coverage use balls
around the reference images that reach to the fifth neighbour. Density is the mean number of these balls that a
generated image is in, over five; coverage is the share of them that have a generated image inside.

The protocols differ in a point on a sphere: torch_fidelity counts it as inside, as that library does;
paper_repository as outside, as the repository that the paper names. Density and coverage count it as outside in both,
as the authors' code does.

The results are those of distances in float64. One tile of the distances is held at a time, as a matrix product in
float32; pairs that its rounding leaves undecided are computed again in float64.
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.evaluation.feature_files import Features
from bright_pipeline.evaluation.frechet import CONFIDENCE, student_quantile

NEIGHBOURHOOD = 3
WIDE_NEIGHBOURHOOD = 5  # of density and coverage
TILE = 1600  # points of either set, about, whose distances are held at once: of 4,096 dimensions that takes 0.2 GB
CANDIDATES = WIDE_NEIGHBOURHOOD + 11  # the nearest in float32, among which float64 finds the neighbours
PAIRS_AT_ONCE = 256  # of float64 differences
ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a product's sum, times the root of its terms and their size


def precision_recall(generated: Features, reference: Features, protocol: str, tile: int = TILE) -> dict[str, float]:
    """Precision, recall, F1, density (and its deviation over images) and coverage of features (N, D) against (M, D)."""
    fewest = min(len(generated), len(reference))
    if fewest <= WIDE_NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {WIDE_NEIGHBOURHOOD} images a set, not {fewest}")
    border = protocol == "torch_fidelity"
    sets = [torch.from_numpy(features) for features in (generated, reference)]
    tiles = sum(len(_parts(points, tile)) for points in sets)
    with Progress("precision and recall", tiles * (tiles + 1) // 2, "tiles of distances") as progress:
        made, real = (_balls(points, tile, progress) for points in sets)
        for some, others in product(made.parts(tile), real.parts(tile)):
            squares = _squared_distances(some, others)
            for one, other, one_squares in ((some, others, squares), (others, some, squares.T)):
                found = _inside(one, other, one_squares, NEIGHBOURHOOD, border, once=True)
                one.inside.logical_or_(found.any(dim=1))
            in_wide = _inside(some, others, squares, WIDE_NEIGHBOURHOOD)
            some.balls.add_(in_wide.sum(dim=1))
            others.covered.logical_or_(in_wide.any(dim=0))
            progress.advance()
    share = torch.float32 if border else torch.float64  # torch-fidelity rounds its shares to 32 bits
    precision, recall = (one.inside.to(share).mean().item() for one in (made, real))
    densities = made.balls.double() / WIDE_NEIGHBOURHOOD
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1(precision, recall),
        "density": densities.mean().item(),
        "density_std": densities.std().item(),
        "coverage": real.covered.double().mean().item(),
    }


def precision_recall_intervals(found: dict[str, float], made: int, real: int) -> dict[str, tuple[float, float]]:
    """The 95% intervals of all these for `made` generated and `real` reference images.

    Wilson's interval of a share. It covers how precision (recall, coverage) moves when the generated (reference) images
    are drawn again while the balls stay; F1's combines both (Zou and Donner 2008), density's is Student's t over the
    generated images. It omits the effect of other balls: with both sets drawn again, values of Gaussian sets moved 1.15
    to 1.4 times as much.
    """
    precision = _share_interval(found["precision"], made)
    recall = _share_interval(found["recall"], real)
    ends = []
    for end, sign in ((0, -1), (1, 1)):
        of_precision = f1(precision[end], found["recall"]) - found["f1"]
        of_recall = f1(found["precision"], recall[end]) - found["f1"]
        ends.append(found["f1"] + sign * (of_precision**2 + of_recall**2) ** 0.5)
    half = student_quantile(made - 1) * found["density_std"] / made**0.5
    return {
        "precision": precision,
        "recall": recall,
        "f1": (ends[0], ends[1]),
        "density": (max(found["density"] - half, 0.0), found["density"] + half),
        "coverage": _share_interval(found["coverage"], real),
    }


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean; with torch-fidelity's guard, zero where both are."""
    return 2 * precision * recall / max(1e-5, precision + recall)


def _share_interval(share: float, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(round(share * count), count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def _parts(rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """The rows (N, ...), about `most` at a time, in parts alike; cut at multiples of 8, where products are faster."""
    count = -(-len(rows) // most)
    return rows.tensor_split([len(rows) * part // count // 8 * 8 for part in range(1, count)])


@dataclass(frozen=True)
class _Balls:
    """Points (N, D) of a set (M, D), and the balls around them."""

    set: Tensor
    points: Tensor
    squared_norms: Tensor  # (N), of the points, float32
    distances: Tensor  # (N, 16), squared, to the nearest points of the set, float32
    nearest: Tensor  # (N, 16), the numbers of these points
    inside: Tensor  # (N), whether a point is known to be inside a ball of the other set
    balls: Tensor  # (N), in how many wide balls of the other set it is
    covered: Tensor  # (N), whether a point of the other set is in its wide ball

    def parts(self, most: int) -> list["_Balls"]:
        """These, at most `most` at a time: views, so that what is written there is written here."""
        own = [_parts(one, most) for name, one in vars(self).items() if name != "set"]
        return [_Balls(self.set, *some) for some in zip(*own, strict=True)]

    def keep_nearest(self, squares: Tensor, numbers: Tensor) -> None:
        """Merge squared distances (N, C) to the points of the set with these numbers (C)."""
        some = squares.topk(min(CANDIDATES, len(numbers)), largest=False)
        all_distances = torch.cat([self.distances, some.values], dim=1)
        kept = all_distances.topk(self.distances.shape[1], largest=False)
        self.distances.copy_(kept.values)
        self.nearest.copy_(torch.cat([self.nearest, numbers[some.indices]], dim=1).gather(1, kept.indices))

    def exact_squared_radii(self, which: Tensor, neighbour: int) -> Tensor:
        """To the neighbour of this rank in float64, of the balls `which` (K). The nearest point is the point itself."""
        nearest = self.nearest[which]
        own = which.repeat_interleave(nearest.shape[1])
        squares = _exact_squared_distances(self.points, own, self.set, nearest.flatten())
        return squares.view_as(nearest).kthvalue(neighbour + 1).values


def _balls(points: Tensor, tile: int, progress: Progress) -> _Balls:
    """The balls around all points (N, D): each tile of distances serves its rows and, transposed, its columns."""
    count, kept = len(points), (len(points), min(CANDIDATES, len(points)))
    norms = torch.linalg.vector_norm(points, dim=1).square()
    far, nobody = torch.full(kept, torch.inf), torch.zeros(kept, dtype=torch.long)
    inside, balls, covered = (torch.zeros(count, dtype=dtype) for dtype in (torch.bool, torch.long, torch.bool))
    found = _Balls(points, points, norms, far, nobody, inside, balls, covered)
    parts = list(zip(found.parts(tile), _parts(torch.arange(len(points)), tile), strict=True))
    for row, (some, numbers) in enumerate(parts):
        for column, (others, their_numbers) in enumerate(parts[row:], row):
            squares = _squared_distances(some, others)
            some.keep_nearest(squares, their_numbers)
            if column > row:
                others.keep_nearest(squares.T, numbers)
            progress.advance()
    return found


def _inside(
    some: _Balls, others: _Balls, squares: Tensor, neighbour: int, border: bool = False, once: bool = False
) -> Tensor:
    """Which of some points (P) are in which of the others' balls (C), from squared distances (P, C) in float32.

    border: a point on a sphere is inside. once: one ball a point is enough, further undecided pairs are skipped.
    """
    size = some.squared_norms.max() + 3 * others.squared_norms  # of a distance and of a radius
    rounding = ROUNDING * some.points.shape[1] ** 0.5 * size
    above = squares - others.distances[:, neighbour]
    inside = above < -rounding
    undecided = above.abs_() <= rounding
    if once:
        undecided &= ~(some.inside | inside.any(dim=1))[:, None]
    point, centre = undecided.nonzero(as_tuple=True)
    which, place = centre.unique(return_inverse=True)
    exact = _exact_squared_distances(some.points, point, others.points, centre)
    radii = others.exact_squared_radii(which, neighbour)[place]
    inside[point, centre] = exact <= radii if border else exact < radii
    return inside


def _squared_distances(some: _Balls, others: _Balls) -> Tensor:
    """(P, C) in float32, by a matrix product."""
    squares = torch.addmm(others.squared_norms[None], some.points, others.points.T, alpha=-2)
    return squares.add_(some.squared_norms[:, None])


def _exact_squared_distances(points: Tensor, point: Tensor, others: Tensor, other: Tensor) -> Tensor:
    """Of pairs of rows (K), in float64."""
    found = [
        (points[one].double() - others[two].double()).square_().sum(dim=1)
        for one, two in zip(point.split(PAIRS_AT_ONCE), other.split(PAIRS_AT_ONCE), strict=True)
    ]
    return torch.cat(found)
