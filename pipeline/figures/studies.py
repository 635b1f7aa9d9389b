"""Studies: the loss of every trial against its learning rate."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pipeline.figures.inputs import Inputs, labelled_paths, read_csv
from pipeline.figures.style import labelled, panels
from pipeline.settings.study import Grid
from pipeline.stages.figures import FigureJob

RATE, *OTHERS = Grid.model_fields


def studies(job: FigureJob, inputs: Inputs) -> Figure:
    """A panel for each autoencoder of a study; a line joins the trials that differ in the learning rate alone."""
    found = {
        label: read_csv(path, f"study {path}", "autoencoder", "trial", "loss")
        for label, (path,) in labelled_paths(inputs, "study").items()
    }
    parts = [
        (label, name, rows) for label, frame in found.items() for name, rows in frame.groupby("autoencoder", sort=False)
    ]
    figure, axes = panels(len(parts), 4, job.title, width=2.4, height=2.2)
    across = RATE if all(RATE in frame for frame in found.values()) else "trial"
    others = [key for key in OTHERS if across == RATE and all(key in frame for frame in found.values())]
    losses = [loss for frame in found.values() for loss in frame["loss"]]
    in_order = [
        rows.sort_values("trial") for _, _, rows in parts
    ]  # the grid's; one colour says one thing in all panels
    colours = labelled(list(dict.fromkeys(words for rows in in_order for words in _apart(rows, others))))
    for axis, (label, name, rows) in zip(axes, parts, strict=True):
        for words, line in rows.groupby(_apart(rows, others), sort=False):
            line = line.sort_values(across)
            axis.plot(line[across], line["loss"], color=colours[words], label=words, marker="o", markersize=3)
        axis.set_title(name if len(found) == 1 else f"{label}: {name}")
        axis.set_xlabel(across.replace("_", " "))
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7)))
        axis.set_ylim(0.95 * min(losses), 1.05 * max(losses))
        if across == RATE:
            axis.set_xscale("log")
    axes[0].set_ylabel("loss on tuning images")
    lines = sorted(axes[0].get_lines(), key=lambda line: list(colours).index(str(line.get_label())))
    if others:
        shown, heading = [str(line.get_label()) for line in lines], ", ".join(key.replace("_", " ") for key in others)
        figure.legend(lines, shown, title=heading, loc="outside lower center", ncols=2)
    return figure


def _apart(rows: pd.DataFrame, others: list[str]) -> pd.Series:
    """What each trial has beside its learning rate, in words."""
    return rows[others].astype(str).agg(", ".join, axis=1) if others else rows["autoencoder"]
