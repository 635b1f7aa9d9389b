"""Differences of means over training seeds, and which of a table's differences are more than chance.

Welch's t, or Student's t of the differences by seed where two rows share the order of the data and the initial weights;
all intervals are 95 % intervals. Over several comparisons Holm's correction keeps the chance of any false one at 5 %.
"""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import fmean, variance
from typing import NamedTuple

CONFIDENCE = 0.95
FEWEST_SEEDS = 3  # for a verdict


class Difference(NamedTuple):
    """One mean minus another, its standard error, and the degrees of freedom of Student's t."""

    number: float
    error: float
    freedom: float

    @classmethod
    def welch(cls, number: float, parts: Sequence[tuple[float, int]]) -> "Difference":
        """A difference of means; parts: the variance of each sample and its size (Welch 1947)."""
        squares = [variance / size for variance, size in parts]
        spread = sum(square**2 / (size - 1) for square, (_, size) in zip(squares, parts, strict=True))
        return cls(number, sqrt(sum(squares)), sum(squares) ** 2 / spread if spread else inf)

    @property
    def p(self) -> float:
        """The p-value of no difference."""
        from scipy.special import stdtr

        if self.error == 0:
            return float(self.number == 0)
        return float(min(1.0, 2 * stdtr(self.freedom, -abs(self.number) / self.error)))

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        from scipy.special import stdtrit

        half = self.error * float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2))
        return self.number - half, self.number + half


def welch(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """The difference of the means of two samples, each with its own variance (Welch 1947)."""
    parts = [(variance(numbers), len(numbers)) for numbers in (ours, others)]
    return Difference.welch(fmean(ours) - fmean(others), parts)


def paired(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """The mean of the differences seed by seed."""
    differences = [our - other for our, other in zip(ours, others, strict=True)]
    return Difference(fmean(differences), sqrt(variance(differences) / len(differences)), len(differences) - 1)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which of several differences are significant at 5 % (Holm 1979)."""
    significant = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - rank) > 1 - CONFIDENCE:
            break
        significant[index] = True
    return significant
