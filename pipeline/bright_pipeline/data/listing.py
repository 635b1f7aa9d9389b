"""Lists the files of a raw collection or a checkpoint without opening them."""

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.settings import dataset as kinds
from bright_pipeline.settings.weights import ForeignWeights, OwnWeights

Read = kinds.Source | ForeignWeights | OwnWeights  # files that a run reads: a collection, or a checkpoint

LARGEST_LIST = 1_000_000_000  # bytes
EMBEDDED = Path(__file__).parent / "embedded"
LMDB_FILE = "data.mdb"

# A data file of a Hugging Face dataset. Some arrow files are caches of the package `datasets`.
DATA = re.compile(r"\.parquet\Z|(\A|/)(?!cache-|indices)[^/]*\.arrow\Z")
SHARD = re.compile(r"-\d+-of-\d+.*$|-?\d+$")  # the shard number in a file name of a Hugging Face dataset

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
HEIC_SUFFIXES = (".heic", ".heif")  # read if the package pillow-heif is installed
READS_HEIC = find_spec("pillow_heif") is not None
LONGEST_SUFFIX = 8  # characters; a longer one is rather a part of a name


class RawFile(NamedTuple):
    """One file of a collection or a checkpoint."""

    name: str  # relative to the collection, with forward slashes
    path: str | Path  # a string for files of a folder: creating 126,227 Paths would add a second to every plan
    size: int  # bytes; -1 for a missing file, such as a broken link
    modified: int  # nanoseconds since 1970
    sha256: str | None = None  # of its content, if known without reading it


# The collections shipped with this package, and the file of each. Its SHA256SUMS has the sha256 of the uncompressed
# content, since gzip's bytes may differ.
EMBEDDED_COLLECTIONS = {"fashion-mnist": "t10k-images-idx3-ubyte.gz", "openclipart": "openclipart.zip"}
LICENSES = {"fashion-mnist": "MIT (Fashion-MNIST, Zalando SE)", "openclipart": "public domain (Open Clip Art Library)"}


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image. Other files are ignored."""
    return name.lower().endswith(IMAGE_SUFFIXES) or is_heic(name)


def is_heic(name: str) -> bool:
    """Whether a file of this name is read as HEIC."""
    return READS_HEIC and name.lower().endswith(HEIC_SUFFIXES)


def suffixes(names: Iterable[str]) -> Counter[str]:
    """The number of files by suffix, in small letters; "" for files without a usual one."""
    lowered = (Path(name).suffix.lower() for name in names)
    return Counter(suffix if len(suffix) <= LONGEST_SUFFIX and suffix.isprintable() else "" for suffix in lowered)


def printable(name: str) -> str:
    """A file's name for logs and manifests: one line of valid Unicode."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def raw_files(source: Read, where: str) -> list[RawFile]:
    """The files of a collection or a checkpoint, ordered by name; `where` is the config's key, for errors.

    InputError if it is missing, or contains nothing readable, as the folder of a disk that is not mounted.
    """
    noun = "images"
    match source:
        case kinds.EmbeddedSource():
            return [_raw_file("", embedded_path(source), embedded_sha256(source))]
        case ForeignWeights() | OwnWeights():  # all files in the folder of a checkpoint
            noun, path = "checkpoint", Path(source.path or "")
            if not path.exists():
                kind = source.kind if isinstance(source, ForeignWeights) else "file"
                raise InputError(f"{where}.path: {path} does not exist; the run needs this {kind}")
            files = sorted(_walk(path, where), key=attrgetter("name")) if path.is_dir() else [_raw_file("", path)]
        case kinds.FolderSource():
            files = folder_images(source.path, where)[0]
        case kinds.HuggingFaceSource():
            files = [file for part in huggingface_files(source, where).values() for file in part]
        case kinds.LmdbSource():
            files = [_raw_file("train", existing_lmdb(source.path, f"{where}.path"))]
            if source.validation_path is not None:
                path = existing_lmdb(source.validation_path, f"{where}.validation_path")
                files.append(_raw_file("validation", path))
        case _:
            path = existing_file(source.path, f"{where}.path")
            files = [_raw_file("heic" if isinstance(source, kinds.ZipSource) and _has_heic(path) else "", path)]
    if not any(file.size > 0 and os.access(file.path, os.R_OK) for file in files):
        raise InputError(f"{where}.path: {source.path} contains no readable {noun}")
    return files


def _has_heic(path: Path) -> bool:
    """Whether images of a zip are read as HEIC. Its fingerprint then differs from that of a reader without HEIC."""
    if READS_HEIC:
        with suppress(Exception), zipfile.ZipFile(path) as archive:  # preparation reports a damaged zip
            return any(map(is_heic, archive.namelist()))
    return False


def embedded_path(source: kinds.EmbeddedSource) -> Path:
    return EMBEDDED / source.name / EMBEDDED_COLLECTIONS[source.name]


def embedded_sha256(source: kinds.EmbeddedSource) -> str:
    """The sha256 of the embedded images in SHA256SUMS."""
    lines = (EMBEDDED / source.name / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return dict(line.split()[::-1] for line in lines)[EMBEDDED_COLLECTIONS[source.name].removesuffix(".gz")]


def existing_file(path: Path, where: str) -> Path:
    """The path if it is a file, otherwise InputError with the config's key."""
    if path.is_file():
        return path
    state = "is a folder" if path.is_dir() else "does not exist"
    raise InputError(f"{where}: {path} {state}; the path of a file is expected")


def existing_lmdb(path: Path, where: str) -> Path:
    """The data file of an LMDB folder; InputError if it is missing."""
    if not path.is_dir():
        raise InputError(f"{where}: {path} {_not_folder(path)}; a folder with {LMDB_FILE} is expected")
    if not (path / LMDB_FILE).is_file():
        raise InputError(f"{where}: {path} contains no {LMDB_FILE}; LSUN's unpacked LMDB folder is expected")
    return path / LMDB_FILE


def huggingface_files(source: kinds.HuggingFaceSource, where: str) -> dict[str, list[RawFile]]:
    """The data files of each part of a Hugging Face dataset ("all", or "train" and "validation"), ordered by name."""
    path = source.path
    if path.is_file():
        files = [_raw_file(path.name, path)]
    elif path.is_dir():
        files = sorted((file for file in _walk(path, where) if DATA.search(file.name)), key=attrgetter("name"))
    else:
        expected = "the folder of `save_to_disk` or a parquet file"
        raise InputError(f"{where}.path: {path} does not exist; {expected} is expected")
    if not files:
        raise InputError(f"{where}.path: {path} contains no data files (parquet, arrow)")
    splits = sorted({_split_of(file.name) for file in files})
    wanted = {"split": source.split, "validation_split": source.validation_split}
    for key, split in wanted.items():
        if split is None and len(splits) > 1 and key == "split":
            raise InputError(f"{where}.split: {path} contains {', '.join(splits)}; choose one of them")
        if split is not None and split not in splits:
            raise InputError(f"{where}.{key}: {path} has no split {split!r}; use {', '.join(splits)}")
    if source.split is None:
        return {"all": files}
    parts = {"all": source.split}
    if source.validation_split is not None:
        parts = {"train": source.split, "validation": source.validation_split}
    return {part: [file for file in files if _split_of(file.name) == split] for part, split in parts.items()}


def _split_of(name: str) -> str:
    """The split of a file: `train` for train-00000-of-00002.parquet and train/data-00000-of-00001.arrow."""
    folder, _, file = name.rpartition("/")
    first = SHARD.sub("", file.rpartition(".")[0])
    return folder.rpartition("/")[2] or "all" if first in ("data", "dataset") else first


def folder_images(folder: Path, where: str) -> tuple[list[RawFile], Counter[str]]:
    """The image files of a folder and its subfolders, ordered by name, and the number of other files by suffix."""
    if not folder.is_dir():
        raise InputError(f"{where}.path: {folder} {_not_folder(folder)}; a folder of images is expected")
    files = list(_walk(folder, where))
    images = [file for file in files if is_image_name(file.name)]
    others = suffixes(file.name for file in files if not is_image_name(file.name))
    return sorted(images, key=attrgetter("name")), others


def _walk(folder: Path, where: str) -> Iterator[RawFile]:
    """All files. Links to folders are followed, but each folder is visited once, so that cycles end."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{where}.path: {error.filename}: not a readable folder ({error.strerror})")

    seen: set[str] = set()
    for path, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(path)
        folders[:] = [] if real in seen else sorted(folders)
        if real not in seen:
            inside = "" if path == os.fspath(folder) else f"{os.path.relpath(path, folder)}/"
            yield from (_raw_file(inside + name, f"{path}/{name}") for name in files)
        seen.add(real)


def _not_folder(path: Path) -> str:
    return "is not a folder" if path.exists() else "does not exist"


def _raw_file(name: str, path: str | Path, sha256: str | None = None) -> RawFile:
    try:
        status = os.stat(path)  # noqa: PTH116 - path may be a string
    except OSError:  # a broken link: preparation reports it as unreadable
        return RawFile(name, path, -1, 0)
    return RawFile(name, path, status.st_size, status.st_mtime_ns, sha256)


def missing_list(path: Path, where: str) -> str | None:
    """One line if a list of validation images is missing, otherwise None. `where` is the key of the source."""
    key = f"{where.removesuffix('source')}split.list: {path}"
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_LIST:  # a pipe or a device has no end
            path.stat()
            return f"{key}: must be a text file of at most {readable_bytes(LARGEST_LIST)}"
        path.open("rb").close()
    except OSError as error:
        return f"{key}: not a readable text file ({error.strerror})"
    return None
