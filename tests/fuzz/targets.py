"""The readers of foreign files, each with valid contents, which fuzzing damages.

LMDB files are excluded: the library crashes on internal damage, so only their size is checked.
"""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
import yaml
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, image_name
from bright_pipeline.data.decode import decode
from bright_pipeline.data.fingerprint import Fingerprint, read_fingerprint, write_fingerprint
from bright_pipeline.data.sources import open_source
from bright_pipeline.engine.checksums import Checksum, read_sums, sums_text
from bright_pipeline.engine.damage import identity_problem
from bright_pipeline.engine.records import read_record
from bright_pipeline.evaluation.feature_files import FeatureSet, read_features, write_features
from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.families import parse_autoencoder
from bright_pipeline.foreign.files import read_tensors
from bright_pipeline.models import checkpoints
from bright_pipeline.models.metric_networks.files import read_network
from bright_pipeline.plan.publish import tracked_as
from bright_pipeline.settings.dataset import HuggingFaceSource, IdxSource, ZipSource
from bright_pipeline.tables.measured import read_history
from bright_pipeline.training.state import load_tree, save_tree
from PIL import Image
from small_collections import encoded

WORKFLOW = Path(__file__).parents[1] / "workflow"


class Target(NamedTuple):
    """A reader and the name of its file; `seeds` returns a list of valid contents, or writes a valid file."""

    name: str
    read: Callable[[Path], Any]
    seeds: Callable[[Path], object]

    def contents(self, folder: Path) -> list[bytes]:
        """Valid contents of the file."""
        path = folder / self.name
        found = self.seeds(path)
        return found if isinstance(found, list) else [path.read_bytes()]


def picture(kind: str, mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    return encoded(Image.fromarray(noise).convert(mode), kind)


def pictures(_: Path) -> list[bytes]:
    return [
        *(picture(kind) for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff", "ppm")),
        *(picture("png", mode) for mode in ("P", "LA", "RGBA", "1", "I;16")),
        picture("jpeg", "CMYK"),
    ]


def raw_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"folder/{number}.png", picture("png"))


def rows() -> pyarrow.Table:
    return pyarrow.table({"image": [{"bytes": picture(kind), "path": None} for kind in ("png", "jpeg", "webp")]})


def arrow(path: Path) -> None:
    with pyarrow.ipc.new_stream(path, rows().schema) as writer:
        writer.write_table(rows(), max_chunksize=2)


def archive(path: Path) -> None:
    with ArchiveWriter(path, channels=1) as writer:
        for number in range(3):
            writer.add(image_name(number), np.full((6, 6, 1), number, np.uint8))


def autoencoder(path: Path) -> None:
    tiny = yaml.safe_load((WORKFLOW / "tiny.yaml").read_text(encoding="utf-8"))
    settings = parse_autoencoder(tiny["autoencoders"]["main"], "x")
    checkpoints.save_autoencoder(path, checkpoints.make_autoencoder(settings, 32, 1), settings, 32, 1)


def features(path: Path) -> None:
    digests = np.zeros((3, 32), np.uint8)
    write_features(path, FeatureSet(np.ones((3, 4), np.float32), np.ones((3, 2), np.float32), digests, {"space": "x"}))


def all_images(source: Any) -> None:
    for images in open_source(source, "x").values():
        for name in images.names():
            images.image(name, 3)


def finite_summary(path: Path) -> None:
    """Every number of a summary or a history is finite, or the file is refused."""
    found = read_history(path) if path.suffix == ".csv" else read_summary(path)
    numbers = [value.number for value in found.values.values()]
    assert all(abs(number) < float("inf") for number in numbers), numbers


def rows_of_images(path: Path) -> None:
    all_images(HuggingFaceSource(kind="huggingface", path=path))


IDX = b"\0\0\x08\x03" + np.array([2, 5, 4], ">u4").tobytes() + bytes(range(40))
SUMMARY = (
    b'{"kind": "reconstruction", "traits": {"method": "x"}, "values": {"psnr": {"number": 0.5, "std": 0.25,'
    b' "interval": [0.25, 1], "protocol": {"resolution": 8}}}}'
)
TARGETS = [
    Target("config.yaml", read_config, lambda _: [path.read_bytes() for path in WORKFLOW.glob("*.yaml")]),
    Target("picture", lambda path: decode(path.read_bytes(), 3), pictures),
    Target("raw.zip", lambda path: all_images(ZipSource(kind="zip", path=path)), raw_zip),
    Target(
        "images-idx3-ubyte",
        lambda path: all_images(IdxSource(kind="idx", path=path)),
        lambda _: [IDX, gzip.compress(IDX)],
    ),
    Target("rows.parquet", rows_of_images, lambda path: pyarrow.parquet.write_table(rows(), path, row_group_size=2)),
    Target("rows.arrow", rows_of_images, arrow),
    Target("train.zip", lambda path: ImageArchive(path).tensor(), archive),
    Target("autoencoder.safetensors", checkpoints.load_autoencoder, autoencoder),
    Target(
        "codes.safetensors", checkpoints.read_codes, lambda path: checkpoints.write_codes(path, torch.ones(2, 1, 2, 2))
    ),
    Target("state.safetensors", load_tree, lambda path: save_tree(path, {"step": 1, "parts": [{"a": torch.ones(3)}]})),
    Target(
        "inception.safetensors",
        lambda path: read_network("inception", path, "numpy")[1],
        lambda path: checkpoints.write_codes(path, torch.ones(2, 1, 2, 2)),
    ),
    Target("foreign.ckpt", read_tensors, lambda path: torch.save({"state_dict": {"a": torch.ones(3)}}, path)),
    Target("features.npz", lambda path: read_features([path]), features),
    Target("summary.json", finite_summary, lambda _: [SUMMARY]),
    Target("history.csv", finite_summary, lambda _: [b"step,images,seconds,l2\n1,8,0.5,0.25\n2,16,1.5,0.125\n"]),
    Target(
        "fingerprint.json",
        read_fingerprint,
        lambda path: write_fingerprint(path, Fingerprint(files=1, bytes=2, sha256="a" * 64)),
    ),
    Target(
        "generate-0123456789ab.json", identity_problem, lambda _: [b'{"stage": "generate", "settings": {"seed": 1}}']
    ),
    Target("record.json", read_record, lambda _: [b'{"state": "running", "done": 3, "total": 4}']),
    Target(
        "SHA256SUMS",
        lambda path: read_sums(path.parent),
        lambda path: path.write_text(sums_text(path.parent, {"table.csv": Checksum(3, "0" * 64)})),
    ),
    Target(
        "table.dvc",
        lambda path: tracked_as(path.with_name("table")),
        lambda _: [f"outs:\n- md5: {'0' * 32}\n  path: table\n  size: 1\n".encode()],
    ),
]
