"""A full or read-only disk: every stage reports it in one line, and nothing is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.shards import Shard, arguments, ordered, shards
from bright_pipeline.stages.common import Jobs
from daemons import may_mount
from test_soak import final_files
from tiny_workflow import Workflow, empty_workflow

PAGE = 4096
FULL = "no space left on the device; free some space, then start the same command again"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one page."""
    may_mount()
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PAGE}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def command(shard: Shard, folder: Path) -> list[str]:
    """The command of a shard whose outputs and saved states go into another folder."""
    moved = {path: str(folder / Path(path).name) for path in shard.outputs}
    moved[str(shard.job.work)] = str(folder / "work")
    return ["python", "-m", shard.job.stage.command, *(moved.get(word, word) for word in arguments(shard))]


def test_each_stage_says_in_one_line_that_a_disk_is_full_or_read_only(play, disk, monkeypatch):
    monkeypatch.chdir(play.folder)
    (disk / "filled").write_bytes(bytes(PAGE))
    jobs = ordered(Jobs(read_config(Path("config.yaml"))))
    found = [shards(job)[0] for job in {job.stage.name: job for job in jobs}.values()]
    assert len(found) > 15
    for shard in found:  # one of each stage
        said = play.call(*command(shard, disk), expect=2).text
        assert "Traceback" not in said, said
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and FULL in lines[0], said
        left = {path.name for path in disk.rglob("*") if path.is_file() and path.stat().st_size}
        assert left == {"filled"}, shard.job.stage.name
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for shard in found:
        if shard.job.stage.name in ("train_autoencoder", "dump_codes", "make_table"):
            said = play.call(*command(shard, disk), expect=2).text
            (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
            assert "the file system is read-only here" in line and "Traceback" not in said


def test_a_run_whose_disk_fills_up_goes_on_once_there_is_space(tiny_run, tmp_path, networks_folder, disk):
    run = empty_workflow(tmp_path / "run", networks_folder)
    subprocess.run(["mount", "-o", "remount,size=400k", disk], check=True)
    (run.folder / "results" / "networks").unlink()
    (run.folder / "results").rmdir()
    (run.folder / "results").symlink_to(disk)
    (disk / "networks").symlink_to(networks_folder)
    said = run.run("table4", expect=1).text
    assert FULL in said and "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    run.run("table4")
    expected = final_files(tiny_run)
    found = {path: digest for path, digest in final_files(run).items() if path.startswith("store/")}
    assert any("tables/table4" in path for path in found)
    assert {path: expected.get(path) for path in found} == found


def test_a_finished_run_can_be_looked_at_where_nothing_can_be_written(play: Workflow, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    results = play.folder / "results"
    subprocess.run(["cp", "-a", f"{results}/.", disk], check=True)
    results.rename(play.folder / "before")
    results.symlink_to(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert play.run("-n").nothing_to_do
    assert play.run().nothing_to_do
    for name in ("status", "doctor", "estimate", "verify"):
        assert "Traceback" not in play.python("bright_pipeline.commands", name, "config.yaml").text
    said = play.run("--forcerun", "make_report", expect=1).text
    assert said.splitlines()[-1].startswith("error: results/work/reservations: the file system is read-only here")
