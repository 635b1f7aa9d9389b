"""Figures of sections 3.4 and 5: reconstruction under noise, the range of codes, and table size against quality."""

from matplotlib.figure import Figure

from pipeline.base.errors import InputError
from pipeline.figures.inputs import Inputs, summaries
from pipeline.figures.style import PALETTE, colours_of, panels
from pipeline.stages.figures import FigureJob

METRICS = (("psnr", "PSNR (dB)"), ("lpips_alex", "LPIPS"))
UNITS = (
    ("deviations", "noise, in standard deviations of the codes"),
    ("half_cells", "noise, in 1/(2 r_max)"),
)
LINEAR_TO = {
    "deviations": 0.05,
    "half_cells": 0.25,
}  # below, the axis is linear and includes zero


def noise_robustness(job: FigureJob, inputs: Inputs) -> Figure:
    """PSNR and LPIPS against the noise on the codes; for BRIGHT, a second row in units of its interval."""
    curves = {label: found.details["noise"] for label, found in summaries(inputs, "codes").items()}
    colours = colours_of(list(curves))
    bright = {label: curve for label, curve in curves.items() if curve[0]["half_cells"] is not None}
    rows = [UNITS[0], *([UNITS[1]] if bright else [])]
    figure, axes = panels(2 * len(rows), 2, job.title, width=3.4, height=2.3)
    for index, axis in enumerate(axes):
        (unit, axis_label), (metric, name) = rows[index // 2], METRICS[index % 2]
        for label, curve in (curves if unit == "deviations" else bright).items():
            points = [(point[unit], point[metric]) for point in curve]
            axis.plot(*zip(*points, strict=True), color=colours[label], label=label, marker=".", markersize=4)
        axis.set_xscale("symlog", linthresh=LINEAR_TO[unit], linscale=0.5)
        axis.set_xlim(left=0)
        axis.set_xlabel(axis_label)
        axis.set_ylabel(name)
        if unit == "half_cells":
            axis.axvspan(0, 1, color="#000000", alpha=0.07, linewidth=0)
    lines = axes[0].get_lines()
    figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=4)
    return figure


def code_range(job: FigureJob, inputs: Inputs) -> Figure:
    """For each autoencoder, every channel's range (thin) and mean ± one standard deviation (thick)."""
    measured = summaries(inputs, "codes")
    colours = colours_of(list(measured))
    figure, (axis,) = panels(1, 1, job.title, width=max(4.0, 1.4 * len(measured)), height=2.8)
    for place, (label, found) in enumerate(measured.items()):
        channels = found.details["codes"]["channels"]
        count = len(channels["mean"])
        for index in range(count):
            x = place + 0.7 * ((index + 0.5) / count - 0.5)
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
    quality = summaries(inputs, "reconstruction")
    points = []
    for label, found in summaries(inputs, "codes").items():
        if label not in quality:
            raise InputError(f"input reconstruction:{label}=PATH is missing; every input codes:{label} needs one")
        log2 = int(found.traits["table_entries"].removeprefix("2^"))
        points.append((found.values["codes.table_megabytes"].number, log2, quality[label].values))
    points.sort(key=lambda point: point[:2])
    figure, axes = panels(2, 2, job.title, width=3.4, height=2.5)
    for axis, (metric, name) in zip(axes, METRICS, strict=True):
        numbers = [values[metric].number for _, _, values in points]
        axis.plot([size for size, _, _ in points], numbers, color=PALETTE[0], marker="o", markersize=4)
        for (size, log2, _), number in zip(points, numbers, strict=True):
            axis.annotate(f"$2^{{{log2}}}$", (size, number), xytext=(3, 4), textcoords="offset points", fontsize=7)
        axis.set_xscale("log")
        axis.set_xlabel("hash tables (MB)")
        axis.set_ylabel(name)
    return figure
