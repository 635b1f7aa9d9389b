"""Figure 5b: hits per entry of the finest resolution's tables, one panel per group.

A key hits an entry where its interpolation weight is above zero. Entries that no key can reach are excluded.
The title of each panel gives the share of entries hit and the coefficient of variation (standard deviation over mean).
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.base.errors import InputError
from pipeline.data.arrays import arrays
from pipeline.figures.inputs import Inputs, paths_of
from pipeline.figures.style import PALETTE, panels
from pipeline.stages.figures import FigureJob

COLUMNS = 4
MOST_POINTS = 2000  # more points would only make the pdf larger


def read_hits(path: Path) -> np.ndarray:
    """Read the hits (N_h, entries) of the entries that a key can reach."""
    with arrays(path, "hits", "`pipeline.dump_codes`, with hits and reachable") as found:
        hits, reachable = found["hits"], found["reachable"]
    if hits.ndim != 2 or reachable.shape != hits.shape[1:] or not reachable.any():
        raise InputError(
            f"hits {path}: shapes should be hits (groups, entries) and reachable (entries),"
            f" not {hits.shape} and {reachable.shape}"
        )
    return np.asarray(hits[:, reachable.astype(bool)])


def statistics(hits: np.ndarray) -> tuple[float, float]:
    """The share of entries hit and the coefficient of variation of the hits (0 without hits)."""
    mean = hits.mean()
    return float((hits > 0).mean()), float(hits.std() / mean) if mean else 0.0


def hits_per_entry(job: FigureJob, inputs: Inputs) -> Figure:
    """Hits per entry, entries sorted by their hits."""
    groups = read_hits(paths_of(inputs, "hits")[0])
    figure, axes = panels(len(groups), job.columns or COLUMNS, job.title)
    for index, (axis, hits) in enumerate(zip(axes, groups, strict=True)):
        share, variation = statistics(hits)
        ordered = np.sort(hits)[::-1]
        picked = np.unique(np.linspace(0, len(ordered) - 1, min(MOST_POINTS, len(ordered))).round().astype(int))
        rank = 100 * (picked + 1) / len(ordered)
        axis.fill_between(rank, ordered[picked], color=PALETTE[0], alpha=0.3, linewidth=0)
        axis.plot(rank, ordered[picked], color=PALETTE[0])
        axis.axhline(hits.mean(), color=PALETTE[3], linewidth=0.8, linestyle="--")
        axis.set_title(f"group {index + 1}: {share:.1%} hit, CV {variation:.2f}")
        axis.set_xlim(0, 100)
        axis.set_ylim(bottom=0)
    columns = min(job.columns or COLUMNS, len(groups))
    for axis in axes[::columns]:
        axis.set_ylabel("hits of an entry")
    for axis in axes[-columns:]:
        axis.set_xlabel("entries, most hit first (%)")
    return figure
