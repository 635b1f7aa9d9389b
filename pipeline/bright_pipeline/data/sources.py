"""Raw collections: embedded, folder, zip, LSUN's LMDB, IDX, Hugging Face. Each lists names and reads single images.

A reader opens its files at the first access, separately in every process. Archives are read in place and never
extracted. `RawSequence` reads images of other programs, as `ImageArchive` reads the archives of this one.
"""

import errno
import gzip
import hashlib
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bright_pipeline.base.errors import InputError, error_text, readable
from bright_pipeline.data import listing
from bright_pipeline.data.archive import Images, PerProcess
from bright_pipeline.data.decode import LARGEST, BadImage, RawImages, is_stored_gray, to_channels
from bright_pipeline.settings import dataset as kinds

IDX_GRAY_IMAGES = b"\x00\x00\x08\x03"  # IDX's magic number: unsigned bytes, three dimensions
IDX_HEADER = 16  # bytes: the magic number, then count, height and width, big-endian
READ_AT_A_TIME = 16 * 2**20
GZIP = b"\x1f\x8b"

# Errors that concern a single file. Others, such as a failing disk, end the stage.
SINGLE_FILE_ERRORS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO)


def open_source(source: kinds.Source, where: str) -> dict[str, RawImages]:
    """The parts of a collection, "all" or "train" and "validation"; InputError, with the key `where`, if missing."""
    match source:
        case kinds.EmbeddedSource():
            path = listing.existing_file(listing.embedded_path(source), where)
            with readable(f"{where}: {path}: not readable", "; reinstall the package"):
                content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if hashlib.sha256(content).hexdigest() != listing.embedded_sha256(source):
                raise InputError(f"{where}: {path}: its sha256 is not that of SHA256SUMS; reinstall the package")
            return {"all": ZipImages(path, where) if path.suffix == ".zip" else IdxImages(path, where)}
        case kinds.FolderSource():
            return {"all": FolderImages(source.path, where)}
        case kinds.ZipSource():
            return {"all": ZipImages(source.path, f"{where}.path")}
        case kinds.IdxSource():
            return {"all": IdxImages(source.path, f"{where}.path")}
        case kinds.HuggingFaceSource():
            from bright_pipeline.data.huggingface import HuggingFaceImages

            files = listing.huggingface_files(source, where)
            return {part: HuggingFaceImages(listed, source.column, where) for part, listed in files.items()}
        case kinds.LmdbSource():
            train = LmdbImages(source.path, f"{where}.path")
            if source.validation_path is None:
                return {"all": train}
            return {"train": train, "validation": LmdbImages(source.validation_path, f"{where}.validation_path")}


def source_at(path: Path) -> kinds.FolderSource | kinds.ZipSource:
    """A folder or a zip archive of images. The suffix decides, so that a plan needs no files."""
    if path.suffix.lower() == ".zip":
        return kinds.ZipSource(kind="zip", path=path)
    return kinds.FolderSource(kind="folder", path=path)


class _File(PerProcess, RawImages):
    check: Callable[[Path, str], Path] = staticmethod(listing.existing_file)  # InputError if the file is missing

    def __init__(self, path: Path, where: str):
        self.check(path, where)
        self.path, self.where = path, where


class FolderImages(RawImages):
    """Image files in a folder and its subfolders; names are relative, with forward slashes."""

    def __init__(self, path: Path, where: str):
        self.path, self.where = path, where

    def names(self) -> list[str]:
        files, self.ignored = listing.folder_images(self.path, self.where)
        return [file.name for file in files]

    def encoded(self, name: str) -> bytes:
        path = self.path / name
        try:
            if not path.is_file():  # opening a pipe would block
                raise BadImage("not a file" if path.exists() else "a link to a file that does not exist")
            if path.stat().st_size > LARGEST:
                raise BadImage(f"too large: {path.stat().st_size} bytes, over {LARGEST}")
            return path.read_bytes()
        except OSError as error:
            if error.errno in SINGLE_FILE_ERRORS:
                raise BadImage(f"unreadable: {error.strerror}") from None
            raise InputError(f"{self.where}.path: {path}: reading failed ({error.strerror})") from None


class ZipImages(_File):
    def names(self) -> list[str]:
        members = [name for name in self.handle.namelist() if not name.endswith("/")]
        images = sorted(filter(listing.is_image_name, members))
        if twice := next((name for name, following in pairwise(images) if name == following), None):
            line = f"two members are named {listing.printable(twice)}; create the zip again"
            raise InputError(f"{self.where}: {self.path}: {line}")
        self.ignored = listing.suffixes(set(members).difference(images))
        return images

    def _open(self) -> zipfile.ZipFile:
        with readable(f"{self.where}: {self.path}: not a readable zip"):
            return zipfile.ZipFile(self.path)

    def encoded(self, name: str) -> bytes:
        member = self.handle.getinfo(name)
        if member.flag_bits & 1:
            raise BadImage("encrypted")
        if member.file_size > LARGEST:
            raise BadImage(f"too large: declares {member.file_size} bytes, over {LARGEST}")
        try:
            return self.handle.read(member)
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes make decompressors raise various errors
            if isinstance(error, OSError) and error.errno is not None:
                raise InputError(f"{self.where}: {self.path}: reading failed ({error.strerror})") from None
            raise BadImage(f"damaged in the zip: {error_text(error)}") from None


class LmdbImages(_File):
    """LSUN's LMDB: each value is an encoded image (webp), and its key is the name."""

    check = staticmethod(listing.existing_lmdb)

    def names(self) -> list[str]:
        # Closed again at once: a process cannot open an LMDB twice.
        with self._lmdb_errors(), self._open() as environment, environment.begin() as transaction:
            keys = transaction.cursor().iternext(values=False)
            return sorted(key.decode("utf-8", "surrogateescape") for key in keys)

    def encoded(self, name: str) -> bytes:
        with self._lmdb_errors(), self.handle.begin() as transaction:
            return transaction.get(name.encode("utf-8", "surrogateescape"))

    def _open(self) -> Any:
        import lmdb

        with self._lmdb_errors():
            environment = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False, max_readers=1)
        size = (self.path / listing.LMDB_FILE).stat().st_size
        whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if size < whole:  # reading beyond the end of the file would kill the process
            environment.close()
            truncated = f"truncated: {listing.LMDB_FILE} has {size} of {whole} bytes; download it again"
            raise InputError(f"{self.where}: {self.path}: {truncated}")
        return environment

    def _lmdb_errors(self) -> AbstractContextManager[None]:
        return readable(f"{self.where}: {self.path}: not a readable LMDB")


class IdxImages(_File):
    """An IDX file of gray images (N, H, W), gzipped or not. The name of an image is its number."""

    def names(self) -> list[str]:
        return [f"{index:08d}" for index in range(len(self._open(for_count=True)))]

    def image(self, name: str, channels: int) -> Image.Image:
        return to_channels(Image.fromarray(np.array(self.handle[int(name)])), channels)

    def _open(self, for_count: bool = False) -> np.ndarray:
        """The images; for their number, those of a zipped file stay packed, and are zeros."""
        with readable(f"{self.where}: {self.path}: not a readable IDX file"):
            with self.path.open("rb") as file:
                zipped = file.read(2) == GZIP
            with gzip.open(self.path) if zipped else self.path.open("rb") as stream:
                shape = self._shape(stream.read(IDX_HEADER))
                expected = prod(shape)
                if not zipped:
                    self._check_length(self.path.stat().st_size - IDX_HEADER, expected)
                    return np.memmap(self.path, np.uint8, "r", IDX_HEADER, shape)
                if expected > LARGEST:
                    line = f"too large: {expected} bytes unpacked, over {LARGEST}; unpack it with gunzip"
                    raise InputError(f"{self.where}: {self.path}: {line}")
                if for_count:
                    return np.broadcast_to(np.uint8(0), shape)
                pixels = bytearray()  # read in pieces: a damaged header may announce more bytes than there are
                while part := stream.read(min(expected + 1 - len(pixels), READ_AT_A_TIME)):
                    pixels += part
        self._check_length(len(pixels), expected)
        return np.frombuffer(pixels, np.uint8).reshape(shape)

    def _shape(self, header: bytes) -> tuple[int, int, int]:
        if len(header) < IDX_HEADER or header[:4] != IDX_GRAY_IMAGES:
            line = f"starts with {header[:4].hex() or 'nothing'}; an IDX file of gray images starts with"
            raise InputError(f"{self.where}: {self.path}: {line} {IDX_GRAY_IMAGES.hex()}")
        count, height, width = np.frombuffer(header, ">u4", 3, 4).tolist()
        if 0 in (count, height, width):
            raise InputError(f"{self.where}: {self.path}: its header announces {count} images of {height}x{width}")
        return count, height, width

    def _check_length(self, length: int, expected: int) -> None:
        if length != expected:
            actual = "more" if length > expected else f"{length}"
            line = f"its header announces {expected} bytes of pixels, but it has {actual}; download the file again"
            raise InputError(f"{self.where}: {self.path}: {line}")


class RawSequence(Images):
    """The images of a folder or a zip, ordered by name, read with the rules for datasets."""

    def __init__(self, path: Path):
        self.path = path
        self._files = FolderImages(path, "images") if path.is_dir() else ZipImages(path, "images")
        self.names = self._files.names()
        if not self.names:
            raise InputError(f"{path}: contains no images")
        self.channels = 3
        first = self._image(0)
        if first.width != first.height:
            raise InputError(f"{self._where(0)}: {first.width}x{first.height}; images must be square")
        self.resolution = first.width
        self.channels = 1 if is_stored_gray(self._files.encoded(self.names[0]), self.names[0]) else 3

    def read(self, index: int) -> np.ndarray:
        image = self._image(index)
        is_gray = self.channels == 1 and len({plane.tobytes() for plane in image.split()}) == 1  # however it is stored
        self.check(image, is_gray, self._where(index))
        return np.asarray(image)[:, :, : self.channels]

    def _image(self, index: int) -> Image.Image:
        try:
            return self._files.image(self.names[index], 3)
        except BadImage as error:
            raise InputError(f"{self._where(index)}: {listing.printable(str(error))}") from None

    def _where(self, index: int) -> str:
        return f"{self.path}: {listing.printable(self.names[index])}"
