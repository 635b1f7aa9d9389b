"""Archives of images: uncompressed zips of PNGs, as StyleGAN's, EDM2's and clean-fid's tools read them.

Pixels are uint8, (H, W, C) as arrays and (N, C, H, W) as tensors; models see them in [-1, 1] (appendix A).
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

from pipeline.base.atomic import atomic_path
from pipeline.base.errors import InputError, error_text
from pipeline.data.decode import FORMATS

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
COMPRESSION = 6  # of the PNGs (zlib's default); fixed, so that equal images give equal bytes
EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip's earliest time, for every member: the bytes tell no clock


def image_name(index: int) -> str:
    """The name of image `index` inside an archive, as EDM2's tools write it."""
    return f"{index // 1000:05d}/img{index:08d}.png"


def encode_png(pixels: np.ndarray) -> bytes:
    """The PNG of uint8 pixels (H, W), (H, W, 1) or (H, W, 3)."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels are uint8, not {pixels.dtype}")
    gray = pixels.ndim == 3 and pixels.shape[2] == 1
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if gray else pixels))
    image.save(buffer, "png", compress_level=COMPRESSION)
    return buffer.getvalue()


class ArchiveWriter(ExitStack):
    """Writes an archive atomically: it appears whole when the `with` block ends, or not at all."""

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
            raise ValueError(f"{self.path}: {name} has {channels} channels, the archive {self.channels}")
        self.add_encoded(name, encode_png(pixels))

    def add_batch(self, images: "Tensor", first: int = 0) -> None:
        """Add uint8 images (N, C, H, W) under the names of the indices from `first` on."""
        for index, image in enumerate(images.permute(0, 2, 3, 1).numpy(), first):
            self.add(image_name(index), image)

    def add_encoded(self, name: str, png: bytes) -> None:
        """Add one image that `encode_png` made elsewhere, such as in a worker process."""
        if name in self._names:
            raise ValueError(f"{self.path}: {name} is in the archive already")
        self._names.add(name)
        member = zipfile.ZipInfo(name, EARLIEST)
        member.create_system = 3  # Unix on every system
        member.external_attr = 0o644 << 16
        self._zip.writestr(member, png)


class Images(ABC):
    """A sequence of square images: all have one size, and the channels of the first, 1 (gray) or 3 (RGB)."""

    names: list[str]
    """In order."""
    resolution: int
    channels: int

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Image `index` as uint8 (H, W, C)."""

    def __len__(self) -> int:
        return len(self.names)

    def tensor(self, indices: Sequence[int] | None = None) -> "Tensor":
        """These images, or all, as a uint8 tensor (N, C, H, W)."""
        import torch

        chosen = range(len(self)) if indices is None else indices
        images = np.empty((len(chosen), self.channels, self.resolution, self.resolution), np.uint8)
        for row, index in enumerate(chosen):
            images[row] = self.read(index).transpose(2, 0, 1)
        return torch.from_numpy(images)

    def check_size(self, image: Image.Image, where: str) -> None:
        """InputError where an image has another size than the first."""
        if image.size != (self.resolution, self.resolution):
            first = f"the first image {self.resolution}x{self.resolution}"
            raise InputError(f"{where}: {image.width}x{image.height}, {first}; all must have one size")


class ImageArchive(Images):
    """The images of one or several zips as one sequence: zips as given, names sorted inside each.

    Of zips that this package wrote; `RawSequence` reads those of others. It may be read from threads, and after a
    fork or pickling: every process opens its own files.
    """

    def __init__(self, paths: Path | str | Sequence[Path | str]):
        listed: Iterable[Path | str] = [paths] if isinstance(paths, str | Path) else paths
        self.paths = [Path(path) for path in listed]
        self._process, self._zips = os.getpid(), [_open(path) for path in self.paths]
        self._members = [
            (number, name)
            for number, archive in enumerate(self._zips)
            for name in sorted(set(archive.namelist()))
            if name.lower().endswith(SUFFIXES)
        ]
        self.names = [name for _, name in self._members]
        if not self.names:
            raise InputError(f"{', '.join(map(str, self.paths)) or 'no archive'}: holds no images (PNG or JPEG)")
        first = self._image(0)
        if first.width != first.height:
            raise InputError(f"{self._where(0)}: {first.width}x{first.height}; prepared images are square")
        self.resolution = first.width
        self.channels = 1 if first.mode in ("1", "L") else 3

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_process": None, "_zips": []}

    def read(self, index: int) -> np.ndarray:
        image = self._image(index)
        self.check_size(image, self._where(index))
        if self.channels == 3:
            return np.array(image.convert("RGB"))
        if image.mode not in ("1", "L"):
            raise InputError(f"{self._where(index)}: in colour ({image.mode}), the first image gray; use one of them")
        return np.array(image.convert("L"))[:, :, None]

    def _image(self, index: int) -> Image.Image:
        number, name = self._members[index]
        if self._process != os.getpid():  # a file position shared with another process would garble both
            self._process, self._zips = os.getpid(), [_open(path) for path in self.paths]
        try:
            image = Image.open(io.BytesIO(self._zips[number].read(name)), formats=FORMATS)
            image.load()
        except MemoryError:
            raise
        except Exception as error:  # readers raise whatever damaged bytes lead them to
            raise InputError(
                f"{self._where(index)}: not a readable image ({error_text(error)}); make the archive again"
            ) from None
        return image

    def _where(self, index: int) -> str:
        number, name = self._members[index]
        return f"{self.paths[number]}: {name}"


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist; an archive of images (zip) is expected here") from None
    except Exception as error:  # zipfile raises whatever damaged bytes lead it to
        line = f"{path}: not a readable zip ({error_text(error)}); an archive of images is expected here"
        raise InputError(line) from None


def joined_digest(digests: Iterable[bytes]) -> str:
    """sha256 of a sequence of images, from their `pixel_digest`s: of each one's index, size, channels and pixels.

    It does not depend on names or on how the images are encoded.
    """
    joined = hashlib.sha256()
    for index, digest in enumerate(digests):
        joined.update(index.to_bytes(8, "little") + digest)
    return joined.hexdigest()


def pixel_digest(pixels: np.ndarray) -> bytes:
    """sha256 of one image's shape and pixels, uint8 (H, W, C)."""
    shape = np.array(pixels.shape, "<u8").tobytes()
    return hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).digest()


def content_digest(archive: ImageArchive) -> str:
    """The digest of a whole archive's images: what the manifest of a prepared dataset has as sha256."""
    return joined_digest(pixel_digest(archive.read(index)) for index in range(len(archive)))


def to_unit(images: "Tensor") -> "Tensor":
    """uint8 to float32 in [0, 1]."""
    return images.float() / 255


def to_model(images: "Tensor") -> "Tensor":
    """uint8 to float32 in [-1, 1], the range that models work in."""
    return images.float() / 127.5 - 1


def to_uint8(images: "Tensor") -> "Tensor":
    """[-1, 1] to uint8, rounded to the nearest and clamped: the inverse of `to_model`; InputError where one is NaN."""
    if not images.isfinite().all():
        raise InputError("images with NaN or infinite values: the model that made them is damaged, or has diverged")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def to_rgb(images: "Tensor") -> "Tensor":
    """(N, 1 or 3, H, W) to (N, 3, H, W): gray is repeated."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
