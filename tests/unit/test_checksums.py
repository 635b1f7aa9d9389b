"""What is put in place has a checksum beside it; what is not that any more is named."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.atomic import atomic_path, write_text
from pipeline.base.checksums import check, checksum_path, problem, read_checksum, size_problem, take_checksum
from pipeline.base.errors import InputError

RESULT = Path("results/store/tables/table2-0123456789ab/table.csv")
ARCHIVE = RESULT.with_name("images.zip")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def archive(*members: bytes) -> Path:
    """A zip of these members, put in place."""
    with atomic_path(ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for number, content in enumerate(members):
            file.writestr(zipfile.ZipInfo(f"{number}.png"), content)
    return ARCHIVE


def test_sha256sum_reads_what_lies_beside_a_result() -> None:
    write_text(RESULT, "a,b\n1,2\n")
    command = ["sha256sum", "--check", "--strict", checksum_path(RESULT).name]
    said = subprocess.run(command, cwd=RESULT.parent, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("table.csv: OK\n", "")
    assert read_checksum(RESULT) == take_checksum(RESULT)


@pytest.mark.parametrize("path", ["results/tiny/tables/table2.csv", "results/identities/a.json", "elsewhere/table.csv"])
def test_only_the_store_and_saved_states_have_checksums(path: str) -> None:
    write_text(path, "text")
    assert not checksum_path(Path(path)).exists()
    assert problem(Path(path)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_byte_changes_unnoticed(content: bytes, data: st.DataObject) -> None:
    with atomic_path(RESULT) as temporary:
        temporary.write_bytes(content)
    assert problem(RESULT) is None
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    RESULT.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    assert size_problem(RESULT) is None
    with pytest.raises(InputError, match=f"{RESULT}: damaged: sha256 is .*, should be .*; `bright verify --repair`"):
        check(RESULT)


def test_another_size_is_seen_without_opening_the_file() -> None:
    write_text(RESULT, "a" * 1234)
    RESULT.write_text("")
    line = f"{RESULT}: damaged: 0 bytes, should be 1,234; "
    assert (size_problem(RESULT) or "").startswith(line)
    assert (problem(RESULT) or "").startswith(line)


def test_of_an_archive_the_directory_is_enough_to_tell_it_from_another() -> None:
    other = archive(b"one", b"two").read_bytes()
    archive(b"one", b"owt")
    assert problem(ARCHIVE) is None
    ARCHIVE.write_bytes(other)
    assert size_problem(ARCHIVE) is None
    assert "damaged" in (problem(ARCHIVE) or "")


def test_a_damaged_member_is_for_its_reader_or_for_who_reads_all() -> None:
    content = archive(b"one" * 100, b"two").read_bytes()
    ARCHIVE.write_bytes(content.replace(b"oneone", b"oneonf", 1))
    assert problem(ARCHIVE) is None
    assert "damaged" in (problem(ARCHIVE, whole=True) or "")
    with zipfile.ZipFile(ARCHIVE) as file, pytest.raises(zipfile.BadZipFile):
        file.read("0.png")


def test_a_damaged_checksum_is_named() -> None:
    write_text(RESULT, "text")
    checksum_path(RESULT).write_text("# 4 bytes\n")
    assert problem(RESULT) == (
        f"{checksum_path(RESULT)}: not the checksum of table.csv; `bright verify --repair` moves it aside,"
        " and the next run makes it again"
    )


def test_a_checksum_is_of_its_file_alone() -> None:
    write_text(RESULT, "text")
    other = RESULT.with_name("other.csv")
    shutil.copy(RESULT, other)
    shutil.copy(checksum_path(RESULT), checksum_path(other))
    assert "not the checksum of other.csv" in (problem(other) or "")


def test_a_file_that_was_never_put_in_place_has_nothing_to_be_compared_with() -> None:
    RESULT.parent.mkdir(parents=True)
    RESULT.write_text("by hand")
    assert problem(RESULT) is None
    assert problem(RESULT.with_name("absent.csv")) is None


def test_a_process_that_dies_while_it_writes_leaves_no_checksum_of_another_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_text(RESULT, "before")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_text(RESULT, "after")
    assert RESULT.read_text() == "before"
    assert problem(RESULT) is None
