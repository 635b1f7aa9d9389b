"""Images that lie in a folder, as one sequence: what `ImageArchive` is for zips. Decoded as raw collections are."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive, Images
from pipeline.data.decode import BadImage
from pipeline.data.listing import printable
from pipeline.data.sources import FolderImages

GRAY_MODES = ("1", "L", "LA", "I", "I;16")


class ImageFolder(Images):
    """The images of a folder and its sub-folders in the order of their names."""

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

    def read(self, index: int) -> np.ndarray:
        image = self._image(index)
        self.check_size(image, self._where(index))
        return np.atleast_3d(np.asarray(image))

    def _image(self, index: int) -> Image.Image:
        try:
            return self._files.image(self.names[index], self.channels)
        except BadImage as error:
            raise InputError(f"{self._where(index)}: {printable(str(error))}") from None

    def _where(self, index: int) -> str:
        return f"{self.path}: {printable(self.names[index])}"


def open_images(path: Path) -> Images:
    """The images in a folder or in a zip."""
    return ImageFolder(path) if path.is_dir() else ImageArchive(path)
