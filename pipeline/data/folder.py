"""Images that lie in a folder, as one sequence: what `ImageArchive` is for zips. Decoded as raw collections are."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive
from pipeline.data.decode import BadImage
from pipeline.data.listing import printable
from pipeline.data.sources import FolderImages

if TYPE_CHECKING:
    from torch import Tensor

GRAY_MODES = ("1", "L", "LA", "I", "I;16")


class ImageFolder:
    """The images of a folder and its sub-folders in the order of their names.

    All have one size, and the channels of the first: 1 (gray) or 3 (RGB).
    """

    def __init__(self, path: Path):
        self.path, self._files = path, FolderImages(path, "images")
        self.names = self._files.names()
        if not self.names:
            raise InputError(f"{path}: holds no images")
        self.channels = 3
        first = self._image(0)
        if first.width != first.height:
            raise InputError(f"{self._where(0)}: {first.width}x{first.height}; images are square")
        self.resolution = first.width
        with Image.open(path / self.names[0]) as image:  # its header; the line above could read it
            self.channels = 1 if image.mode in GRAY_MODES else 3

    def __len__(self) -> int:
        return len(self.names)

    def tensor(self, indices: Sequence[int] | None = None) -> "Tensor":
        """These images, or all, as a uint8 tensor (N, C, H, W)."""
        import torch

        chosen = range(len(self)) if indices is None else indices
        images = np.empty((len(chosen), self.channels, self.resolution, self.resolution), np.uint8)
        for row, index in enumerate(chosen):
            image = self._image(index)
            if image.size != (self.resolution, self.resolution):
                raise InputError(
                    f"{self._where(index)}: {image.width}x{image.height}, the first image"
                    f" {self.resolution}x{self.resolution}; all must have one size"
                )
            images[row] = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
        return torch.from_numpy(images)

    def _image(self, index: int) -> Image.Image:
        try:
            return self._files.image(self.names[index], self.channels)
        except BadImage as error:
            raise InputError(f"{self._where(index)}: {printable(str(error))}") from None

    def _where(self, index: int) -> str:
        return f"{self.path}: {printable(self.names[index])}"


def open_images(path: Path) -> ImageArchive | ImageFolder:
    """The images in a folder or in a zip."""
    return ImageFolder(path) if path.is_dir() else ImageArchive(path)
