"""A result that is put in place gets its line in SHA256SUMS; any later damage is reported."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from finished_plan import finish, tiny_plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base import atomic
from pipeline.base.atomic import atomic_path, write_text
from pipeline.base.checksums import SUMS, check, problem, read_sums, take_checksum
from pipeline.base.errors import InputError
from pipeline.commands.verify import Kind, inspect, look_into, move_away
from pipeline.plan.damage import add_missing_checksums
from pipeline.stages.tables import tables

pytestmark = pytest.mark.usefixtures("own_folder")

RESULT = Path("results/store/tables/table2-0123456789ab/table.csv")
ARCHIVE = RESULT.with_name("images.zip")
LIST = RESULT.with_name(SUMS)


def archive(*members: bytes) -> Path:
    """A zip of these members, put in place."""
    with atomic_path(ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for number, content in enumerate(members):
            file.writestr(zipfile.ZipInfo(f"{number}.png"), content)
    return ARCHIVE


def test_sha256sum_reads_the_list() -> None:
    write_text(RESULT, "a,b\n1,2\n")
    archive(b"one")
    command = ["sha256sum", "--check", "--strict", SUMS]
    done = subprocess.run(command, cwd=RESULT.parent, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("images.zip: OK\ntable.csv: OK\n", "")
    assert read_sums(RESULT.parent) == {path.name: take_checksum(path) for path in (RESULT, ARCHIVE)}


@pytest.mark.parametrize(
    "path",
    ["results/a/tables/table2.csv", "results/identities/a.json", "a/b.csv", "results/work/a", "results/store/t/a.dvc"],
)
def test_only_results_and_saved_states_have_checksums(path: str) -> None:
    write_text(path, "text")
    assert not Path(path).with_name(SUMS).exists()
    assert problem(Path(path)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200), st.data())
def test_every_changed_byte_is_found(content: bytes, data: st.DataObject) -> None:
    with atomic_path(RESULT) as temporary:
        temporary.write_bytes(content)
    assert problem(RESULT) is None
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    RESULT.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    assert problem(RESULT, read="size") is None
    with pytest.raises(InputError, match=f"{RESULT}: damaged: sha256 is .*, should be .*; `bright verify --repair`"):
        check(RESULT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_changed_byte_of_the_list_is_found(data: st.DataObject) -> None:
    write_text(RESULT, "text")
    content = LIST.read_bytes()
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    LIST.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    assert str(LIST) in (problem(RESULT, read="size") or "")
    LIST.write_bytes(content[:place])
    assert f"{LIST}: damaged, or of another folder" in (problem(RESULT, read="size") or "")
    LIST.unlink()


def test_other_size_is_found_without_opening_the_file() -> None:
    write_text(RESULT, "a" * 1234)
    RESULT.write_text("")
    RESULT.chmod(0)
    assert (problem(RESULT, read="size") or "").startswith(f"{RESULT}: damaged: 0 bytes, should be 1,234; ")


def test_directory_of_a_zip_distinguishes_it_from_another() -> None:
    other = archive(b"one", b"two").read_bytes()
    archive(b"one", b"owt")
    assert problem(ARCHIVE) is None
    ARCHIVE.write_bytes(other)
    assert problem(ARCHIVE, read="size") is None
    assert "damaged" in (problem(ARCHIVE) or "")


def test_damaged_member_is_found_by_its_reader_and_by_reading_all() -> None:
    content = archive(b"one" * 100, b"two").read_bytes()
    ARCHIVE.write_bytes(content.replace(b"oneone", b"oneonf", 1))
    assert problem(ARCHIVE) is None
    assert "damaged" in (problem(ARCHIVE, read="content") or "")
    with zipfile.ZipFile(ARCHIVE) as file, pytest.raises(zipfile.BadZipFile):
        file.read("0.png")


def test_list_of_another_folder_is_found() -> None:
    write_text(RESULT, "text")
    other = Path("results/store/tables/table2-ba9876543210/table.csv")
    shutil.copytree(RESULT.parent, other.parent)
    assert "of another folder" in (problem(other) or "")
    renamed = Path("results/store/tables/renamed-0123456789ab")
    RESULT.parent.rename(renamed)
    assert problem(renamed / RESULT.name) is None


def test_file_without_a_line_is_not_compared() -> None:
    RESULT.parent.mkdir(parents=True)
    RESULT.write_text("by hand")
    assert problem(RESULT) is None
    assert problem(RESULT.with_name("absent.csv")) is None


def test_foreign_lists_outside_of_results_are_ignored() -> None:
    Path(SUMS).write_text(f"{'0' * 64}  raw.zip\n")
    Path("raw.zip").write_text("text")
    check(Path("raw.zip"))
    write_text("raw.zip", "text")


@pytest.mark.parametrize("step", ["rename", "line"])
def test_process_killed_while_it_replaces_a_file_leaves_no_wrong_line(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_text(RESULT, "before")
    other = RESULT.with_name("other.csv")
    write_text(other, "other")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    update = atomic.update_sums
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if step == "rename":
            patch.setattr(atomic, "update_sums", lambda *what: (update(*what), die()))
        else:
            patch.setattr(atomic, "update_sums", lambda folder, changes: die() if all(changes.values()) else None)
            (RESULT.parent / SUMS).unlink()
        write_text(RESULT, "after")
    assert RESULT.read_text() == ("before" if step == "rename" else "after")
    assert problem(RESULT) is None and problem(other) is None


WRITE = """
import sys
from pathlib import Path
from pipeline.base.atomic import write_text
for number in range(20):
    write_text(Path(sys.argv[1]).with_name(f"{sys.argv[2]}-{number}.csv"), f"{sys.argv[2]} {number}")
"""


def test_processes_that_write_into_one_folder_lose_no_line() -> None:
    commands = [[sys.executable, "-c", WRITE, str(RESULT), str(process)] for process in range(4)]
    for process in [subprocess.Popen(command) for command in commands]:
        assert process.wait(120) == 0
    assert len(read_sums(RESULT.parent)) == 80
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=RESULT.parent, check=True)


def test_results_of_older_releases_get_a_list_and_are_not_damaged() -> None:
    plan = tiny_plan()
    finish(plan)
    job = plan(tables)["table2"]
    (job.folder / SUMS).unlink()
    (job.folder / ".table.csv.sha256").write_text(f"# 3 bytes\n{'0' * 64}  table.csv\n")
    files, findings = look_into(job.folder, job)
    assert {file.path.name for file in files} == set(job.files) and findings == []
    assert problem(job.folder / "table.csv") is None
    add_missing_checksums(job)
    assert read_sums(job.folder).keys() == set(job.files)


@pytest.mark.parametrize("how", ["one digit", "empty"])
def test_repair_of_a_damaged_list_keeps_the_files_that_it_still_proves(how: str) -> None:
    plan = tiny_plan()
    finish(plan)
    job = plan(tables)["table2"]
    listed = job.folder / SUMS
    sha256 = read_sums(job.folder)["table.csv"].sha256
    write_text(job.folder / "table.md", "another")  # files of the plan share one content, and so one sha256
    listed.write_text("" if how == "empty" else listed.read_text().replace(f"{sha256}  table.csv", "0  table.csv"))
    findings = [one for one in inspect(plan, whole_store=False)[0] if one.kind == Kind.DAMAGED]
    assert [one.line.partition(":")[0] for one in findings] == [str(listed)]
    assert move_away(findings) == 1 + (len(job.files) if how == "empty" else 0)
    plan.store.forget()
    assert job.complete == (how != "empty") and not listed.exists()
