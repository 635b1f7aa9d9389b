"""Quality against the bits of a code (`pipeline/models/code_bits.py`) and against the time that decoding takes.

Each family is one curve over its code sizes. Ablations, and models whose code has no noise or quantization, get curves
of their own. Several training seeds give a mean with bars of one standard deviation.
"""

from dataclasses import dataclass
from itertools import cycle
from statistics import fmean, stdev

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.base.summary import Summary, read_summary
from pipeline.figures.codes import METRICS
from pipeline.figures.inputs import Inputs, labelled_paths, paths_of
from pipeline.figures.style import colours_of, panels, plain_ticks
from pipeline.stages.figures import FigureJob

AXES = (("bits", "bits per image", (2, 5)), ("milliseconds", "decoding an image (ms)", (2, 3, 5, 7)))
"""The quantities on the x axes, their labels, and the labelled multiples of powers of ten."""
MARKERS = "os^DvP"
"""One for each H x W of a code, in the order of bits."""


@dataclass(frozen=True)
class Point:
    """One autoencoder: its curve, its code's H x W, and the mean and standard deviation of each quantity over seeds."""

    curve: str
    code_grid: str
    values: dict[str, tuple[float, float]]


def rate_quality(job: FigureJob, inputs: Inputs) -> Figure:
    """PSNR and LPIPS against bits per image (first row) and against decoding time per image (second row)."""
    (speeds,) = paths_of(inputs, "decoding")
    points = []
    for name, paths in labelled_paths(inputs, "reconstruction").items():
        speed = read_summary(speeds, job.models.get(name, name)).values["decoding.images_per_second"]
        points.append(_point(list(map(read_summary, paths)), 1000 / speed.number))
    colours = colours_of(list(dict.fromkeys(point.curve for point in points)))
    points.sort(key=lambda point: (point.values["bits"][0], point.code_grid))
    markers = dict(zip(dict.fromkeys(point.code_grid for point in points), cycle(MARKERS)))
    figure, axes = panels(4, 2, job.title, width=3.4, height=2.5)
    for index, axis in enumerate(axes):
        (x, axis_label, ticks), (metric, name) = AXES[index // 2], METRICS[index % 2]
        for curve, colour in colours.items():
            on_curve = [point for point in points if point.curve == curve]
            centres = [(point.values[x][0], point.values[metric][0]) for point in on_curve]
            axis.plot(*zip(*centres, strict=True), color=colour)
            for point, (across, mean) in zip(on_curve, centres, strict=True):
                axis.scatter(across, mean, s=18, color=colour, marker=markers[point.code_grid])
                if deviation := point.values[metric][1]:
                    axis.vlines(across, mean - deviation, mean + deviation, color=colour, linewidth=0.8)
        axis.set_xscale("log")
        plain_ticks(axis.xaxis, ticks)
        axis.set_xlabel(axis_label)
        axis.set_ylabel(name)
    keys = [Line2D([], [], color=colour, label=curve) for curve, colour in colours.items()]
    keys += [Line2D([], [], ls="", marker=one, ms=4, color="gray", label=f"code {at}") for at, one in markers.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(colours))
    return figure


def _point(summaries: list[Summary], milliseconds: float) -> Point:
    """One autoencoder from the reconstruction summaries of its training seeds."""
    first = summaries[0]
    unbounded = ["no noise"] * (first.details["code_bits_counted_by"] == "float32")
    variant = ", ".join(filter(None, [first.traits.get("ablation"), *unbounded]))
    bits = fmean(summary.values["code_bits"].number for summary in summaries)
    values = {"bits": (bits, 0.0), "milliseconds": (milliseconds, 0.0)}
    for metric, _ in METRICS:
        means = [summary.values[metric].number for summary in summaries]
        values[metric] = fmean(means), stdev(means) if len(means) > 1 else 0.0
    method = first.traits["method"]
    curve = f"{method} ({variant})" if variant else method
    return Point(curve, "x".join(first.traits["code_size"].split("x")[:2]), values)
