"""Intervals of differences between two rows, and which of a table's differences are more than chance.

Over training seeds: Welch's t, or Student's t of the differences by seed where two rows share the order of the data and
the initial weights. Of one training: the metrics' own intervals, whose half-widths add as squares. All are 95 %
intervals. Over several comparisons Holm's correction keeps the chance of any false one at 5 %.
"""

from collections.abc import Sequence
from math import hypot, inf, sqrt
from statistics import fmean, variance
from typing import NamedTuple

from bright_pipeline.tables.display_table import DisplayCell

CONFIDENCE = 0.95
NORMAL = 1.959964  # half-width of a normal distribution's 95 % interval, in standard deviations


class Difference(NamedTuple):
    """One number minus another, its standard error, and the degrees of freedom of Student's t; infinite: normal."""

    number: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """The p-value of no difference."""
        from scipy.special import ndtr, stdtr

        if self.error == 0:
            return float(self.number == 0)
        score = -abs(self.number) / self.error
        return float(min(1.0, 2 * (ndtr(score) if self.freedom == inf else stdtr(self.freedom, score))))

    def half(self) -> float:
        """Half of its 95 % interval."""
        from scipy.special import ndtri, stdtrit

        tail = (1 + CONFIDENCE) / 2
        return self.error * float(ndtri(tail) if self.freedom == inf else stdtrit(self.freedom, tail))

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return self.number - self.half(), self.number + self.half()


def difference(one: DisplayCell, other: DisplayCell, paired: bool = False) -> Difference | None:
    """One minus the other; None where nothing is known of their spread. paired: seed by seed."""
    if one.number is None or other.number is None:
        return None
    if min(len(one.seeds), len(other.seeds)) > 1:
        if paired and len(one.seeds) == len(other.seeds):
            return of_pairs([a - b for a, b in zip(one.seeds, other.seeds, strict=True)])
        return welch(one.seeds, other.seeds)
    if one.interval is None or other.interval is None or one.seeds or other.seeds:
        return None
    half = hypot(*((high - low) / 2 for low, high in (one.interval, other.interval)))
    return Difference(one.number - other.number, half / NORMAL, inf)


def welch(one: Sequence[float], other: Sequence[float]) -> Difference:
    """Of the means of two samples with variances of their own (Welch 1947)."""
    parts = [variance(numbers) / len(numbers) for numbers in (one, other)]
    spread = sum(part**2 / (len(numbers) - 1) for part, numbers in zip(parts, (one, other), strict=True))
    return Difference(fmean(one) - fmean(other), sqrt(sum(parts)), sum(parts) ** 2 / spread if spread else inf)


def of_pairs(differences: Sequence[float]) -> Difference:
    """Of the mean of paired differences."""
    return Difference(fmean(differences), sqrt(variance(differences) / len(differences)), len(differences) - 1)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which of several differences are significant at 5 % (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    significant = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] * (len(p_values) - rank) > 1 - CONFIDENCE:
            break
        significant[index] = True
    return significant
