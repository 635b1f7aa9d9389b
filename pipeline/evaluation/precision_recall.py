"""Precision and recall (Kynkäänniemi et al.) with intervals, in the two protocols that are in use (appendix B).

The share of generated (reference) images inside some ball around a reference (generated) image that reaches
to its third nearest neighbour; F1 is their harmonic mean.

- torch_fidelity: as that library's function, to the bit. 32-bit distances; a point on a sphere is inside.
- paper_repository: as in the repository that the paper names. 64-bit distances; a point on a sphere is
  outside. The bulk is a 32-bit matrix product; what its rounding leaves open is taken again in 64 bits.

Both are exact and hold one tile of the distances at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.evaluation.feature_files import Features
from pipeline.evaluation.frechet import CONFIDENCE

NEIGHBOURHOOD = 3
NEAREST = NEIGHBOURHOOD + 1  # with the point itself
TILE = 1600  # points of either set, about, whose distances are held at once: of 4,096 dimensions that takes 0.2 GB
DIRECT = 25  # points, up to which torch.cdist takes no product
CANDIDATES = NEIGHBOURHOOD + 13  # the nearest in 32 bits, among which 64 bits find the neighbours
PAIRS_AT_ONCE = 256  # of 64-bit differences
ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a product's sum, times the root of its terms and their size


def precision_recall(generated: Features, reference: Features, protocol: str, tile: int = TILE) -> dict[str, float]:
    """Precision, recall and F1 of features (N, D) against (M, D)."""
    fewest = min(len(generated), len(reference))
    if fewest <= NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {NEIGHBOURHOOD} images a set, not {fewest}")
    measure = {"torch_fidelity": _by_torch_fidelity, "paper_repository": _by_paper_repository}[protocol]
    precision, recall = measure(torch.from_numpy(generated), torch.from_numpy(reference), tile)
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


def _share_interval(share: float, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(round(share * count), count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def _parts(rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """The rows (N, ...), about `most` at a time.

    Cut at multiples of 8, where products are a third faster than elsewhere, and into parts alike: a sliver's product
    has other last bits.
    """
    count = -(-len(rows) // most)
    return rows.tensor_split([len(rows) * part // count // 8 * 8 for part in range(1, count)])


def _by_torch_fidelity(generated: Tensor, reference: Tensor, tile: int) -> tuple[float, float]:
    """As there, precision and recall each take the distances between the sets: the two differ in their last bits."""
    made, real = _parts(generated, tile), _parts(reference, tile)
    with Progress("precision and recall", (len(made) + len(real)) ** 2, "tiles of distances") as progress:
        return _share_inside(made, real, progress), _share_inside(real, made, progress)


def _share_inside(points: tuple[Tensor, ...], centres: tuple[Tensor, ...], progress: Progress) -> float:
    """The share of points inside the balls around the centres; both come in parts."""
    radii = []
    for some in centres:
        nearest = [
            distances.topk(min(NEAREST, distances.shape[1]), largest=False).values
            for distances in _distances(some, centres, progress)
        ]
        radii.append(torch.cat(nearest, dim=1).kthvalue(NEAREST).values)
    inside = []
    for some in points:
        found = torch.zeros(len(some), dtype=torch.bool)
        for distances, radius in zip(_distances(some, centres, progress), radii, strict=True):
            found |= (distances <= radius).any(dim=1)
        inside.append(found)
    return torch.cat(inside).float().mean().item()


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


def _by_paper_repository(generated: Tensor, reference: Tensor, tile: int) -> tuple[float, float]:
    tiles = sum(len(_parts(points, tile)) for points in (generated, reference))
    with Progress("precision and recall", tiles * (tiles + 1) // 2, "tiles of distances") as progress:
        made, real = (_balls(points, tile, progress) for points in (generated, reference))
        for some in made.parts(tile):
            for others in real.parts(tile):
                squares = _squared_distances(some, others)
                _mark_inside(some, others, squares)
                _mark_inside(others, some, squares.T)
                progress.advance()
    return made.inside.double().mean().item(), real.inside.double().mean().item()


@dataclass(frozen=True)
class _Balls:
    """Points (N, D) of a set (M, D), and the balls around them.

    squared_norms: (N), of the points, in 32 bits; distances: (N, 16), squared, to the nearest of the set, in 32 bits;
    nearest: (N, 16), their numbers; inside: (N), whether a point is known to be inside a ball of the other set.
    """

    set: Tensor
    points: Tensor
    squared_norms: Tensor
    distances: Tensor
    nearest: Tensor
    inside: Tensor

    def parts(self, most: int) -> list["_Balls"]:
        """These, at most `most` at a time; what changes there changes here."""
        own = (self.points, self.squared_norms, self.distances, self.nearest, self.inside)
        return [_Balls(self.set, *some) for some in zip(*(_parts(one, most) for one in own), strict=True)]

    def add(self, squares: Tensor, numbers: Tensor) -> None:
        """Squared distances (N, C) to points of the set with these numbers (C): the nearest are kept."""
        some = squares.topk(min(CANDIDATES, len(numbers)), largest=False)
        all_distances = torch.cat([self.distances, some.values], dim=1)
        kept = all_distances.topk(self.distances.shape[1], largest=False)
        self.distances.copy_(kept.values)
        self.nearest.copy_(torch.cat([self.nearest, numbers[some.indices]], dim=1).gather(1, kept.indices))

    @property
    def squared_radii(self) -> Tensor:
        """In 32 bits: to the third neighbour, the first is the point itself."""
        return self.distances[:, NEIGHBOURHOOD]

    def exact_squared_radii(self, which: Tensor) -> Tensor:
        """In 64 bits, of the balls `which` (K)."""
        nearest = self.nearest[which]
        own = which.repeat_interleave(nearest.shape[1])
        squares = _exact_squared_distances(self.points, own, self.set, nearest.flatten())
        return squares.view_as(nearest).kthvalue(NEAREST).values


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


def _mark_inside(some: _Balls, others: _Balls, squares: Tensor) -> None:
    """Mark which of some points (P) are inside the others' balls (C), from squared distances (P, C) in 32 bits."""
    size = some.squared_norms.max() + 3 * others.squared_norms  # of a distance and of a radius
    rounding = ROUNDING * some.points.shape[1] ** 0.5 * size
    above = squares - others.squared_radii
    inside = some.inside.logical_or_((above < -rounding).any(dim=1))
    point, centre = ((above.abs_() <= rounding) & ~inside[:, None]).nonzero(as_tuple=True)
    which, place = centre.unique(return_inverse=True)
    exact = _exact_squared_distances(some.points, point, others.points, centre)
    inside[point[exact < others.exact_squared_radii(which)[place]]] = True


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
