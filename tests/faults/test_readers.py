"""One reader of images: a file has the same pixels, or the same error, in every container."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.decode import BadImage
from bright_pipeline.data.sources import RawSequence, open_source
from bright_pipeline.settings.dataset import FolderSource, HuggingFaceSource, LmdbSource, ZipSource
from PIL import Image
from small_collections import encoded, picture

SIDE = 24


def pictures() -> dict[str, bytes]:
    """Files of all usual kinds."""
    colours = picture(0, (SIDE, SIDE))
    gray, clear, palette = colours.convert("L"), colours.convert("RGBA"), colours.convert("P")
    clear.putalpha(gray)
    tags = Image.Exif()
    tags[0x0112] = 6  # orientation
    animated = {"save_all": True, "append_images": [palette.rotate(90)]}
    return {
        "16-bit.png": encoded(Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 99)),
        "palette-clear.png": encoded(palette, transparency=3),
        "clear.webp": encoded(clear, "webp", lossless=True),
        "clear-gray.png": encoded(clear.convert("LA")),
        "bits.png": encoded(gray.convert("1")),
        "cmyk.tif": encoded(colours.convert("CMYK"), "tiff"),
        "turned.jpg": encoded(colours, "jpeg", exif=tags.tobytes()),
        "animated.gif": encoded(palette, "gif", **animated),
        "plain.bmp": encoded(colours, "bmp"),
        "plain.ppm": encoded(colours, "ppm"),
    }


def held(tmp_path: Path, files: dict[str, bytes]) -> dict[str, Callable[[str], np.ndarray]]:
    """A reader for each container of the files; the last two read like `bright evaluate`."""
    folder, lmdb_folder, arrow = (tmp_path / name for name in ("folder", "lmdb", "arrow"))
    folder.mkdir()
    with (
        zipfile.ZipFile(tmp_path / "images.zip", "w") as archive,
        lmdb.open(str(lmdb_folder), map_size=2**24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for name, content in files.items():
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
            transaction.put(name.encode(), content)
    # Rows in the format of the package `datasets`.
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    images = [{"bytes": content, "path": name} for name, content in files.items()]
    table = pyarrow.table({"image": pyarrow.array(images, kind)})
    pyarrow.parquet.write_table(table, tmp_path / "images.parquet", row_group_size=7)
    arrow.mkdir()
    with pyarrow.ipc.new_stream(arrow / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    found: dict[str, Callable[[str], np.ndarray]] = {}
    for source in (
        FolderSource(kind="folder", path=folder),
        ZipSource(kind="zip", path=tmp_path / "images.zip"),
        LmdbSource(kind="lmdb", path=lmdb_folder),
        HuggingFaceSource(kind="huggingface", path=tmp_path / "images.parquet"),
        HuggingFaceSource(kind="huggingface", path=arrow),
    ):
        raw = open_source(source, "x")["all"]
        names = dict(zip(files, raw.names() if source.kind == "huggingface" else files, strict=True))
        found[f"{source.kind} {source.path.name}"] = lambda name, raw=raw, names=names: np.asarray(
            raw.image(names[name], 3)
        )
    for path in (folder, tmp_path / "images.zip"):
        sequence = RawSequence(path)
        found[f"sequence of {path.name}"] = lambda name, images=sequence: images.read(images.names.index(name))
    return found


def test_files_have_equal_pixels_in_every_container_and_in_an_evaluation(tmp_path: Path) -> None:
    files = pictures()
    readers = held(tmp_path, {"!in-colour.png": encoded(picture(7, (SIDE, SIDE)))} | files)
    for name in files:
        first, *others = (read(name) for read in readers.values())
        assert first.shape == (SIDE, SIDE, 3)
        for other in others:
            np.testing.assert_array_equal(first, other, err_msg=name)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\nshowpage\n%%EOF\n"
NO_PICTURES = {
    "EPS": EPS,
    "EPS of DOS": b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + len(EPS).to_bytes(4, "little") + b"\0" * 18 + EPS,
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><image href="/etc/passwd"/></svg>',
    "PDF": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "PSD": b"8BPS\0\1" + b"\0" * 40,
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
}


@pytest.mark.parametrize("what", NO_PICTURES)
def test_other_files_give_one_error_and_start_no_program(tmp_path, monkeypatch, what) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin64c", "inkscape", "convert", "rsvg-convert"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    reasons = set()
    for read in held(tmp_path, {"a.png": encoded(picture(0, (SIDE, SIDE))), "b.png": NO_PICTURES[what]}).values():
        with pytest.raises((BadImage, InputError)) as caught:
            read("b.png")
        reasons.add(str(caught.value).rpartition(": ")[2])
    assert len(reasons) == 1 and "not an image in a known format (PNG, JPEG, " in reasons.pop()
    assert not (tmp_path / "started").exists()
