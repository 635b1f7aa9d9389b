"""Archives of images: uncompressed zips of PNGs, the format of StyleGAN's, EDM2's and clean-fid's tools.

Pixels are uint8, (H, W, C) as arrays and (N, C, H, W) as tensors; models work in [-1, 1] (appendix A).
Importing this module does not import torch.
"""

import hashlib
import io
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.engine.atomic import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

# Formats that are decoded, whatever the file name: Pillow would start Ghostscript for an EPS file named .png.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
COMPRESSION = 6  # of the PNGs, zlib's default; fixed, so that equal images have equal bytes
EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip's earliest time for all members: the bytes do not depend on time


def image_name(index: int) -> str:
    """The name of image `index` in an archive, as in EDM2's tools."""
    return f"{index // 1000:05d}/img{index:08d}.png"


def encode_png(pixels: np.ndarray) -> bytes:
    """The PNG of uint8 pixels (H, W), (H, W, 1) or (H, W, 3)."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, not {pixels.dtype}")
    gray = pixels.ndim == 3 and pixels.shape[2] == 1
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if gray else pixels))
    image.save(buffer, "png", compress_level=COMPRESSION)
    return buffer.getvalue()


class ArchiveWriter(ExitStack):
    """Writes an archive atomically: the complete file appears when the `with` block ends without an exception."""

    def __init__(self, path: Path | str, channels: int):
        super().__init__()
        self.path, self.channels = Path(path), channels
        self._names: set[str] = set()

    def __enter__(self) -> "ArchiveWriter":
        temporary = self.enter_context(atomic_path(self.path))
        self._zip = self.enter_context(zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED))
        return self

    def add(self, name: str, pixels: np.ndarray) -> None:
        """Add one image: uint8 (H, W) or (H, W, C) with the archive's channels."""
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if channels != self.channels:
            raise ValueError(f"{self.path}: {name} has {channels} channels, but the archive has {self.channels}")
        self.add_encoded(name, encode_png(pixels))

    def add_batch(self, images: "Tensor", first: int = 0) -> None:
        """Add uint8 images (N, C, H, W) under the names of the indices from `first` on."""
        for index, image in enumerate(images.permute(0, 2, 3, 1).numpy(), first):
            self.add(image_name(index), image)

    def add_encoded(self, name: str, png: bytes) -> None:
        """Add one image that was encoded by `encode_png`, for example in a worker process."""
        if name in self._names:
            raise ValueError(f"{self.path}: {name} is already in the archive")
        self._names.add(name)
        member = zipfile.ZipInfo(name, EARLIEST)
        member.create_system = 3  # Unix on every system
        member.external_attr = 0o644 << 16
        self._zip.writestr(member, png)


class PerProcess:
    """Reads files that every process opens for itself, at its first access: threads, forks and pickling work."""

    _handle: Any = None
    _process: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_process": None}

    def _open(self) -> Any:
        raise NotImplementedError

    @property
    def handle(self) -> Any:
        """The files as opened by this process: processes must not share a file position."""
        if self._process != os.getpid():
            self._handle, self._process = self._open(), os.getpid()
        return self._handle


class Images(ABC):
    """A sequence of square images that all have the size and the channels, 1 (gray) or 3 (RGB), of the first."""

    names: list[str]  # of the images, in order
    resolution: int
    channels: int

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Image `index` as uint8 (H, W, C)."""

    def __len__(self) -> int:
        return len(self.names)

    def tensor(self, indices: Sequence[int] | None = None) -> "Tensor":
        """These images, by default all, as a uint8 tensor (N, C, H, W)."""
        import torch

        chosen = range(len(self)) if indices is None else indices
        images = np.empty((len(chosen), self.channels, self.resolution, self.resolution), np.uint8)
        for row, index in enumerate(chosen):
            images[row] = self.read(index).transpose(2, 0, 1)
        return torch.from_numpy(images)

    def check(self, image: Image.Image, is_gray: bool, where: str) -> None:
        """InputError if an image has another size than the first, or colours where that has none."""
        if image.size != (self.resolution, self.resolution):
            first = f"but the first image is {self.resolution}x{self.resolution}"
            raise InputError(f"{where}: {image.width}x{image.height}, {first}; all images must have the same size")
        if self.channels == 1 and not is_gray:
            raise InputError(f"{where}: in colour, but the first image is gray; all images must have the same channels")


class ImageArchive(PerProcess, Images):
    """The images of zips written by this package (`RawSequence`: of others), ordered by zip and then by name."""

    def __init__(self, paths: Path | str | Sequence[Path | str]):
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        self._members = [
            (number, name)
            for number, archive in enumerate(self.handle)
            for name in sorted(set(archive.namelist()))
            if name.lower().endswith(SUFFIXES)
        ]
        self.names = [name for _, name in self._members]
        if not self.names:
            raise InputError(f"{', '.join(map(str, self.paths)) or 'no archive'}: contains no images (PNG or JPEG)")
        first = self._image(0)
        if first.width != first.height:
            raise InputError(f"{self._where(0)}: {first.width}x{first.height}; prepared images must be square")
        self.resolution = first.width
        self.channels = 1 if first.mode in ("1", "L") else 3

    def _open(self) -> list[zipfile.ZipFile]:
        archives = []
        for path in self.paths:
            with readable(f"{path}: not a readable zip", "; an archive of images is expected here"):
                if not path.exists():
                    raise InputError(f"{path}: does not exist; an archive of images (zip) is expected here")
                archives.append(zipfile.ZipFile(path))
        return archives

    def read(self, index: int) -> np.ndarray:
        image = self._image(index)
        self.check(image, image.mode in ("1", "L"), self._where(index))
        return np.array(image.convert("RGB")) if self.channels == 3 else np.array(image.convert("L"))[:, :, None]

    def _image(self, index: int) -> Image.Image:
        number, name = self._members[index]
        with readable(f"{self._where(index)}: not a readable image", "; create the archive again"):
            image = Image.open(io.BytesIO(self.handle[number].read(name)), formats=FORMATS)
            image.load()
        return image

    def _where(self, index: int) -> str:
        number, name = self._members[index]
        return f"{self.paths[number]}: {name}"


def joined_digest(digests: Iterable[bytes]) -> str:
    """sha256 of images from their `pixel_digest`s: of index, size, channels and pixels, not of names or encodings."""
    joined = hashlib.sha256()
    for index, digest in enumerate(digests):
        joined.update(index.to_bytes(8, "little") + digest)
    return joined.hexdigest()


def pixel_digest(pixels: np.ndarray) -> bytes:
    """sha256 of the shape and the pixels, uint8 (H, W, C), of one image."""
    shape = np.array(pixels.shape, "<u8").tobytes()
    return hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).digest()


def content_digest(archive: ImageArchive) -> str:
    """The digest of all images of an archive, as in the manifest of a prepared dataset."""
    return joined_digest(pixel_digest(archive.read(index)) for index in range(len(archive)))


def to_unit(images: "Tensor") -> "Tensor":
    """uint8 to float32 in [0, 1]."""
    return images.float() / 255


def to_model(images: "Tensor") -> "Tensor":
    """uint8 to float32 in [-1, 1], the range that models work in."""
    return images.float() / 127.5 - 1


def to_uint8(images: "Tensor") -> "Tensor":
    """[-1, 1] to uint8, rounded and clamped: the inverse of `to_model`. InputError for NaN or infinite values."""
    if not images.isfinite().all():
        raise InputError("images with NaN or infinite values: their model is damaged, or its training diverged")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def to_rgb(images: "Tensor") -> "Tensor":
    """(N, 1 or 3, H, W) to (N, 3, H, W); gray is repeated."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
