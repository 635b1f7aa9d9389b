"""Folders of small pictures, and their preparation."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.data.prepare import prepare
from bright_pipeline.settings.dataset import Dataset
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """A smooth random picture, which JPEG hardly changes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "png", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def folder_of(path: Path, count: int, size: tuple[int, int] = (24, 20)) -> Path:
    path.mkdir(parents=True)
    for index in range(count):
        picture(index, size).save(path / f"{index:03d}.png")
    return path


def dataset(source: Path | dict[str, Any], **keys: Any) -> Dataset:
    described = {"kind": "folder", "path": source} if isinstance(source, Path) else source
    defaults: dict[str, Any] = {"resolution": 16, "split": {"rule": "last", "validation": 2}}
    return Dataset.model_validate({"source": described} | defaults | keys)


def prepared(folder: Path, settings: Dataset, workers: int = 1) -> tuple[ImageArchive, ImageArchive, dict[str, Any]]:
    train, validation = folder / "train.zip", folder / "validation.zip"
    manifest = prepare(settings, train, validation, workers, "datasets.cats")
    return ImageArchive(train), ImageArchive(validation), manifest


def names_of(manifest: dict[str, Any], split: str) -> list[str]:
    return list(manifest["names"][split])
