"""Losses: of trainings, one panel per logged quantity; of the trials of studies, against their learning rates."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bright_pipeline.base.errors import InputError
from bright_pipeline.figures.common import Inputs, colours_of, labelled_paths, logarithmic, panels, read_csv
from bright_pipeline.settings.study import Grid
from bright_pipeline.stages.figures import FigureJob

COLUMNS = 3
DECADE = 10
NOT_LOSSES = ("step", "images", "seconds")
RATES = [key for key in Grid.model_fields if key.endswith("learning_rate")]
AS_CONFIGURED = "as in the config"
"""The setting of trials that differ in their learning rate only; such a line needs no legend."""


def read_history(path: Path) -> pd.DataFrame:
    """Read a training history: step, images, seconds, then the losses."""
    frame = read_csv(path, f"history {path}", "images")
    if frame.empty:
        raise InputError(f"history {path}: no rows")
    return frame


def curves(job: FigureJob, inputs: Inputs) -> Figure:
    """Each quantity against training images; the axis is logarithmic where values are positive and span a decade."""
    given = labelled_paths(inputs, "history").items()
    histories = {label or "training": read_history(path) for label, paths in given for path in paths}
    quantities = list(dict.fromkeys(c for history in histories.values() for c in history if c not in NOT_LOSSES))
    if not quantities:
        raise InputError("histories: no column besides step, images and seconds")
    colours = colours_of(list(histories))
    figure, axes = panels(len(quantities), COLUMNS, width=3.0, height=2.0)
    for axis, quantity in zip(axes, quantities, strict=True):
        logged = {label: history for label, history in histories.items() if quantity in history}
        for label, history in logged.items():
            rows = history[["images", quantity]].dropna()
            axis.plot(rows["images"], rows[quantity], color=colours[label], label=label)
        values = pd.concat([history[quantity].dropna() for history in logged.values()])
        if len(values) and values.min() > 0 and values.max() >= DECADE * values.min():
            logarithmic(axis, "y", "")
        axis.set(title=quantity.replace("_", " "), xlabel="training images")
    if len(histories) > 1:
        lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
        ordered = [label for label in histories if label in lines]
        figure.legend([lines[label] for label in ordered], ordered, loc="outside lower center", ncols=4)
    return figure


def studies(job: FigureJob, inputs: Inputs) -> Figure:
    """A panel for each autoencoder of a study; a line joins trials that differ in the rate on the x axis alone."""
    given, columns = labelled_paths(inputs, "study").items(), ("autoencoder", "trial", "loss")
    frames = {label: read_csv(path, f"study {path}", *columns) for label, (path,) in given}
    # The first learning rate of the grid, or the number of the trial in a study without learning rates.
    across = {label: next((key for key in RATES if key in frame), "trial") for label, frame in frames.items()}
    trials: list[tuple[str, str, pd.DataFrame]] = []
    varied: set[str] = set()
    for label, frame in frames.items():
        # The settings of a study besides the learning rate on the x axis; each has the same colour in all panels.
        others = [key for key in Grid.model_fields if key in frame and key != across[label] and across[label] in RATES]
        varied |= set(others)
        lines = frame[others].astype(str).agg(", ".join, axis=1) if others else AS_CONFIGURED
        trials += [(label, name, rows) for name, rows in frame.assign(line=lines).groupby("autoencoder", sort=False)]
    labels = dict.fromkeys(line for _, _, rows in trials for line in rows.sort_values("trial")["line"])
    in_legend = colours_of([line for line in labels if line != AS_CONFIGURED])
    colours = in_legend | {AS_CONFIGURED: "0.3"}
    figure, axes = panels(len(trials), 4, width=2.4, height=2.2)
    drawn = {}
    for axis, (label, name, rows) in zip(axes, trials, strict=True):
        x = across[label]
        for line, points in rows.groupby("line", sort=False):
            points = points.sort_values(x)
            style = {"color": colours[line], "label": line, "marker": "o", "markersize": 3}
            drawn[line] = axis.plot(points[x], points["loss"], **style)[0]
        axis.set_title(name if len(frames) == 1 else f"{label}: {name}")
        logarithmic(axis, "y", "loss on tuning images" if axis is axes[0] else "")
        losses = frames[label]["loss"]  # the panels of a study share a scale, so that they can be compared
        axis.set_ylim(0.95 * losses.min(), 1.05 * losses.max())
        if x in RATES:
            logarithmic(axis, "x", x.replace("_", " "), ())
        else:
            axis.set_xlabel(x)
    if in_legend:
        heading = ", ".join(key.replace("_", " ") for key in Grid.model_fields if key in varied)
        figure.legend(handles=[drawn[line] for line in in_legend], title=heading, loc="outside lower center", ncols=2)
    return figure
