"""Studies: the loss of every trial against its learning rate."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.inputs import Inputs, labelled_paths, read_csv
from pipeline.figures.style import colours_of, panels, plain_ticks
from pipeline.settings.study import Grid
from pipeline.stages.figures import FigureJob

RATES = [key for key in Grid.model_fields if key.endswith("learning_rate")]
AS_CONFIGURED = "as in the config"
"""The setting of trials that differ in their learning rate only; such a line needs no legend."""


def studies(job: FigureJob, inputs: Inputs) -> Figure:
    """One panel for each autoencoder of a study; a line joins trials that differ in one learning rate only.

    The x axis has the first learning rate of the grid, or the number of the trial in a study without learning rates.
    """
    frames = {
        label: read_csv(path, f"study {path}", "autoencoder", "trial", "loss")
        for label, (path,) in labelled_paths(inputs, "study").items()
    }
    across = {label: next((key for key in RATES if key in frame), "trial") for label, frame in frames.items()}
    others = {label: _other_settings(frame, across[label]) for label, frame in frames.items()}
    # A setting has the same colour in all panels.
    lines_of = {label: frame.assign(line=_line_labels(frame, others[label])) for label, frame in frames.items()}
    trials = [
        (label, name, rows)
        for label, frame in lines_of.items()
        for name, rows in frame.groupby("autoencoder", sort=False)
    ]
    labels = dict.fromkeys(line for _, _, rows in trials for line in rows.sort_values("trial")["line"])
    in_legend = colours_of([line for line in labels if line != AS_CONFIGURED])
    colours = in_legend | {AS_CONFIGURED: "0.3"}
    figure, axes = panels(len(trials), 4, job.title, width=2.4, height=2.2)
    drawn = {}
    for axis, (label, name, rows) in zip(axes, trials, strict=True):
        x = across[label]
        for line, points in rows.groupby("line", sort=False):
            points = points.sort_values(x)
            style = {"color": colours[line], "label": line, "marker": "o", "markersize": 3}
            drawn[line] = axis.plot(points[x], points["loss"], **style)[0]
        axis.set_title(name if len(frames) == 1 else f"{label}: {name}")
        axis.set_xlabel(x.replace("_", " "))
        axis.set_yscale("log")
        plain_ticks(axis.yaxis)
        losses = frames[label]["loss"]  # the panels of a study share a scale, so that they can be compared
        axis.set_ylim(0.95 * losses.min(), 1.05 * losses.max())
        if x in RATES:
            axis.set_xscale("log")
    axes[0].set_ylabel("loss on tuning images")
    if in_legend:
        varied = {key for keys in others.values() for key in keys}
        heading = ", ".join(key.replace("_", " ") for key in Grid.model_fields if key in varied)
        figure.legend(handles=[drawn[line] for line in in_legend], title=heading, loc="outside lower center", ncols=2)
    return figure


def _other_settings(frame: pd.DataFrame, across: str) -> list[str]:
    """The settings of a study besides the learning rate on the x axis."""
    return [key for key in Grid.model_fields if key in frame and key != across] if across in RATES else []


def _line_labels(frame: pd.DataFrame, others: list[str]) -> pd.Series:
    """The other settings of each trial, as text."""
    if not others:
        return pd.Series(AS_CONFIGURED, index=frame.index)
    return frame[others].astype(str).agg(", ".join, axis=1)
