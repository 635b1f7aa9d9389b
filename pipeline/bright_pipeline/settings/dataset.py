"""Config of a dataset: the location of a raw collection, and how it is converted to square images."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bright_pipeline.settings.fields import Section, added, hashed, is_power_of_two, operational, setting


class EmbeddedSource(Section):
    """Images shipped with this package."""

    kind: Literal["embedded"]
    name: Literal["fashion-mnist", "openclipart"] = hashed(
        "fashion-mnist",
        "fashion-mnist: its 10,000 test images, 28 x 28, gray; openclipart: 3,056 colour drawings, 64 x 64.",
    )


class FolderSource(Section):
    """A folder of PNG, JPEG, WebP, BMP, GIF, TIFF or PPM files, with the extra `heic` HEIC too; subfolders included."""

    kind: Literal["folder"]
    path: Path = hashed(..., "The folder.")


class ZipSource(Section):
    """A zip archive of image files, read in place."""

    kind: Literal["zip"]
    path: Path = hashed(..., "The archive.")


class LmdbSource(Section):
    """LSUN's LMDB: a folder with data.mdb, in which each value is an encoded image."""

    kind: Literal["lmdb"]
    path: Path = hashed(..., "The LMDB folder of the training images.")
    validation_path: Path | None = hashed(None, "The LMDB folder of the validation images; LSUN has two.")


class IdxSource(Section):
    """An IDX file of images, such as MNIST's, gzipped or not."""

    kind: Literal["idx"]
    path: Path = hashed(..., "The file, such as train-images-idx3-ubyte.gz.")


class HuggingFaceSource(Section):
    """A Hugging Face dataset on disk: a folder of `save_to_disk`, or parquet files. Needs the package pyarrow."""

    kind: Literal["huggingface"]
    path: Path = hashed(..., "The folder, or one parquet file.")
    split: str | None = hashed(None, "The split to read, if the dataset has several.")
    validation_split: str | None = hashed(None, "The split of the validation images (needs `split`).")
    column: str = added("image", "The column of the images.")

    def _check(self) -> None:
        if self.validation_split is not None and self.split in (None, self.validation_split):
            raise ValueError("split: validation_split needs another split for training here")


Source = Annotated[
    EmbeddedSource | FolderSource | ZipSource | LmdbSource | IdxSource | HuggingFaceSource, Field(discriminator="kind")
]


class Split(Section):
    """Which images are for validation; the others are for training. Images are ordered by name."""

    rule: Literal["last", "list", "hash", "source"] = setting(
        "last",
        "last: the last `validation` images; list: the images named in `list`; hash: the `validation`"
        " images whose names have the smallest hashes; source: the split of the source, such as LSUN's.",
    )
    validation: int = setting(0, "Number of validation images (rules last and hash).", ge=0)
    list: Path | None = setting(None, "A text file with the names of the validation images, one per line (rule list).")
    tuning: int = added(0, "The last training images, which replace validation images while settings are chosen.", ge=0)
    train: int | None = added(None, "Training images to use, the first ones; by default all.", ge=1)
    duplicates: Literal["keep_in_train", "keep", "refuse"] = added(
        "keep_in_train",
        "Validation images that have the same prepared pixels as a training image. keep_in_train: they are removed from"
        " the validation images; keep: they stay; refuse: an error. The manifest lists them.",
        before="keep",
    )

    def _check(self) -> None:
        if self.rule in ("last", "hash") and self.validation == 0:
            raise ValueError(f"validation: the rule {self.rule} needs a number of validation images above 0")
        if self.rule == "list" and self.list is None:
            raise ValueError("list: the rule list needs the path of a text file with one name per line")


class Expected(Section):
    """Expected numbers of images."""

    train: int = Field(ge=1, description="Training images.")
    validation: int = Field(ge=0, description="Validation images.")


class Dataset(Section):
    """A collection of images, prepared once for all experiments that use it."""

    source: Source = Field(description="The raw images.")
    resolution: int = setting(256, "Height and width of the prepared images; a power of two.", ge=8)
    channels: Literal[1, 3] = setting(3, "1: gray; 3: RGB. Models have the same channels.")
    crop: Literal["center", "none", "pad"] = setting(
        "center",
        "How images become square. center: the largest square in the middle is kept; none: images must be square; pad:"
        " black borders, unscaled (Fashion-MNIST: 28 to 32).",
    )
    filter: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"] = setting(
        "lanczos", "Pillow's resize filter. It changes FID by a whole point and is part of the protocol."
    )
    split: Split = Field(description="Which images are for validation.")
    limit: int | None = setting(None, "Use at most this many images, the first ones.", ge=2)
    on_bad_image: Literal["skip", "error"] = setting(
        "skip", "skip: an unreadable image is left out and listed in the manifest; error: it ends the stage."
    )
    license: str = operational("unknown", description="The collection's licence, stored in the manifest.")
    expected: Expected | None = operational(
        None, "Numbers of images for `bright estimate` while the raw images are missing; not used otherwise."
    )

    def _check(self) -> None:
        if not is_power_of_two(self.resolution):
            raise ValueError(f"resolution: must be a power of two, such as 256, not {self.resolution}")
        keys = ("validation_path", "validation_split")
        own_split = next((key for key in keys if getattr(self.source, key, None) is not None), None)
        if own_split and self.split.rule != "source":
            raise ValueError(f"split.rule: must be source, because the source has a {own_split}, not {self.split.rule}")
        if self.split.rule == "source" and not own_split:
            sources = "lmdb with validation_path, huggingface with validation_split"
            raise ValueError(f"split.rule: source needs a source with its own split ({sources})")
