"""Figures of codes (sections 3.4 and 5): hits, noise, range, spectra, table size; quality against bits and time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import cycle, product
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bright_pipeline.base.errors import InputError
from bright_pipeline.data.arrays import arrays
from bright_pipeline.evaluation.summary import Summary, read_summary
from bright_pipeline.figures.common import PALETTE, Inputs, colours_of, labelled_paths, logarithmic, panels, paths_of
from bright_pipeline.settings.quantities import CODES, EFFICIENTNET, RECONSTRUCTIONS, TIMED_DECODING
from bright_pipeline.stages.figures import FigureJob

HITS_COLUMNS = 4
MOST_POINTS = 2000  # more points would only make the pdf larger
METRICS = (("psnr", "PSNR (dB)"), ("lpips_alex", "LPIPS"))
UNITS = (
    ("deviations", "noise, in standard deviations of the codes", 0.05),
    ("half_cells", "noise, in 1/(2 r_max)", 0.25),
)
"""Units of noise, their labels, and where their axes begin to be logarithmic; below, they include zero."""
AXES = (("bits", "bits per image", (2, 5)), ("milliseconds", "decoding an image (ms)", (2, 3, 5, 7)))
"""The quantities on the x axes, their labels, and the labelled multiples of powers of ten."""
DISTANCES = tuple((quantity.compared, quantity.name) for quantity in EFFICIENTNET[:2])
LENGTH_AXES = (
    ("psnr", "PSNR of reconstructions (dB)"),
    ("code_bits", "bits per image"),
    ("images", "training images of the autoencoder"),
    ("steps", "steps of the diffusion model"),
)
STAGED = ("no decoder stage", "decoder stage")
MARKERS = "os^DvP"  # one for each H x W of a code, in the order of bits, or of STAGED


def statistics(hits: np.ndarray) -> tuple[float, float]:
    """The share of entries hit and the coefficient of variation of the hits (0 without hits)."""
    mean = hits.mean()
    return float((hits > 0).mean()), float(hits.std() / mean) if mean else 0.0


def summaries(inputs: Inputs, name: str) -> dict[str, Summary]:
    """Label -> summary of `name:LABEL=path`."""
    return {label: read_summary(paths[0]) for label, paths in labelled_paths(inputs, name).items()}


def lacks(axis: Axes, metric: str, name: str, numbers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether some numbers lack a metric because its network was missing; the panel then shows a note."""
    if is_missing := any(metric not in values for values in numbers):
        axis.set_axis_off()
        text = f"{name}: network {metric} is missing"
        axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize=8)
    return is_missing


def legend_below(figure: Figure, colours: dict[str, str], markers: dict[str, str], points: "list[Point]") -> None:
    """A legend of curves by their colours, and of points by their markers and numbers."""
    keys = [Line2D([], [], color=colour, label=curve) for curve, colour in colours.items()]
    keys += [Line2D([], [], ls="", marker=mark, ms=4, color="gray", label=label) for label, mark in markers.items()]
    for number, point in enumerate(points, start=1):
        keys.append(Line2D([], [], ls="", marker=f"${number}$", ms=5, mew=0, color="black", label=point.name))
    figure.legend(handles=keys, loc="outside lower center", ncols=3)


def hits_per_entry(job: FigureJob, inputs: Inputs) -> Figure:
    """Figure 5b: hits of the finest tables' reachable entries, sorted, by group; CV: standard deviation over mean."""
    path = paths_of(inputs, "hits")[0]
    with arrays(path, "hits", "`bright_pipeline.dump_codes`, with hits and reachable") as stored:
        all_hits, reachable = stored["hits"], stored["reachable"]
    if all_hits.ndim != 2 or reachable.shape != all_hits.shape[1:] or not reachable.any():
        shapes = f"{all_hits.shape} and {reachable.shape}"
        raise InputError(f"hits {path}: shapes should be hits (groups, entries) and reachable (entries), not {shapes}")
    groups = all_hits[:, reachable.astype(bool)]
    figure, axes = panels(len(groups), HITS_COLUMNS)
    for index, (axis, hits) in enumerate(zip(axes, groups, strict=True)):
        share, variation = statistics(hits)
        ordered = np.sort(hits)[::-1]
        picked = np.unique(np.linspace(0, len(ordered) - 1, min(MOST_POINTS, len(ordered))).round().astype(int))
        rank = 100 * (picked + 1) / len(ordered)
        axis.fill_between(rank, ordered[picked], color=PALETTE[0], alpha=0.3, linewidth=0)
        axis.plot(rank, ordered[picked], color=PALETTE[0])
        axis.axhline(hits.mean(), color=PALETTE[3], linewidth=0.8, linestyle="--")
        axis.set(title=f"group {index + 1}: {share:.1%} hit, CV {variation:.2f}", xlim=(0, 100), ylim=(0, None))
    columns = min(HITS_COLUMNS, len(groups))
    for axis in axes[::columns]:
        axis.set_ylabel("hits of an entry")
    for axis in axes[-columns:]:
        axis.set_xlabel("entries, most hit first (%)")
    return figure


def noise_robustness(job: FigureJob, inputs: Inputs) -> Figure:
    """PSNR and LPIPS against the noise on the codes; for BRIGHT, a second row in units of its interval."""
    curves = {label: summary.details["noise"] for label, summary in summaries(inputs, CODES.name).items()}
    colours = colours_of(list(curves))
    bright = {label: curve for label, curve in curves.items() if curve[0]["half_cells"] is not None}
    units = UNITS if bright else UNITS[:1]
    figure, axes = panels(2 * len(units), 2, width=3.4, height=2.3)
    for axis, ((unit, axis_label, linear_to), (metric, name)) in zip(axes, product(units, METRICS), strict=True):
        if lacks(axis, metric, name, (point for curve in curves.values() for point in curve)):
            continue
        for label, curve in (curves if unit == "deviations" else bright).items():
            points = [(point[unit], point[metric]) for point in curve]
            axis.plot(*zip(*points, strict=True), color=colours[label], label=label, marker=".", markersize=4)
        axis.set_xscale("symlog", linthresh=linear_to, linscale=0.5)
        axis.set(xlim=(0, None), xlabel=f"{axis_label}, logarithmic from {linear_to:g}", ylabel=name)
        if unit == "half_cells":
            axis.axvspan(0, 1, color="#000000", alpha=0.07, linewidth=0)
    lines = axes[0].get_lines()
    figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=4)
    return figure


def code_range(job: FigureJob, inputs: Inputs) -> Figure:
    """For each autoencoder, every channel's range (thin) and mean ± one standard deviation (thick)."""
    measured = summaries(inputs, CODES.name)
    colours = colours_of(list(measured))
    figure, (axis,) = panels(1, 1, width=max(4.0, 1.4 * len(measured)), height=2.8)
    for position, (label, summary) in enumerate(measured.items()):
        channels = summary.details["codes"]["channels"]
        count = len(channels["mean"])
        for index in range(count):
            x = position + 0.7 * ((index + 0.5) / count - 0.5)
            mean, deviation = channels["mean"][index], channels["variance"][index] ** 0.5
            axis.vlines(x, channels["minimum"][index], channels["maximum"][index], color=colours[label], linewidth=0.6)
            axis.vlines(x, mean - deviation, mean + deviation, color=colours[label], linewidth=2.4)
    axis.axhspan(0, 1, color="#000000", alpha=0.07, linewidth=0)
    axis.set_xticks(range(len(measured)), list(measured))
    axis.set_ylabel("codes")
    axis.grid(visible=False, axis="x")
    return figure


def table_size(job: FigureJob, inputs: Inputs) -> Figure:
    """PSNR and LPIPS against the bytes of the hash tables; each point has the maximal entries of a table."""
    quality = summaries(inputs, RECONSTRUCTIONS.name)
    points = []
    for label, summary in summaries(inputs, CODES.name).items():
        if label not in quality:
            raise InputError(f"input reconstruction:{label}=PATH is missing; every input codes:{label} needs one")
        log2 = int(summary.traits["table_entries"].removeprefix("2^"))
        points.append((summary.values["codes.table_megabytes"].number, log2, quality[label].values))
    points.sort(key=lambda point: point[:2])
    figure, axes = panels(2, 2, width=3.4, height=2.5)
    for axis, (metric, name) in zip(axes, METRICS, strict=True):
        if lacks(axis, metric, name, (values for _, _, values in points)):
            continue
        numbers = [values[metric].number for _, _, values in points]
        axis.plot([size for size, _, _ in points], numbers, color=PALETTE[0], marker="o", markersize=4)
        for (size, log2, _), number in zip(points, numbers, strict=True):
            axis.annotate(f"$2^{{{log2}}}$", (size, number), xytext=(3, 4), textcoords="offset points", fontsize=7)
        logarithmic(axis, "x", "hash tables (MB)")
        axis.set_ylabel(name)
    return figure


class Point(NamedTuple):
    """One autoencoder: its name, its curve, and the mean and standard deviation of each quantity over seeds."""

    name: str
    curve: str
    variant: str  # shown by the marker: the code's H x W, or whether there is a decoder stage
    values: dict[str, tuple[float, float]]


def over_seeds(summaries: list[Summary], name: str) -> tuple[float, float]:
    """Mean and standard deviation of a value over training seeds."""
    numbers = [summary.values[name].number for summary in summaries]
    return fmean(numbers), stdev(numbers) if len(numbers) > 1 else 0.0


def draw_curve(
    axis: Axes, points: Iterable[tuple[int, Point]], x: str, y: str, colour: str, markers: Mapping[str, str]
) -> None:
    """A line through numbered points, with the marker of each and a bar of its standard deviation."""
    drawn = [(number, markers[point.variant], point.values[x][0], *point.values[y]) for number, point in points]
    *_, xs, ys, deviations = zip(*drawn, strict=True)
    axis.errorbar(xs, ys, deviations if any(deviations) else None, color=colour, elinewidth=0.8)
    for number, marker, across, mean, _ in drawn:
        axis.scatter(across, mean, s=18, color=colour, marker=marker)
        axis.annotate(str(number), (across, mean), xytext=(3, 2), textcoords="offset points", fontsize=6)


def rate_quality(job: FigureJob, inputs: Inputs) -> Figure:
    """PSNR and LPIPS against bits and decoding time of an image; bars: a standard deviation over training seeds."""
    (speeds,) = paths_of(inputs, TIMED_DECODING.name)
    points = []
    for name, paths in labelled_paths(inputs, RECONSTRUCTIONS.name).items():
        speed = read_summary(speeds, job.models.get(name, name)).values["decoding.images_per_second"]
        decoders = list(map(read_summary, paths))
        bits, _ = over_seeds(decoders, "code_bits")
        values = {"bits": (bits, 0.0), "milliseconds": (1000 / speed.number, 0.0)}
        is_measured = {metric: all(metric in summary.values for summary in decoders) for metric, _ in METRICS}
        values |= {metric: over_seeds(decoders, metric) for metric, _ in METRICS if is_measured[metric]}
        # A curve for each family, each ablation, and codes without noise or quantization.
        traits, is_unbounded = decoders[0].traits, decoders[0].details["code_bits_counted_by"] == "float32"
        variant = ", ".join(filter(None, [traits.get("ablation"), "no noise" if is_unbounded else None]))
        curve = f"{traits['method']} ({variant})" if variant else traits["method"]
        points.append(Point(name, curve, "x".join(traits["code_size"].split("x")[:2]), values))
    colours = colours_of(list(dict.fromkeys(point.curve for point in points)))
    points.sort(key=lambda point: (point.values["bits"][0], point.variant))
    markers = dict(zip(dict.fromkeys(point.variant for point in points), cycle(MARKERS)))
    figure, axes = panels(4, 2, width=3.4, height=2.5)
    for axis, ((x, axis_label, ticks), (metric, name)) in zip(axes, product(AXES, METRICS), strict=True):
        if lacks(axis, metric, name, (point.values for point in points)):
            continue
        for curve, colour in colours.items():
            on_curve = ((number, point) for number, point in enumerate(points, 1) if point.curve == curve)
            draw_curve(axis, on_curve, x, metric, colour, markers)
        logarithmic(axis, "x", axis_label, ticks)
        axis.set_ylabel(name)
    legend_below(figure, colours, {f"code {size}": marker for size, marker in markers.items()}, points)
    return figure


def spectra(job: FigureJob, inputs: Inputs) -> Figure:
    """The principal standard deviations of each autoencoder's codes, largest first."""
    measured = {label: summary.details["spectrum"] for label, summary in summaries(inputs, CODES.name).items()}
    figure, (axis,) = panels(1, 1, width=4.4, height=2.8)
    for label, colour in colours_of(list(measured)).items():
        deviations = measured[label]["deviations"]
        ranks = 100 * (np.arange(len(deviations)) + 0.5) / max(len(deviations), 1)
        axis.plot(ranks, deviations, color=colour, label=label)
    axis.axhline(min(curve["empty_below"] for curve in measured.values()), color="0.5", linewidth=0.8, linestyle="--")
    logarithmic(axis, "y", "standard deviation", ())
    axis.set(xlim=(0, 100), xlabel="principal directions, largest first (%)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _comparable(points: list[Point], x: str) -> list[Point]:
    """The points of a curve. If both training lengths vary, those with the most common length of the other axis."""
    counts = {length: Counter(point.values[length] for point in points) for length in ("images", "steps")}
    if min(map(len, counts.values())) == 1:
        return points
    other = "images" if x == "steps" else "steps"
    usual = counts[other].most_common(1)[0][0]
    return [point for point in points if point.values[other] == usual]


def sample_quality(job: FigureJob, inputs: Inputs) -> Figure:
    """Distances of samples against PSNR, bits and lengths of training; bars: a standard deviation over seeds."""
    sample_paths, points = labelled_paths(inputs, "samples"), []
    for name, paths in labelled_paths(inputs, RECONSTRUCTIONS.name).items():
        decoders, scores = list(map(read_summary, paths)), list(map(read_summary, sample_paths[name]))
        values = {key: over_seeds(decoders, key) for key in ("psnr", "code_bits")}
        values |= {key: (float(length), 0.0) for key, length in job.lengths[name].items()}
        values |= {key: over_seeds(scores, key) for key, _ in DISTANCES}
        points.append(Point(name, decoders[0].traits["method"], STAGED[job.lengths[name]["stage_images"] > 0], values))
    varied = [axis for axis in LENGTH_AXES if len({point.values[axis[0]][0] for point in points}) > 1]
    across = varied or LENGTH_AXES[:1]
    figure, axes = panels(len(DISTANCES) * len(across), len(across), width=3.0, height=2.5)
    colours = colours_of(list(dict.fromkeys(point.curve for point in points)))
    markers = dict(zip(STAGED, MARKERS, strict=False))
    curves = list(dict.fromkeys((point.curve, point.variant) for point in points))
    for axis, ((y, y_label), (x, x_label)) in zip(axes, product(DISTANCES, across), strict=True):
        for curve in curves:
            comparable = _comparable([point for point in points if (point.curve, point.variant) == curve], x)
            on_curve = sorted(comparable, key=lambda point: point.values[x] + point.values[y])
            draw_curve(axis, ((points.index(p) + 1, p) for p in on_curve), x, y, colours[curve[0]], markers)
        axis.set(xlabel=x_label, ylabel=y_label)
        if x != "psnr":
            logarithmic(axis, "x", x_label)
    shown = {stage: marker for stage, marker in markers.items() if stage in {variant for _, variant in curves}}
    legend_below(figure, colours, shown, points)
    return figure
