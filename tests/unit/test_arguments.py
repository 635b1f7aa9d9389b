"""Commands of jobs with hundreds of rows: arguments too long for a command line are in files."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from finished_plan import tiny_plan, tiny_values

from pipeline.base.command import stage
from pipeline.base.errors import InputError
from pipeline.plan.arguments import LONGEST, find_entry, long_arguments, write_arguments
from pipeline.plan.shards import planned
from pipeline.settings.fields import Section
from pipeline.stages.common import Job, path_of
from pipeline.stages.tables import tables

ROOT = Path(__file__).parents[2]
ROWS = 120
MOST_BYTES = 131_072  # Linux' MAX_ARG_STRLEN


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Table 2 of many rows with three training seeds, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    values = tiny_values() | {"training_seeds": [0, 1000, 2000]}
    values["autoencoders"] |= {f"row{index}": {"like": "main", "seed": index + 1} for index in range(ROWS)}
    values["tables"] = {"table2": [f"row{index}" for index in range(ROWS)]}
    values["figures"] = {"compared": ["row0"]}
    return tiny_plan(values)(tables)["table2"]


def pairs(job: Job) -> list[str]:
    """`NAME=PATH` of a job's summaries."""
    paths = [path_of(source) for source in job.inputs["summaries"]]
    return [f"{name}={path}" for name, path in zip(job.names, paths, strict=True)]


def test_short_arguments_are_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = tiny_plan()(tables)["table5"]
    write_arguments([job])
    settings, inputs, _ = long_arguments(job)
    assert (json.loads(settings), inputs) == (job.settings, pairs(job))
    assert not job.work.exists()


def test_long_arguments_are_in_files_that_the_start_of_a_run_writes(many: Job) -> None:
    settings, inputs, files = long_arguments(many)
    assert not many.work.exists(), "a dry run writes no file"
    write_arguments([many])
    assert (settings, inputs, files) == long_arguments(many)
    assert len(shlex.join([settings, *inputs])) < 500 and len(json.dumps(many.settings)) > LONGEST
    assert json.loads(Path(settings).read_text()) == many.settings
    assert taken(inputs) == pairs(many)
    assert 2 * LONGEST * 1.2 < MOST_BYTES, "both at their longest fit one command"


def taken(arguments: list[str]) -> list[str]:
    """The list of arguments that a stage's function receives."""
    received: list[str] = []

    @stage
    def work(job: Section, arguments: list[str]) -> None:
        received.extend(arguments)

    work("{}", arguments)
    return received


def test_the_stage_takes_its_arguments_from_files(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"table": "table3", "rows": [{"name": "a", "dataset": "d"}]}))
    (tmp_path / "inputs.txt").write_text("a=absent.json\n")
    command = [sys.executable, "-m", "pipeline.make_table", "settings.json", "@inputs.txt"]
    stopped = subprocess.run(command, cwd=tmp_path, env=None, capture_output=True, text=True, check=False)
    assert stopped.returncode == 2 and "summary absent.json: not a readable JSON file" in stopped.stderr


def test_a_missing_file_of_arguments_is_one_line() -> None:
    with pytest.raises(InputError, match=r"@absent\.txt: no readable file of arguments"):
        taken(["a=b", "@absent.txt"])


def test_an_entry_is_found_if_another_has_the_same_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.stages.autoencoders.PAPER", tmp_path / "absent.yaml")
    jobs = tiny_plan()
    found = [find_entry(jobs, "complexity", f"tables.{name}") for name in ("table7", "table8")]
    assert found[0].digest == found[1].digest, "both tables have the same rows"
    assert [job.entry for job in found] == ["tables.table7", "tables.table8"]
    assert len({key for key in jobs(planned) if key[0] == "complexity"}) == 1
