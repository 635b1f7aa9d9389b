"""The table of a study: the loss of every trial on the tuning images, the best of each autoencoder first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.settings.study import Grid
from bright_pipeline.stages.tables import StudyJob
from bright_pipeline.tables.display import rounded
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable, display_table
from bright_pipeline.tables.render import FramedTable

METRICS = {"psnr": ("PSNR ↑", 2), "ssim": ("SSIM ↑", 3), "lpips_alex": ("LPIPS ↓", 4), "lpips_vgg": ("LPIPS-VGG ↓", 4)}
BEST, LOSS = "Best", "Loss ↓"  # headings
PEAK = 2.0  # images are in [-1, 1]


def build_study(job: StudyJob, named: Sequence[tuple[str, Path]]) -> FramedTable:
    """From the per-image metrics of each trial and seed, `ENTRY.NUMBER#SEED`."""
    measured: dict[str, list[dict[str, float]]] = {}
    for name, path in named:
        measured.setdefault(name.partition("#")[0], []).append(_measured(job, path))
    lines: dict[str, list[dict[str, Any]]] = {}
    for trial in job.trials:
        if (metrics := measured.get(f"{trial.entry}.{trial.number}")) is None:
            raise InputError(f"study {job.name}: no metrics of {trial.entry}.{trial.number} were given")
        seeds = pd.DataFrame(metrics)
        line = {
            "autoencoder": trial.entry,
            "best": False,
            "trial": trial.number,
            **{key: str(value) if isinstance(value, list) else value for key, value in trial.changes.items()},
            **{str(name): float(value) for name, value in seeds.mean().items()},
            "loss_std": float(seeds["loss"].std(ddof=1)) if len(seeds) > 1 else None,
            "seeds": len(seeds),
        }
        lines.setdefault(trial.entry, []).append(line)
    ranked = [sorted(of_entry, key=lambda line: line["loss"]) for of_entry in lines.values()]
    for of_entry in ranked:
        of_entry[0]["best"] = True
    frame = pd.DataFrame([line for of_entry in ranked for line in of_entry])
    return FramedTable(job, frame, display_study(job, frame))


def _measured(job: StudyJob, path: Path) -> dict[str, float]:
    """Means over the tuning images: the metrics, and the loss l2_weight MSE + perceptual_weight LPIPS."""
    needed = ["psnr", "ssim", *([job.perceptual] if job.perceptual != "none" else [])]
    with readable(f"metrics {path}: a csv with the columns {', '.join(needed)} is needed"):
        images = pd.read_csv(path, usecols=lambda name: name in METRICS)
        if absent := [name for name in needed if name not in images]:
            raise ValueError(f"without {', '.join(absent)}")
    squared = float((PEAK**2 * 10.0 ** (-images["psnr"] / 10)).mean())
    perceptual = float(images[job.perceptual].mean()) if job.perceptual != "none" else 0.0
    loss = job.l2_weight * squared + job.perceptual_weight * perceptual
    return {"loss": loss} | {name: float(images[name][np.isfinite(images[name])].mean()) for name in images}


def display_study(job: StudyJob, frame: pd.DataFrame) -> DisplayTable:
    """The table as people read it; the best trial of each autoencoder is marked."""
    searched = [key for key in Grid.model_fields if key in frame]
    columns: dict[tuple[str, str], list[str | DisplayCell]] = {
        ("Autoencoder", ""): list(frame["autoencoder"]),
        (BEST, ""): ["best" if best else "" for best in frame["best"]],
    }
    for key in searched:
        columns[key.replace("_", " "), ""] = [f"{v:g}" if isinstance(v, float) else str(v) for v in frame[key]]
    columns[LOSS, ""] = [
        DisplayCell(rounded(loss, 4), loss, "" if std is None or std != std else f"± {rounded(std, 4)}")
        for loss, std in zip(frame["loss"], frame["loss_std"].tolist(), strict=True)
    ]
    missing = [name for name in METRICS if name not in frame]
    for name, (heading, decimals) in METRICS.items():
        if name not in missing:
            columns[heading, ""] = [DisplayCell(rounded(value, decimals), value) for value in frame[name]]
    words = 2 + len(searched)
    per_entry = len(job.trials) // len({trial.entry for trial in job.trials})
    seeds = int(frame["seeds"].iloc[0])
    perceptual = f" + {job.perceptual_weight:g} {job.perceptual}" if job.perceptual != "none" else ""
    of_seeds = "one training seed" if seeds == 1 else f"{seeds} training seeds (± standard deviation over them)"
    return display_table(
        f"Study {job.name}: the same search for each autoencoder",
        columns,
        [
            f"Each autoencoder: {per_entry} trials of {job.images:,} training images with {of_seeds}, measured on"
            f" {job.tuning:,} images that are held out from the training images. No validation image is used.",
            f"Loss: {job.l2_weight:g} L2{perceptual}, the loss of all trainings; lower is better.",
            *(f"missing: {METRICS[name][0].rstrip(' ↑↓')}: network {name} is missing." for name in missing),
        ],
        [f"autoencoders.{name}" for name in frame["autoencoder"]],
        seeded=seeds > 1,
        hint=f"The best trial of each autoencoder has the lowest loss over {', '.join(searched).replace('_', ' ')}.",
        alignment="l" * words + "r" * (len(columns) - words),
    )
