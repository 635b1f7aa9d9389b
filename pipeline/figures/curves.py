"""Loss curves of one or several trainings, one panel per logged quantity."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pipeline.base.errors import InputError
from pipeline.figures.inputs import Inputs, labelled_paths, read_csv
from pipeline.figures.style import colours_of, panels
from pipeline.stages.figures import FigureJob

COLUMNS = 3
DECADE = 10
NOT_LOSSES = ("step", "images", "seconds")


def read_history(path: Path) -> pd.DataFrame:
    """Read a training history: step, images, seconds, then the losses."""
    frame = read_csv(path, f"history {path}", "images")
    if frame.empty:
        raise InputError(f"history {path}: no rows")
    return frame


def curves(job: FigureJob, inputs: Inputs) -> Figure:
    """Each quantity against training images; the axis is logarithmic where values are positive and span a decade."""
    histories = {
        label or "training": read_history(path)
        for label, paths in labelled_paths(inputs, "history").items()
        for path in paths
    }
    quantities = list(dict.fromkeys(c for history in histories.values() for c in history if c not in NOT_LOSSES))
    if not quantities:
        raise InputError("histories: no column besides step, images and seconds")
    colours = colours_of(list(histories))
    figure, axes = panels(len(quantities), job.columns or COLUMNS, job.title, width=3.0, height=2.0)
    for axis, quantity in zip(axes, quantities, strict=True):
        of_runs = {label: history for label, history in histories.items() if quantity in history}
        for label, history in of_runs.items():
            rows = history[["images", quantity]].dropna()
            axis.plot(rows["images"], rows[quantity], color=colours[label], label=label)
        values = pd.concat([history[quantity].dropna() for history in of_runs.values()])
        if len(values) and values.min() > 0 and values.max() >= DECADE * values.min():
            axis.set_yscale("log")
        axis.set_title(quantity.replace("_", " "))
        axis.set_xlabel("training images")
    if len(histories) > 1:
        lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
        ordered = [label for label in histories if label in lines]
        figure.legend([lines[label] for label in ordered], ordered, loc="outside lower center", ncols=4)
    return figure
