"""The paper's numbers, as printed, and what its protocol fixes behind them.

Numbers are strings from start to end, so that no decimal is lost or invented. What the paper leaves open is not here:
the resize filter of FFHQ, the network of LPIPS, which images of FFHQ are the validation split.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base.errors import InputError
from pipeline.tables.layout import Layout
from pipeline.tables.quantities import Quantity

AS_PUBLISHED = "as published"

Row = dict[str, str]


class ImageSet(NamedTuple):
    """A collection behind published numbers: images of each split, and how they got their size if that is known."""

    train: int
    validation: int
    prepared: str | None = None


RESOLUTION = 256  # "Images in both datasets are resized to 256 × 256" (section 4)
IMAGE_SETS = {
    "ffhq256": ImageSet(60_000, 10_000),  # the sizes of VQGAN's lists; the filter is not known
    # LSUN's own splits; LDM's numbers of Table 6 need reference images prepared so.
    "lsun_church256": ImageSet(126_227, 300, "center crop, Pillow bicubic, to 256"),
}
# By the repository that appendix B names in its footnote 6.
PAPER_REPOSITORY = {"precision_recall": "paper_repository"}
METRICS = {"precision": PAPER_REPOSITORY, "recall": PAPER_REPOSITORY, "f1": PAPER_REPOSITORY}
WITHOUT_REFERENCE = frozenset({"is"})
GENERATION_CODE_SIZE = "64x64x4"  # "we apply diffusion on the key codes of size 64 × 64 × 4" (section 4)


def read_published(folder: Path, table: str, layout: Layout) -> list[Row]:
    """The rows of a table, an empty string where the paper prints nothing; none of a table that it does not have."""
    if not layout.in_paper:
        return []
    path = folder / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"published numbers of {table}: {path} is missing; --published names their folder")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decimals_of(printed: Iterable[str]) -> int | None:
    """The most digits behind the point, 2 for 22.30; None where nothing is printed."""
    return max((len(number.partition(".")[2]) for number in printed if number), default=None)


def row_name(row: Row) -> str:
    """Such as `BRIGHT 64x64x4`."""
    return " ".join(part for part in (row["method"], row.get("code_size", "")) if part)


def fixed_traits(row: Row, kind: str) -> dict[str, tuple[Any, ...]]:
    """What a measurement's traits of one kind must be for its numbers to stand in a published row."""
    bright = row["method"].startswith("BRIGHT")
    dataset = row.get("dataset", "")
    traits: dict[str, tuple[Any, ...]] = {"dataset": (dataset,) if dataset else tuple(IMAGE_SETS)}
    if kind == "generation":
        if bright:
            traits |= {"sample_kind": ("diffusion",), "method": ("BRIGHT (LDM)", "BRIGHT")}
            traits["code_size"] = (GENERATION_CODE_SIZE,)
        else:
            traits["method"] = (row["method"],)
    else:
        traits |= {"method": ("BRIGHT" if bright else row["method"],), "code_size": (row["code_size"],)}
        if bright:
            traits["key_length"] = (int(row.get("key_length", "1")),)
            traits["feature_size"] = (int(row.get("feature_size", "64")),)
            traits["ablation"] = (None,)
    if kind == "reconstruction":
        if bright:
            traits["code_noise"] = ("none",) if "without noise" in row["method"] else ("after_tiling",)
        if "train_images" in row:
            traits["train_images"] = (int(row["train_images"]),)
    traits["resolution"] = (RESOLUTION,)
    if kind in ("reconstruction", "generation") and (prepared := image_set(row).prepared):
        traits["prepared"] = (prepared,)
    return traits


def fixed_protocol(row: Row, layout: Layout, quantity: Quantity) -> dict[str, Any]:
    """What the protocol of a measured value must say for a difference from the published one."""
    match quantity.kind:
        case "reconstruction":
            return {"count": image_set(row).validation, "reference": "validation"}
        case "generation":
            samples = row.get("samples") or layout.samples
            fixed: dict[str, Any] = {"count": int(samples) if samples else None}
            if quantity.key not in WITHOUT_REFERENCE:
                # Whole training splits, as LDM's and StyleGAN2's numbers in the same columns.
                fixed |= {"reference": "train", "reference_count": image_set(row).train}
            return fixed | METRICS.get(quantity.key, {})
        case _:
            return {}


def image_set(row: Row) -> ImageSet:
    """The images behind a row; InputError where the paper's protocol on them is not known here."""
    if row["dataset"] not in IMAGE_SETS:
        raise InputError(f"published numbers: dataset {row['dataset']!r} is none of {', '.join(IMAGE_SETS)}")
    return IMAGE_SETS[row["dataset"]]
