"""Fingerprints of raw collections: they follow names and contents, not times and places."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.config.dataset import EmbeddedSource, FolderSource, IdxSource, LmdbSource, ZipSource
from pipeline.data.fingerprint import fingerprint, listing_digest
from pipeline.data.listing import embedded_path

WHERE = "datasets.cats.source"


def folder(path: Path) -> FolderSource:
    return FolderSource(kind="folder", path=path)


def fill(path: Path, files: dict[str, bytes]) -> FolderSource:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return folder(path)


FILES = {"a/x y.png": b"one", "b.jpg": b"three", "it's.png": b""}


def test_a_fingerprint_counts_and_digests_every_image(tmp_path: Path) -> None:
    found = fingerprint(fill(tmp_path, FILES), WHERE)
    assert (found.files, found.bytes) == (3, 8)
    lines = [f"{name}\0{len(FILES[name])} {hashlib.sha256(FILES[name]).hexdigest()}\n" for name in sorted(FILES)]
    assert found.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert found.listing_sha256 == listing_digest(folder(tmp_path), WHERE)
    assert json.loads(found.model_dump_json())["sha256"] == found.sha256


def test_times_places_and_other_files_do_not_matter(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    before = fingerprint(fill(first, FILES), WHERE)
    fill(second, dict(reversed(FILES.items())) | {"readme.txt": b"no image"})
    os.utime(second / "b.jpg", (1, 1))
    assert fingerprint(folder(second), WHERE) == before


@settings(max_examples=30, deadline=None)
@given(
    files=st.dictionaries(st.sampled_from(["a.png", "b.png", "c/d.png"]), st.binary(max_size=4), min_size=1),
    others=st.dictionaries(st.sampled_from(["a.png", "b.png", "c/d.png"]), st.binary(max_size=4), min_size=1),
)
def test_fingerprints_are_equal_where_collections_are(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], others: dict[str, bytes]
) -> None:
    paths = [tmp_path_factory.mktemp("files") for _ in range(2)]
    one, other = (fingerprint(fill(path, content), WHERE) for path, content in zip(paths, (files, others), strict=True))
    assert (one.sha256 == other.sha256) == (files == others)
    sizes = [{name: len(content) for name, content in each.items()} for each in (files, others)]
    assert (one.listing_sha256 == other.listing_sha256) == (sizes[0] == sizes[1])


def test_a_changed_content_of_the_same_size_changes_the_fingerprint_not_the_listing(tmp_path: Path) -> None:
    before = fingerprint(fill(tmp_path, FILES), WHERE)
    after = fingerprint(fill(tmp_path, FILES | {"b.jpg": b"THREE"}), WHERE)
    assert after.sha256 != before.sha256
    assert after.listing_sha256 == before.listing_sha256


def test_files_that_cannot_be_opened_are_part_of_a_fingerprint(tmp_path: Path) -> None:
    source = fill(tmp_path, FILES)
    before = fingerprint(source, WHERE)
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert fingerprint(source, WHERE).sha256 != before.sha256


def test_a_name_that_is_no_unicode_has_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    assert fingerprint(folder(tmp_path), WHERE).files == 1


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
        before = fingerprint(source, WHERE)
        assert (before.files, before.bytes) == (1, path.stat().st_size)
        path.write_bytes(path.read_bytes()[::-1])
        assert fingerprint(source, WHERE).sha256 != before.sha256


def test_both_of_lsuns_files_are_hashed(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(name.encode())
    source = LmdbSource(kind="lmdb", path=tmp_path / "train", validation_path=tmp_path / "validation")
    before = fingerprint(source, WHERE)
    assert before.files == 2
    (tmp_path / "validation" / "data.mdb").write_bytes(b"VALIDATION")
    assert fingerprint(source, WHERE).sha256 != before.sha256


def test_the_embedded_images_have_the_fingerprint_of_their_uncompressed_file() -> None:
    source = EmbeddedSource(kind="embedded")
    path = embedded_path(source)
    content = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    line = f"{path.name}\0{path.stat().st_size} {content}\n"
    assert fingerprint(source, WHERE).sha256 == hashlib.sha256(line.encode()).hexdigest()


def test_a_missing_path_is_one_line_with_the_key() -> None:
    for take in (fingerprint, listing_digest):
        with pytest.raises(InputError, match=r"^datasets.cats.source.path: /no/such does not exist; a folder"):
            take(folder(Path("/no/such")), WHERE)
    source = LmdbSource(kind="lmdb", path=Path("/"), validation_path=Path("/no/such"))
    with pytest.raises(InputError, match=r"^datasets.cats.source.path: / holds no data.mdb"):
        fingerprint(source, WHERE)


def test_fingerprints_need_neither_torch_nor_numpy() -> None:
    code = "import sys; import pipeline.data.fingerprint; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_the_command_prints_a_fingerprint_as_json(tmp_path: Path) -> None:
    source = fill(tmp_path, FILES)
    dataset = {
        "source": {"kind": "folder", "path": str(tmp_path)},
        "split": {"rule": "last", "validation": 1},
    }
    command = [sys.executable, "-m", "pipeline.commands.fingerprint", json.dumps(dataset)]
    printed = json.loads(subprocess.check_output(command, text=True))
    assert printed == fingerprint(source, WHERE).model_dump()
