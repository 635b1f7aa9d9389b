"""Studies: the loss of every trial against its learning rate."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.inputs import Inputs, labelled_paths, read_csv
from pipeline.figures.style import labelled, panels, plain_ticks
from pipeline.settings.study import Grid
from pipeline.stages.figures import FigureJob

RATES = [key for key in Grid.model_fields if key.endswith("learning_rate")]
AS_CONFIGURED = "as in the config"
"""Beside the rate, of trials that differ in nothing else: such a line needs no legend."""


def studies(job: FigureJob, inputs: Inputs) -> Figure:
    """A panel for each autoencoder of a study; a line joins the trials that differ in one learning rate alone.

    That is the decoder's, or the encoder's where a study searched no other; trials stand in their order where neither.
    """
    found = {
        label: read_csv(path, f"study {path}", "autoencoder", "trial", "loss")
        for label, (path,) in labelled_paths(inputs, "study").items()
    }
    found = {label: frame.assign(beside=_beside(frame, _across(frame))) for label, frame in found.items()}
    parts = [
        (label, name, rows) for label, frame in found.items() for name, rows in frame.groupby("autoencoder", sort=False)
    ]
    figure, axes = panels(len(parts), 4, job.title, width=2.4, height=2.2)
    in_order = [rows.sort_values("trial") for _, _, rows in parts]  # the grid's
    # One colour says one thing in all panels.
    besides = dict.fromkeys(beside for rows in in_order for beside in rows["beside"])
    told_apart = labelled([beside for beside in besides if beside != AS_CONFIGURED])
    colours = told_apart | {AS_CONFIGURED: "0.3"}
    lines = {}
    for axis, (label, name, rows) in zip(axes, parts, strict=True):
        across = _across(rows)
        for beside, line in rows.groupby("beside", sort=False):
            line = line.sort_values(across)
            shown = axis.plot(line[across], line["loss"], color=colours[beside], label=beside, marker="o", markersize=3)
            lines[beside] = shown[0]
        axis.set_title(name if len(found) == 1 else f"{label}: {name}")
        axis.set_xlabel(across.replace("_", " "))
        axis.set_yscale("log")
        plain_ticks(axis.yaxis)
        losses = found[label]["loss"]  # one scale for the panels that are to be compared
        axis.set_ylim(0.95 * losses.min(), 1.05 * losses.max())
        if across in RATES:
            axis.set_xscale("log")
    axes[0].set_ylabel("loss on tuning images")
    if told_apart:
        others = {key for frame in found.values() for key in _others(frame, _across(frame))}
        heading = ", ".join(key.replace("_", " ") for key in Grid.model_fields if key in others)
        figure.legend(handles=[lines[one] for one in told_apart], title=heading, loc="outside lower center", ncols=2)
    return figure


def _across(frame: pd.DataFrame) -> str:
    """What goes across the panels of a study."""
    return next((key for key in RATES if key in frame), "trial")


def _others(frame: pd.DataFrame, across: str) -> list[str]:
    """What the trials of a study differ in beside the rate that goes across."""
    return [key for key in Grid.model_fields if key in frame and key != across] if across in RATES else []


def _beside(frame: pd.DataFrame, across: str) -> pd.Series:
    """What each trial has beside its rate, in words."""
    others = _others(frame, across)
    if not others:
        return pd.Series(AS_CONFIGURED, index=frame.index)
    return frame[others].astype(str).agg(", ".join, axis=1)
