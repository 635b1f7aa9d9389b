"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), with intervals.

Precision (recall): the share of generated (reference) images inside some ball around a reference (generated) image
that reaches to its third nearest neighbour; F1 is their harmonic mean (appendix B). Density and coverage: the same
distances, balls around the reference images alone that reach to the fifth neighbour. Density is the number of these
balls that a generated image is in, over five, as a mean; coverage the share of them that have a generated image inside.

- torch_fidelity: precision and recall as that library's function, to the bit. 32-bit distances; a point on a sphere
  is inside.
- paper_repository: as in the repository that the paper names. 64-bit distances; a point on a sphere is
  outside. The bulk is a 32-bit matrix product; what its rounding leaves open is taken again in 64 bits.

Density and coverage leave out a point on a sphere in both, as the authors' code does. Both are exact and hold one tile
of the distances at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.evaluation.feature_files import Features
from pipeline.evaluation.frechet import CONFIDENCE, student_quantile

NEIGHBOURHOOD = 3
WIDE_NEIGHBOURHOOD = 5  # of density and coverage
TILE = 1600  # points of either set, about, whose distances are held at once: of 4,096 dimensions that takes 0.2 GB
DIRECT = 25  # points, up to which torch.cdist takes no product
CANDIDATES = WIDE_NEIGHBOURHOOD + 11  # the nearest in 32 bits, among which 64 bits find the neighbours
PAIRS_AT_ONCE = 256  # of 64-bit differences
ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a product's sum, times the root of its terms and their size


def precision_recall(generated: Features, reference: Features, protocol: str, tile: int = TILE) -> dict[str, float]:
    """Precision, recall, F1, density (and its deviation over images) and coverage of features (N, D) against (M, D)."""
    fewest = min(len(generated), len(reference))
    if fewest <= WIDE_NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {WIDE_NEIGHBOURHOOD} images a set, not {fewest}")
    measure = {"torch_fidelity": _by_torch_fidelity, "paper_repository": _by_paper_repository}[protocol]
    found = measure(torch.from_numpy(generated), torch.from_numpy(reference), tile)
    densities = found.balls.double() / WIDE_NEIGHBOURHOOD
    return {
        "precision": found.precision,
        "recall": found.recall,
        "f1": f1(found.precision, found.recall),
        "density": densities.mean().item(),
        "density_std": densities.std().item(),
        "coverage": found.covered.double().mean().item(),
    }


def precision_recall_intervals(found: dict[str, float], made: int, real: int) -> dict[str, tuple[float, float]]:
    """The 95% intervals of all these for `made` generated and `real` reference images.

    Wilson's interval of a share. It covers how precision (recall, coverage) moves when the generated (reference) images
    are drawn again while the balls stay; F1's puts both together (Zou and Donner 2008), density's is Student's t over
    the generated images. It leaves out what other balls would do: with both sets drawn again, values of Gaussian sets
    moved 1.15 to 1.4 times as much.
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


@dataclass(frozen=True)
class _Found:
    """balls: (N), around reference images, that each generated image is in; covered: (M), which have one inside."""

    precision: float
    recall: float
    balls: Tensor
    covered: Tensor


def _parts(rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """The rows (N, ...), about `most` at a time.

    Cut at multiples of 8, where products are a third faster than elsewhere, and into parts alike: a sliver's product
    has other last bits.
    """
    count = -(-len(rows) // most)
    return rows.tensor_split([len(rows) * part // count // 8 * 8 for part in range(1, count)])


def _by_torch_fidelity(generated: Tensor, reference: Tensor, tile: int) -> _Found:
    """As there, precision and recall each take the distances between the sets: the two differ in their last bits."""
    made, real = _parts(generated, tile), _parts(reference, tile)
    with Progress("precision and recall", (len(made) + len(real)) ** 2, "tiles of distances") as progress:
        precision, balls, covered = _in_balls(made, real, progress)
        recall, _, _ = _in_balls(real, made, progress)
    return _Found(precision, recall, balls, covered)


def _in_balls(
    points: tuple[Tensor, ...], centres: tuple[Tensor, ...], progress: Progress
) -> tuple[float, Tensor, Tensor]:
    """The share of points inside the balls around the centres, how many wide ones each is in, which of these have one.

    Points and centres come in parts.
    """
    radii = []
    for some in centres:
        nearest = [
            distances.topk(min(WIDE_NEIGHBOURHOOD + 1, distances.shape[1]), largest=False).values
            for distances in _distances(some, centres, progress)
        ]
        radii.append(
            [torch.cat(nearest, dim=1).kthvalue(rank + 1).values for rank in (NEIGHBOURHOOD, WIDE_NEIGHBOURHOOD)]
        )
    inside, balls = [], []
    covered = [torch.zeros(len(some), dtype=torch.bool) for some in centres]
    for some in points:
        found, count = torch.zeros(len(some), dtype=torch.bool), torch.zeros(len(some), dtype=torch.long)
        for distances, (radius, wide), has_one in zip(_distances(some, centres, progress), radii, covered, strict=True):
            found |= (distances <= radius).any(dim=1)
            in_wide = distances < wide
            count += in_wide.sum(dim=1)
            has_one |= in_wide.any(dim=0)
        inside.append(found)
        balls.append(count)
    return torch.cat(inside).float().mean().item(), torch.cat(balls), torch.cat(covered)


def _distances(points: Tensor, parts: tuple[Tensor, ...], progress: Progress) -> Iterator[Tensor]:
    """torch.cdist's of some points to each part of others, to the bit; what it makes of the points, it makes each time.

    |x - y|^2 is one product: of (-2x, |x|^2, 1) and (y, 1, |y|^2).
    """
    norms = points.pow(2).sum(dim=1, keepdim=True)
    rows = torch.cat([points.mul(-2), norms, torch.ones_like(norms)], dim=1)
    for others in parts:
        if max(len(points), len(others)) <= DIRECT:
            yield torch.cdist(points, others)
        else:
            norms = others.pow(2).sum(dim=1, keepdim=True)
            columns = torch.cat([others, torch.ones_like(norms), norms], dim=1)
            yield (rows @ columns.T).clamp_(min=0).sqrt_()
        progress.advance()


def _by_paper_repository(generated: Tensor, reference: Tensor, tile: int) -> _Found:
    tiles = sum(len(_parts(points, tile)) for points in (generated, reference))
    with Progress("precision and recall", tiles * (tiles + 1) // 2, "tiles of distances") as progress:
        made, real = (_balls(points, tile, progress) for points in (generated, reference))
        for some in made.parts(tile):
            for others in real.parts(tile):
                squares = _squared_distances(some, others)
                for one, other, one_squares in ((some, others, squares), (others, some, squares.T)):
                    one.inside.logical_or_(_inside(one, other, one_squares, NEIGHBOURHOOD, once=True).any(dim=1))
                in_wide = _inside(some, others, squares, WIDE_NEIGHBOURHOOD)
                some.balls.add_(in_wide.sum(dim=1))
                others.covered.logical_or_(in_wide.any(dim=0))
                progress.advance()
    return _Found(made.inside.double().mean().item(), real.inside.double().mean().item(), made.balls, real.covered)


@dataclass(frozen=True)
class _Balls:
    """Points (N, D) of a set (M, D), and the balls around them.

    squared_norms: (N), of the points, in 32 bits; distances: (N, 16), squared, to the nearest of the set, in 32 bits;
    nearest: (N, 16), their numbers; inside: (N), whether a point is known to be inside a ball of the other set;
    balls: (N), how many wide balls of the other set it is in; covered: (N), whether one of that set is in its own.
    """

    set: Tensor
    points: Tensor
    squared_norms: Tensor
    distances: Tensor
    nearest: Tensor
    inside: Tensor
    balls: Tensor
    covered: Tensor

    def parts(self, most: int) -> list["_Balls"]:
        """These, at most `most` at a time; what changes there changes here."""
        own = [_parts(one, most) for name, one in vars(self).items() if name != "set"]
        return [_Balls(self.set, *some) for some in zip(*own, strict=True)]

    def add(self, squares: Tensor, numbers: Tensor) -> None:
        """Squared distances (N, C) to points of the set with these numbers (C): the nearest are kept."""
        some = squares.topk(min(CANDIDATES, len(numbers)), largest=False)
        all_distances = torch.cat([self.distances, some.values], dim=1)
        kept = all_distances.topk(self.distances.shape[1], largest=False)
        self.distances.copy_(kept.values)
        self.nearest.copy_(torch.cat([self.nearest, numbers[some.indices]], dim=1).gather(1, kept.indices))

    def squared_radii(self, neighbour: int) -> Tensor:
        """In 32 bits, to so distant a neighbour: the nearest point is the point itself."""
        return self.distances[:, neighbour]

    def exact_squared_radii(self, which: Tensor, neighbour: int) -> Tensor:
        """In 64 bits, of the balls `which` (K)."""
        nearest = self.nearest[which]
        own = which.repeat_interleave(nearest.shape[1])
        squares = _exact_squared_distances(self.points, own, self.set, nearest.flatten())
        return squares.view_as(nearest).kthvalue(neighbour + 1).values


def _balls(points: Tensor, tile: int, progress: Progress) -> _Balls:
    """The balls around all points (N, D): each tile serves its rows and, transposed, its columns."""
    kept = (len(points), min(CANDIDATES, len(points)))
    found = _Balls(
        points,
        points,
        torch.linalg.vector_norm(points, dim=1).square(),
        torch.full(kept, torch.inf),
        torch.zeros(kept, dtype=torch.long),
        torch.zeros(len(points), dtype=torch.bool),
        torch.zeros(len(points), dtype=torch.long),
        torch.zeros(len(points), dtype=torch.bool),
    )
    parts = list(zip(found.parts(tile), _parts(torch.arange(len(points)), tile), strict=True))
    for row, (some, numbers) in enumerate(parts):
        for column, (others, their_numbers) in enumerate(parts[row:], row):
            squares = _squared_distances(some, others)
            some.add(squares, their_numbers)
            if column > row:
                others.add(squares.T, numbers)
            progress.advance()
    return found


def _inside(some: _Balls, others: _Balls, squares: Tensor, neighbour: int, once: bool = False) -> Tensor:
    """Which of some points (P) are in which of the others' balls (C), from squared distances (P, C) in 32 bits.

    once: one ball a point is enough; what more of them would take 64 bits is left out.
    """
    size = some.squared_norms.max() + 3 * others.squared_norms  # of a distance and of a radius
    rounding = ROUNDING * some.points.shape[1] ** 0.5 * size
    above = squares - others.squared_radii(neighbour)
    inside = above < -rounding
    doubtful = above.abs_() <= rounding
    if once:
        doubtful &= ~(some.inside | inside.any(dim=1))[:, None]
    point, centre = doubtful.nonzero(as_tuple=True)
    which, place = centre.unique(return_inverse=True)
    exact = _exact_squared_distances(some.points, point, others.points, centre)
    inside[point, centre] = exact < others.exact_squared_radii(which, neighbour)[place]
    return inside


def _squared_distances(some: _Balls, others: _Balls) -> Tensor:
    """(P, C) in 32 bits, by a matrix product."""
    squares = torch.addmm(others.squared_norms[None], some.points, others.points.T, alpha=-2)
    return squares.add_(some.squared_norms[:, None])


def _exact_squared_distances(points: Tensor, point: Tensor, others: Tensor, other: Tensor) -> Tensor:
    """Of pairs of rows (K), in 64 bits."""
    found = [
        (points[one].double() - others[two].double()).square_().sum(dim=1)
        for one, two in zip(point.split(PAIRS_AT_ONCE), other.split(PAIRS_AT_ONCE), strict=True)
    ]
    return torch.cat(found)
