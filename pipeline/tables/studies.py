"""The record of a study: every trial's loss on the tuning images, the best of each autoencoder first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base.errors import InputError
from pipeline.settings.study import Grid
from pipeline.stages.studies import StudyJob, Trial
from pipeline.tables.display import Shown, rounded, under_headings

METRICS = {"psnr": ("PSNR ↑", 2), "ssim": ("SSIM ↑", 3), "lpips_alex": ("LPIPS ↓", 4), "lpips_vgg": ("LPIPS-VGG ↓", 4)}
PEAK = 2.0  # images are in [-1, 1]


@dataclass(frozen=True)
class StudyTable:
    """A study: a line for each trial, those of one autoencoder together and its best first."""

    job: StudyJob
    frame: pd.DataFrame


def build_study(job: StudyJob, named: Sequence[tuple[str, Path]]) -> StudyTable:
    """From the per-image metrics of each trial and seed, `ENTRY.NUMBER#SEED`."""
    losses: dict[str, list[dict[str, float]]] = {}
    for name, path in named:
        losses.setdefault(name.partition("#")[0], []).append(_measured(job, path))
    lines = []
    for trial in job.trials:
        if (found := losses.get(f"{trial.entry}.{trial.number}")) is None:
            raise InputError(f"study {job.name}: no metrics of {trial.entry}.{trial.number} were given")
        lines.append(_line(trial, pd.DataFrame(found)))
    frame = pd.DataFrame(lines)
    order = list(dict.fromkeys(frame["autoencoder"]))
    place = frame["autoencoder"].map(order.index)
    frame = frame.assign(place=place).sort_values(["place", "loss"], kind="stable").drop(columns="place")
    best = ~frame["autoencoder"].duplicated()
    frame.insert(1, "best", best)
    return StudyTable(job, frame.reset_index(drop=True))


def _measured(job: StudyJob, path: Path) -> dict[str, float]:
    """Means over the tuning images, and their loss: l2_weight times the mean square error, and LPIPS by its weight."""
    try:
        images = pd.read_csv(path, usecols=list(METRICS))
    except (ValueError, OSError) as error:
        raise InputError(f"metrics {path}: a csv with the columns {', '.join(METRICS)} is needed ({error})") from None
    squared = float((PEAK**2 * 10.0 ** (-images["psnr"] / 10)).mean())
    perceptual = float(images[job.perceptual].mean()) if job.perceptual != "none" else 0.0
    loss = job.l2_weight * squared + job.perceptual_weight * perceptual
    return {"loss": loss} | {name: float(images[name][np.isfinite(images[name])].mean()) for name in METRICS}


def _line(trial: Trial, seeds: pd.DataFrame) -> dict[str, Any]:
    spread = float(seeds["loss"].std(ddof=1)) if len(seeds) > 1 else None
    changes = {key: str(value) if isinstance(value, list) else value for key, value in trial.changes.items()}
    means = {str(name): float(value) for name, value in seeds.mean().items()}
    return {
        "autoencoder": trial.entry,
        "trial": trial.number,
        **changes,
        **means,
        "loss_std": spread,
        "seeds": len(seeds),
    }


def shown_study(table: StudyTable) -> Shown:
    """The table as people read it; the best trial of each autoencoder is marked."""
    job, frame = table.job, table.frame
    columns: dict[tuple[str, str], list[str]] = {
        ("Autoencoder", ""): list(frame["autoencoder"]),
        ("Best", ""): ["best" if best else "" for best in frame["best"]],
    }
    searched = [key for key in Grid.model_fields if key in frame]
    for key in searched:
        columns[key.replace("_", " "), ""] = [
            f"{value:g}" if isinstance(value, float) else str(value) for value in frame[key]
        ]
    spreads = frame["loss_std"].tolist()
    columns["Loss ↓", ""] = [
        rounded(loss, 4) + (f" ± {rounded(spread, 4)}" if spread == spread and spread is not None else "")
        for loss, spread in zip(frame["loss"], spreads, strict=True)
    ]
    for name, (heading, decimals) in METRICS.items():
        columns[heading, ""] = [rounded(value, decimals) for value in frame[name]]
    words = 2 + len(searched)
    alignment = "l" * words + "r" * (len(columns) - words)
    return Shown(
        f"Study {job.name}: the same search for each autoencoder",
        under_headings(columns),
        _notes(table),
        alignment,
        f"The best row of each autoencoder: the {', '.join(searched).replace('_', ' ')} with the lowest loss.",
        [f"autoencoders.{name}" for name in frame["autoencoder"]],
    )


def _notes(table: StudyTable) -> list[str]:
    job = table.job
    per_entry = len(job.trials) // len({trial.entry for trial in job.trials})
    seeds = int(table.frame["seeds"].iloc[0])
    perceptual = f" + {job.perceptual_weight:g} {job.perceptual}" if job.perceptual != "none" else ""
    of_seeds = "one training seed" if seeds == 1 else f"{seeds} training seeds (± standard deviation over them)"
    return [
        f"Each autoencoder: {per_entry} trials of {job.images:,} training images with {of_seeds}, measured on"
        f" {job.tuning:,} images kept from the training images. No validation image was seen.",
        f"Loss: {job.l2_weight:g} L2{perceptual}, what all of them were trained for; the lowest is the best.",
    ]
