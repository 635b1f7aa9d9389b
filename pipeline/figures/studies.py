"""Studies: the loss of every trial against its learning rate."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures.inputs import Inputs, labelled_paths, read_csv
from pipeline.figures.style import labelled, panels, plain_ticks
from pipeline.settings.study import Grid
from pipeline.stages.figures import FigureJob

RATE, *OTHERS = Grid.model_fields
AS_CONFIGURED = "as in the config"


def studies(job: FigureJob, inputs: Inputs) -> Figure:
    """A panel for each autoencoder of a study; a line joins the trials that differ in the learning rate alone."""
    found = {
        label: read_csv(path, f"study {path}", "autoencoder", "trial", "loss")
        for label, (path,) in labelled_paths(inputs, "study").items()
    }
    across = RATE if all(RATE in frame for frame in found.values()) else "trial"
    found = {label: frame.assign(beside=_beside_the_rate(frame, across)) for label, frame in found.items()}
    parts = [
        (label, name, rows) for label, frame in found.items() for name, rows in frame.groupby("autoencoder", sort=False)
    ]
    figure, axes = panels(len(parts), 4, job.title, width=2.4, height=2.2)
    losses = [loss for frame in found.values() for loss in frame["loss"]]
    in_order = [rows.sort_values("trial") for _, _, rows in parts]  # the grid's
    # One colour says one thing in all panels.
    colours = labelled(list(dict.fromkeys(beside for rows in in_order for beside in rows["beside"])))
    lines = {}
    for axis, (label, name, rows) in zip(axes, parts, strict=True):
        for beside, line in rows.groupby("beside", sort=False):
            line = line.sort_values(across)
            shown = axis.plot(line[across], line["loss"], color=colours[beside], label=beside, marker="o", markersize=3)
            lines[beside] = shown[0]
        axis.set_title(name if len(found) == 1 else f"{label}: {name}")
        axis.set_xlabel(across.replace("_", " "))
        axis.set_yscale("log")
        plain_ticks(axis.yaxis)
        axis.set_ylim(0.95 * min(losses), 1.05 * max(losses))
        if across == RATE:
            axis.set_xscale("log")
    axes[0].set_ylabel("loss on tuning images")
    if set(lines) != {AS_CONFIGURED}:
        heading = ", ".join(key.replace("_", " ") for key in OTHERS if any(key in frame for frame in found.values()))
        figure.legend(handles=[lines[one] for one in colours], title=heading, loc="outside lower center", ncols=2)
    return figure


def _beside_the_rate(frame: pd.DataFrame, across: str) -> pd.Series:
    """What each trial has beside its learning rate, in words, where that is what goes across."""
    others = [key for key in OTHERS if key in frame and across == RATE]
    if not others:
        return pd.Series(AS_CONFIGURED, index=frame.index)
    return frame[others].astype(str).agg(", ".join, axis=1)
