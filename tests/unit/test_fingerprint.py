"""Fingerprints of raw collections: they follow names and contents, not times and places."""

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.data.fingerprint import Fingerprint, fingerprint
from pipeline.data.listing import embedded_path, raw_files
from pipeline.settings.dataset import EmbeddedSource, FolderSource, IdxSource, LmdbSource, Source, ZipSource

WHERE = "datasets.cats.source"


def folder(path: Path) -> FolderSource:
    return FolderSource(kind="folder", path=path)


def fill(path: Path, files: dict[str, bytes]) -> FolderSource:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return folder(path)


def taken(source: Source) -> Fingerprint:
    return fingerprint(raw_files(source, WHERE), WHERE)


NAMES = st.sampled_from(["a.png", "b.png", "c/d.png"])
COLLECTIONS = st.dictionaries(NAMES, st.binary(min_size=1, max_size=4), min_size=1)
FILES = {"a/x y.png": b"one", "b.jpg": b"three", "it's.png": b""}


def test_a_fingerprint_counts_and_digests_every_image(tmp_path: Path) -> None:
    found = taken(fill(tmp_path, FILES))
    assert (found.files, found.bytes) == (3, 8)
    lines = [f"{name}\0{len(FILES[name])} {hashlib.sha256(FILES[name]).hexdigest()}\n" for name in sorted(FILES)]
    assert found.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_files_are_read_a_few_at_a_time_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path, {f"{number}.png": bytes([number]) for number in range(5)})
    together = taken(source)
    monkeypatch.setattr("pipeline.data.fingerprint.FILES_AT_A_TIME", 2)
    assert taken(source) == together


def test_times_places_and_other_files_do_not_matter(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    before = taken(fill(first, FILES))
    fill(second, dict(reversed(FILES.items())) | {"readme.txt": b"no image"})
    os.utime(second / "b.jpg", (1, 1))
    assert taken(folder(second)) == before


@settings(max_examples=30, deadline=None)
@given(files=COLLECTIONS, others=COLLECTIONS)
def test_fingerprints_are_equal_where_collections_are(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], others: dict[str, bytes]
) -> None:
    paths = [tmp_path_factory.mktemp("files") for _ in range(2)]
    one, other = (taken(fill(path, content)) for path, content in zip(paths, (files, others), strict=True))
    assert (one.sha256 == other.sha256) == (files == others)


def test_files_that_cannot_be_opened_are_part_of_a_fingerprint(tmp_path: Path) -> None:
    source = fill(tmp_path, FILES)
    before = taken(source)
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert taken(source).sha256 != before.sha256


def test_a_name_that_is_no_unicode_has_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    assert taken(folder(tmp_path)).files == 1


def test_archives_are_hashed_as_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"content")
    (tmp_path / "idx").write_bytes(b"idx")
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"lmdb")
    sources = {
        tmp_path / "x.zip": ZipSource(kind="zip", path=tmp_path / "x.zip"),
        tmp_path / "idx": IdxSource(kind="idx", path=tmp_path / "idx"),
        tmp_path / "lmdb" / "data.mdb": LmdbSource(kind="lmdb", path=tmp_path / "lmdb"),
    }
    for path, source in sources.items():
        before = taken(source)
        assert (before.files, before.bytes) == (1, path.stat().st_size)
        if source.kind != "lmdb":  # whose file is always data.mdb
            path.rename(tmp_path / "renamed")
            assert taken(source.model_copy(update={"path": tmp_path / "renamed"})) == before
            (tmp_path / "renamed").rename(path)
        path.write_bytes(path.read_bytes()[::-1])
        assert taken(source).sha256 != before.sha256


def test_both_of_lsuns_files_are_hashed(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(name.encode())
    source = LmdbSource(kind="lmdb", path=tmp_path / "train", validation_path=tmp_path / "validation")
    before = taken(source)
    assert before.files == 2
    (tmp_path / "validation" / "data.mdb").write_bytes(b"VALIDATION")
    assert taken(source).sha256 != before.sha256


def test_the_embedded_images_have_the_fingerprint_of_their_uncompressed_file() -> None:
    source = EmbeddedSource(kind="embedded")
    path = embedded_path(source)
    content = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    line = f"\0{path.stat().st_size} {content}\n"
    assert taken(source).sha256 == hashlib.sha256(line.encode()).hexdigest()


def test_a_missing_path_is_one_line_with_the_key() -> None:
    with pytest.raises(InputError, match=r"^datasets.cats.source.path: /no/such does not exist; a folder"):
        raw_files(folder(Path("/no/such")), WHERE)
    source = LmdbSource(kind="lmdb", path=Path("/"), validation_path=Path("/no/such"))
    with pytest.raises(InputError, match=r"^datasets.cats.source.path: / contains no data.mdb"):
        raw_files(source, WHERE)


def test_fingerprints_need_neither_torch_nor_numpy() -> None:
    code = "import sys; import pipeline.data.fingerprint; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
