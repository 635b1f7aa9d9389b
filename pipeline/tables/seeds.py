"""Several training seeds of a row as one measurement: means, and standard deviations over the seeds."""

from math import sqrt
from statistics import fmean, stdev

from pipeline.tables.measured import Measurement, Value


def over_seeds(row: str, seeds: list[Measurement]) -> Measurement:
    """One measurement of a row from one for each training seed; that itself where there is one alone."""
    if len(seeds) == 1:
        return seeds[0]
    joined = Measurement(row, seeds[0].label)
    for measurement in seeds:
        joined.join_traits(measurement.traits)
        joined.kinds |= measurement.kinds
        for kind, files in measurement.files.items():
            joined.files.setdefault(kind, []).extend(files)
    for key in dict.fromkeys(key for measurement in seeds for key in measurement.values):
        joined.values[key] = _mean([measurement.values[key] for measurement in seeds if key in measurement.values])
    return joined


def _mean(values: list[Value]) -> Value:
    """Mean and standard deviation (N - 1 in the denominator) over seeds; the images' deviation pooled.

    The intervals go: each is of one seed's number.
    """
    if len(values) == 1:
        return values[0]
    numbers, deviations = [value.number for value in values], [value.std for value in values if value.std is not None]
    pooled = sqrt(fmean(std**2 for std in deviations)) if deviations else None
    return Value(fmean(numbers), pooled, values[0].protocol, None, stdev(numbers), len(values))
