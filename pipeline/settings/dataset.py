"""Config of a dataset: where a raw collection lies and how it becomes square images."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.settings.fields import Section, added, is_power_of_two, operational


class EmbeddedSource(Section):
    """Images that come with this package."""

    kind: Literal["embedded"]
    name: Literal["fashion-mnist", "openclipart"] = Field(
        "fashion-mnist",
        description="fashion-mnist: the 10,000 test images of Fashion-MNIST, 28 x 28, gray; openclipart: 3,056"
        " drawings in colour, 64 x 64.",
    )


class FolderSource(Section):
    """A folder of image files, searched with its sub-folders."""

    kind: Literal["folder"]
    path: Path = Field(description="The folder.")


class ZipSource(Section):
    """A zip archive of image files; read in place, never extracted."""

    kind: Literal["zip"]
    path: Path = Field(description="The archive.")


class LmdbSource(Section):
    """LSUN's LMDB: a folder with data.mdb, each value an encoded image."""

    kind: Literal["lmdb"]
    path: Path = Field(description="The LMDB folder of the training images.")
    validation_path: Path | None = Field(None, description="The LMDB folder of the validation images (LSUN ships two).")


class IdxSource(Section):
    """An IDX file of images, as MNIST's, gzipped or not."""

    kind: Literal["idx"]
    path: Path = Field(description="The file, such as train-images-idx3-ubyte.gz.")


class HuggingFaceSource(Section):
    """A Hugging Face dataset on disk: what `save_to_disk` wrote, or parquet files. Needs the package pyarrow."""

    kind: Literal["huggingface"]
    path: Path = Field(description="The folder, or one parquet file.")
    split: str | None = Field(None, description="The split whose images are taken, where there are several.")
    validation_split: str | None = Field(None, description="The split of the validation images (with `split`).")
    column: str = Field("image", description="The column of the images.")

    @model_validator(mode="after")
    def _two_splits(self) -> "HuggingFaceSource":
        if self.validation_split is not None and self.split in (None, self.validation_split):
            raise ValueError("split: another one than validation_split must be named beside it")
        return self


Source = Annotated[
    EmbeddedSource | FolderSource | ZipSource | LmdbSource | IdxSource | HuggingFaceSource, Field(discriminator="kind")
]


class Split(Section):
    """Which images are for validation; the rest are for training. Order is that of the sorted names."""

    rule: Literal["last", "list", "hash", "source"] = Field(
        "last",
        description="last: the last `validation` images; list: those named in `list`; hash: `validation` of"
        " them by the hash of their names; source: the source has its own split (LSUN).",
    )
    validation: int = Field(0, ge=0, description="How many images are for validation (rules last and hash).")
    list: Path | None = Field(None, description="A text file of validation names, one a line (rule list).")
    tuning: int = added(
        0,
        before=0,
        description="The last so many training images take the place of the validation images, which are left out: for"
        " choosing settings without seeing one of those.",
        ge=0,
    )
    duplicates: Literal["keep_in_train", "keep", "refuse"] = added(
        "keep_in_train",
        before="keep",
        description="Validation images whose pixels, once prepared, are those of a training image: keep_in_train: they"
        " are left out of the validation images; keep: they stay; refuse: an error. The manifest names them.",
    )

    @model_validator(mode="after")
    def _complete(self) -> "Split":
        if self.rule in ("last", "hash") and self.validation == 0:
            raise ValueError(f"validation: the rule {self.rule} needs the number of validation images, above 0")
        if self.rule == "list" and self.list is None:
            raise ValueError("list: the rule list needs the path of a text file, one name a line")
        return self


class Expected(Section):
    """How many images there will be."""

    train: int = Field(ge=1, description="Images for training.")
    validation: int = Field(ge=0, description="Images for validation.")


class Dataset(Section):
    """A collection of images, prepared once and shared by all experiments on it."""

    source: Source = Field(description="Where the raw images lie.")
    resolution: int = Field(256, ge=8, description="Height and width of the prepared images, a power of two.")
    channels: Literal[1, 3] = Field(3, description="1: gray, 3: RGB. Models work on these channels.")
    crop: Literal["center", "none", "pad"] = Field(
        "center",
        description="How an image becomes square: center crop; none: it must be square; pad: with black"
        " to the resolution, unscaled (Fashion-MNIST's 28 to 32).",
    )
    filter: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"] = Field(
        "lanczos", description="Pillow's resize filter. It moves FID by a whole point: it is recorded."
    )
    split: Split = Field(description="Which images are for validation.")
    limit: int | None = Field(None, ge=2, description="Use the first so many images only.")
    on_bad_image: Literal["skip", "error"] = Field(
        "skip", description="An unreadable image is skipped and listed in the manifest, or it is an error."
    )
    license: str = operational("unknown", description="The collection's licence, for the manifest.")
    expected: Expected | None = operational(
        None,
        description="For `bright estimate` while the raw images are not here; nothing else reads it.",
    )

    @model_validator(mode="after")
    def _possible(self) -> "Dataset":
        if not is_power_of_two(self.resolution):
            raise ValueError(f"resolution: a power of two, such as 256, not {self.resolution}")
        keys = ("validation_path", "validation_split")
        own_split = next((key for key in keys if getattr(self.source, key, None) is not None), None)
        if own_split and self.split.rule != "source":
            raise ValueError(f"split.rule: source, since the source has a {own_split}, not {self.split.rule}")
        if self.split.rule == "source" and not own_split:
            told = "lmdb with validation_path, huggingface with validation_split"
            raise ValueError(f"split.rule: source needs a source with a split of its own ({told})")
        return self
