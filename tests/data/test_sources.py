"""Raw collections: what each source lists and reads, and what decoding does to every kind of image."""

import gzip
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any, get_args

import lmdb
import numpy as np
import pytest
import small_collections
from bright_pipeline.base.errors import InputError
from bright_pipeline.data import decode as decoding
from bright_pipeline.data import sources
from bright_pipeline.data.decode import BadImage, decode
from bright_pipeline.data.fingerprint import fingerprint
from bright_pipeline.data.listing import EMBEDDED_COLLECTIONS, raw_files
from bright_pipeline.data.sources import RawImages, open_source
from bright_pipeline.settings.dataset import EmbeddedSource, FolderSource, IdxSource, LmdbSource, Source, ZipSource
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from small_collections import encoded

WHERE = "datasets.cats.source"

picture = partial(small_collections.picture, size=(8, 6))


def only_part(source: Source) -> RawImages:
    parts = open_source(source, WHERE)
    assert list(parts) == ["all"]
    return parts["all"]


def make_lmdb(path: Path, images: dict[bytes, bytes]) -> Path:
    path.mkdir(parents=True)
    with lmdb.open(str(path), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for key, value in images.items():
            transaction.put(key, value)
    (path / "lock.mdb").unlink()
    return path


def idx(images: np.ndarray) -> bytes:
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()


def test_a_folder_is_read_with_its_sub_folders_in_the_order_of_names(tmp_path: Path) -> None:
    names = ["b.png", "a/with space.png", 'a/it\'s "quoted".png', "ünïcödé/图.png", "a.PNG", "A/deep/er/x.JpEg"]
    for index, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(picture(index)))
    (tmp_path / "readme.txt").write_text("not an image")
    images = only_part(FolderSource(kind="folder", path=tmp_path))
    assert images.names() == sorted(names)
    assert images.ignored == {".txt": 1}
    for index, name in enumerate(names):
        assert np.array_equal(np.asarray(images.image(name, 3)), np.asarray(picture(index)))


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "x.png").write_bytes(encoded(picture()))
    (folder / "link").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(folder)
    assert only_part(FolderSource(kind="folder", path=folder)).names() == ["link/x.png"]


def test_files_that_cannot_be_opened_are_bad_images(tmp_path: Path) -> None:
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    images = only_part(FolderSource(kind="folder", path=tmp_path))
    assert images.names() == ["nowhere.png", "pipe.png"]
    for name, reason in (("nowhere.png", "link"), ("pipe.png", "not a file")):
        with pytest.raises(BadImage, match=reason):
            images.image(name, 3)


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("sub")
        archive.writestr("sub/b c.png", encoded(picture(1)))
        archive.writestr("../outside.png", encoded(picture(2)))
        archive.writestr("labels.json", "{}")
    images = only_part(ZipSource(kind="zip", path=path))
    assert images.names() == ["../outside.png", "sub/b c.png"]
    assert images.ignored == {".json": 1}
    assert np.array_equal(np.asarray(images.image("sub/b c.png", 3)), np.asarray(picture(1)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images.zip"]


def test_bad_members_are_bad_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 100_000)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(100_001))
        archive.writestr("encrypted.png", encoded(picture()))
        archive.writestr("damaged.png", encoded(picture(size=(40, 40))))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"encrypted.png") - 46  # its entry in the zip's directory
    content[entry + 8] |= 1
    start = content.index(b"damaged.png") + len("damaged.png")
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    images = only_part(ZipSource(kind="zip", path=path))
    for name, reason in (("bomb", "declares 100001 bytes"), ("encrypted", "^encrypted$"), ("damaged", "damaged")):
        with pytest.raises(BadImage, match=reason):
            images.image(f"{name}.png", 3)


def test_lsun_lmdb_is_read_in_the_order_of_keys_and_left_as_it_was(tmp_path: Path) -> None:
    values = {b"ff01": encoded(picture(1), "webp", lossless=True), b"0a22": encoded(picture(2), "jpeg")}
    folder = make_lmdb(tmp_path / "church_train_lmdb", values)
    before = (folder / "data.mdb").read_bytes()
    images = only_part(LmdbSource(kind="lmdb", path=folder))
    assert images.names() == ["0a22", "ff01"]
    assert np.array_equal(np.asarray(images.image("ff01", 3)), np.asarray(picture(1)))
    assert images.image("0a22", 3).size == (8, 6)
    assert (folder / "data.mdb").read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["data.mdb"]


def test_a_damaged_lmdb_is_one_line(tmp_path: Path) -> None:
    """Reading a truncated one would end the process with SIGBUS."""
    folder = make_lmdb(tmp_path / "cut", {f"{index:04d}".encode(): b"x" * 10_000 for index in range(50)})
    whole = (folder / "data.mdb").read_bytes()
    truncated = r"cut: truncated: data.mdb has \d+ of \d+ bytes; download it again"
    nonsense = "datasets.cats.source.path: .*not a readable LMDB"
    for content, line in ((whole[: len(whole) // 2], truncated), (b"nonsense" * 2000, nonsense)):
        (folder / "data.mdb").write_bytes(content)
        with pytest.raises(InputError, match=line):
            only_part(LmdbSource(kind="lmdb", path=folder)).names()


def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for index in range(2):
            archive.writestr("a.png", encoded(picture(index)))
    with pytest.raises(InputError, match=r"a\.zip: two members are named a\.png; create the zip again"):
        only_part(ZipSource(kind="zip", path=tmp_path / "a.zip")).names()


@settings(max_examples=20)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    zipped=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_idx_images_are_read_gzipped_or_not(tmp_path_factory, shape, zipped, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(idx(pixels)) if zipped else idx(pixels))
    images = only_part(IdxSource(kind="idx", path=path))
    assert images.names() == [f"{index:08d}" for index in range(shape[0])]
    assert np.array_equal([np.asarray(images.image(name, 1)) for name in images.names()], pixels)
    assert images.image("00000000", 3).mode == "RGB"


IMAGES = np.zeros((2, 3, 4), np.uint8)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x08\x01" + idx(IMAGES)[4:], "starts with 00000801; an IDX file .* with 00000803"),
        (idx(IMAGES)[:-1], "announces 24 bytes of pixels, but it has 23"),
        (idx(IMAGES) + b"x", "announces 24 bytes of pixels, but it has more"),
        (gzip.compress(idx(IMAGES)[:-1], mtime=0), "announces 24 bytes of pixels, but it has 23"),
        (gzip.compress(idx(IMAGES) + b"xyz", mtime=0), "it has more"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-12], "not a readable IDX file"),
        (idx(np.zeros((0, 3, 4), np.uint8)), "0 images"),
    ],
)
def test_a_wrong_idx_file_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError, match=line) as error:
        (images := only_part(IdxSource(kind="idx", path=path))).image(images.names()[0], 1)
    assert str(error.value).startswith("datasets.cats.source.path: ")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", EMBEDDED_COLLECTIONS)
def test_the_embedded_images_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    source = EmbeddedSource.model_validate({"kind": "embedded", "name": name})
    assert only_part(source).names()
    monkeypatch.setattr(sources.listing, "embedded_sha256", lambda source: "0" * 64)
    with pytest.raises(InputError, match="SHA256SUMS"):
        only_part(source)
    (tmp_path / "images.gz").write_bytes(b"no gzip")
    monkeypatch.setattr(sources.listing, "embedded_path", lambda source: tmp_path / "images.gz")
    with pytest.raises(InputError, match=r"images\.gz: not readable"):
        only_part(EmbeddedSource(kind="embedded"))


@pytest.mark.parametrize("model", [FolderSource, ZipSource, IdxSource, LmdbSource])
def test_missing_paths_and_those_of_another_kind_are_one_line_with_the_key(model: Any) -> None:
    (kind,) = get_args(model.model_fields["kind"].annotation)
    other, line = (__file__, "is not a folder") if kind == "folder" else ("/", "is a folder|contains no data.mdb")
    for path, problem in (("/no/such", "does not exist"), (other, line)):
        with pytest.raises(InputError, match=rf"^datasets\.cats\.source\.path: {path} ({problem})"):
            only_part(model(kind=kind, path=Path(path))).names()


def test_transparency_is_composited_on_white() -> None:
    image = Image.new("RGBA", (2, 2), (200, 0, 0, 255))
    image.putpixel((0, 0), (200, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 100, 51))
    decoded = decode(encoded(image), 3)
    assert (decoded.mode, decoded.getpixel((0, 0)), decoded.getpixel((0, 1))) == ("RGB", (255,) * 3, (200, 0, 0))
    expected = [0.2 * value + 0.8 * 255 for value in (200, 0, 100)]
    assert np.allclose(decoded.getpixel((1, 0)), expected, atol=1)
    gray = Image.new("LA", (2, 1), (10, 255))
    gray.putpixel((1, 0), (10, 0))
    assert np.asarray(decode(encoded(gray), 1)).tolist() == [[10, 255]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert np.asarray(decode(encoded(palette), 3)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    transparent = encoded(palette, transparency=0)
    assert np.asarray(decode(transparent, 3)).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_gray_of_16_and_32_bits_in_either_byte_order_is_scaled_to_eight() -> None:
    wide = np.arange(0, 65536, 51, np.uint16)[None]
    big_endian = Image.frombytes("I;16B", (wide.shape[1], 1), wide.astype(">u2").tobytes())
    images = [Image.fromarray(wide), Image.fromarray(wide.astype(np.int32)), big_endian]
    for content in [encoded(images[0]), *(encoded(image, "tiff") for image in images)]:
        assert np.asarray(decode(content, 1)).tolist() == np.rint(wide / 65535 * 255).astype(int).tolist()


def test_a_16_bit_tiff_in_which_zero_is_white_is_read_with_black_at_zero() -> None:
    wide = np.array([[0, 1000, 65535]], np.uint16)
    content = encoded(Image.fromarray(wide), "tiff", tiffinfo={decoding.PHOTOMETRIC: 0})
    assert np.asarray(decode(content, 1)).tolist() == [[255, 251, 0]]


def test_pixels_of_unknown_range_are_bad() -> None:
    inverted = {decoding.PHOTOMETRIC: 0}  # Pillow opens no 32-bit gray in which zero is white
    for values, tags, told in (
        ([[0, 255]], {}, "unknown range, up to"),
        ([[0, 65535]], inverted, "known format|unknown"),
    ):
        with pytest.raises(BadImage, match=told):
            decode(encoded(Image.fromarray(np.array(values, np.int32)), "tiff", tiffinfo=tags), 1)
    with pytest.raises(BadImage, match="from 0 to 70000"):
        decode(encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "tiff"), 1)
    with pytest.raises(BadImage, match="floating-point"):
        decode(encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "tiff"), 1)


def test_sixteen_bit_rgb_keeps_its_high_byte() -> None:
    """A PNG written by hand, as Pillow writes none: one pixel (0x1234, 0xABCD, 0xFFFF)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\x00\x12\x34\xab\xcd\xff\xff")
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    assert decode(png, 3).getpixel((0, 0)) == (0x12, 0xAB, 0xFF)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "black")
    ImageDraw.Draw(upright).rectangle((0, 0, 15, 15), fill="red")  # the top left corner
    ImageDraw.Draw(upright).rectangle((32, 0, 47, 15), fill="blue")  # the top right corner
    # How a camera stores it: the inverse of what a viewer must do (EXIF 2.3, tag 0x0112).
    inverse = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")
    stored = upright.transpose(Image.Transpose[inverse[orientation - 2]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, "jpeg", quality=100, subsampling=0, exif=exif), 3)
    assert decoded.size == (48, 32)
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(upright)).max() <= 8


def test_gray_and_colour_follow_the_channels() -> None:
    colour = picture()
    gray = decode(encoded(colour), 1)
    red, green, blue = np.moveaxis(np.asarray(colour).astype(float), 2, 0)
    assert np.abs(np.asarray(gray) - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 0.51
    again = np.asarray(decode(encoded(gray), 3))
    assert (again == np.asarray(gray)[:, :, None]).all()
    inks = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "jpeg", quality=100), 3)
    assert np.abs(np.asarray(inks).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "gif", "tiff", "ppm"])
def test_truncated_files_and_files_that_are_no_images_are_bad(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)  # as another package may have left it
    content = encoded(picture(size=(64, 64)), kind)
    assert decode(content, 3).size == (64, 64)
    no_images = {b"": "empty", b"just text": "not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n": "not an image"}
    for bad, reason in {content[: len(content) * 2 // 3]: ".", **no_images}.items():
        with pytest.raises(BadImage, match=reason):
            decode(bad, 3)


def as_heic(image: Image.Image, orientation: int = 1) -> bytes:
    """A HEIC file of a picture that a viewer has to turn."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    return encoded(image, "heif", quality=95)


@pytest.mark.parametrize(("orientation", "turn"), [(1, None), (3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270")])
def test_heic_is_turned_once(orientation: int, turn: str | None) -> None:
    image = picture(size=(3, 3)).resize((64, 48), Image.Resampling.BICUBIC)
    stored = image.transpose(Image.Transpose[turn]) if turn else image
    decoded = decode(as_heic(stored, orientation), 3, "IMG_1.HEIC")
    assert decoded.size == image.size
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(image)).mean() < 4


def test_heic_has_the_bounds_of_other_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    content = as_heic(picture(size=(64, 64)))
    clear = picture(size=(64, 64)).convert("RGBA")
    clear.putalpha(0)
    assert decode(as_heic(clear), 1, "a.heif").getextrema() == (255, 255)
    place = content.find(b"ispe") + 8  # its width, then its height
    larger = content[:place] + (4000).to_bytes(4, "big") + content[place + 4 :]
    for bad in (content[: len(content) * 2 // 3], larger, content[:40]):
        with pytest.raises(BadImage, match=r"damaged: Invalid|not an image"):
            decode(bad, 3, "a.heic")
    monkeypatch.setattr(decoding, "LARGEST_PIXELS", 4000)
    with pytest.raises(BadImage, match="too large: 64x64"):
        decode(content, 3, "a.heic")


def test_without_its_package_heic_is_ignored_and_with_it_other_results_are_planned(tmp_path, monkeypatch) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encoded(picture()))
        archive.writestr("b.heic", as_heic(picture()))
    source = ZipSource(kind="zip", path=path)
    read = fingerprint(raw_files(source, "images"), "images")
    assert only_part(source).names() == ["a.png", "b.heic"]
    monkeypatch.setattr("bright_pipeline.data.listing.READS_HEIC", False)
    images = only_part(source)
    assert (images.names(), images.ignored) == (["a.png"], {".heic": 1})
    with pytest.raises(BadImage, match="not an image in a known format"):
        images.image("b.heic", 3)
    assert fingerprint(raw_files(source, "images"), "images").sha256 != read.sha256


def test_a_packed_idx_file_is_counted_without_unpacking_and_has_the_bound_of_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((3, 8, 8), np.uint8))[:50]))
    images = only_part(IdxSource(kind="idx", path=path))
    assert len(images.names()) == 3
    with pytest.raises(InputError, match="its header announces 192 bytes of pixels, but it has 34"):
        images.image(images.names()[0], 1)
    monkeypatch.setattr(sources, "LARGEST", 191)
    with pytest.raises(InputError, match="too large: 192 bytes unpacked, over 191; unpack it with gunzip"):
        images.names()


MEMORY = """
import re, sys
from pathlib import Path
from bright_pipeline.data.decode import decode
most = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
data, before = sys.stdin.buffer.read(), most()
decode(data, 3)
print(most() - before)
"""


@pytest.mark.parametrize(("mode", "copies"), [("RGB", 1), ("RGBA", 3)])
def test_decoding_a_large_picture_makes_no_needless_copies(mode: str, copies: int) -> None:
    side = 4000  # the largest picture has 11 times as many pixels, and its job requests 4 GB
    content = encoded(Image.new(mode, (side, side)), compress_level=1)
    told = subprocess.run([sys.executable, "-c", MEMORY], input=content, capture_output=True, check=True).stdout
    assert int(told) * 1024 < (copies + 0.5) * 4 * side**2


def test_decompression_bombs_are_bad_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(BadImage, match="too large"):
        decode(encoded(picture()), 3)
    monkeypatch.undo()
    monkeypatch.setattr(decoding, "LARGEST_PIXELS", 40)
    with pytest.raises(BadImage, match="too large: 8x6"):
        decode(encoded(picture()), 3)
