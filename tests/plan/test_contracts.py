"""A stage's contract, command and log agree; long arguments are in files; captions are complete."""

import importlib
import inspect
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.engine.command import stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.shards import LONGEST, Shard, arguments, find_entry, long_arguments, shards, write_arguments
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages import CONTRACTS, all_stages
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.page import page
from bright_pipeline.stages.tables import TableJob, table, tables
from finished_plan import TINY, tiny_plan, tiny_values, with_key
from snakemake.api import SnakemakeApi
from snakemake.io import strip_wildcard_constraints
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings
from snakemake.workflow import Workflow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """The workflow on the tiny config, as Snakemake reads it."""
    with pytest.MonkeyPatch.context() as patch, SnakemakeApi(OutputSettings()) as api:
        patch.chdir(tmp_path_factory.mktemp("workflow"))
        patch.setattr(sys, "path", [*sys.path])
        config, snakefile = ConfigSettings(configfiles=[TINY]), REPOSITORY / "workflow" / "Snakefile"
        yield api.workflow(ResourceSettings(cores=1), config, snakefile=snakefile)._workflow


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shard]]:
    """A shard of each stage; if possible, one whose range begins inside its input files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("jobs"))
        found = sorted((shard for job in every_stage() for shard in shards(job)), key=lambda shard: shard.starts_at)
        yield {shard.job.stage.name: shard for shard in found}


def every_stage() -> list[Job]:
    """Jobs of all stages that have jobs: the tiny config with all families, a study and an imported model."""
    values = with_key("evaluation.shard", 8)
    families = yaml.safe_load(TINY.with_name("families.yaml").read_text(encoding="utf-8"))
    values |= {section: values.get(section, {}) | entries for section, entries in families.items()}
    released = {"family": "vqgan", "weights": {"kind": "ldm_vq", "path": "vqgan.ckpt"}}
    values["autoencoders"]["released"] = {"dataset": "tiny", "code_size": "4x4x2"} | released
    values["tables"]["table2"] += ["released"]
    return list(tiny_plan(values)(planned).values())


def test_every_stage_has_a_contract_and_a_command_and_there_are_no_others() -> None:
    package = REPOSITORY / "pipeline" / "bright_pipeline"
    contracts, commands = ({file.stem for file in folder.glob("*.py")} for folder in (package / "stages", package))
    assert contracts == {*CONTRACTS, "__init__", "common"}
    assert commands - {"__init__"} == all_stages().keys()


@pytest.mark.parametrize("name", all_stages())
def test_a_command_and_a_log_fit_the_jobs_of_the_stage(name, one_of_each, workflow) -> None:
    shard = one_of_each[name]
    functions = filter(inspect.isfunction, vars(importlib.import_module(f"bright_pipeline.{name}")).values())
    signatures = (inspect.signature(function).parameters for function in functions)
    command = next(parameters for parameters in signatures if {"settings", "log"} <= parameters.keys())
    given = {word.removeprefix("--").replace("-", "_") for word in arguments(shard)[1:] if word.startswith("--")}
    assert given - command.keys() == {"code"}
    assert {option for option, one in command.items() if one.default is one.empty} <= given | {"settings"}
    first, last = (f"{number:06d}" for number in shard.span or (0, 0))
    known = {"name": shard.job.label, "digest": shard.job.digest, "model": "autoencoder", "first": first, "last": last}
    (log,) = workflow.get_rule(name).log
    assert str(shard.log) == strip_wildcard_constraints(log).format(**known)


MOST_BYTES = 131_072  # Linux' MAX_ARG_STRLEN


def pairs(job: Job) -> list[str]:
    """`NAME=PATH` of a job's summaries."""
    paths = [path_of(source) for source in job.inputs["summaries"]]
    return [f"{name}={path}" for name, path in zip(job.names, paths, strict=True)]


def test_long_arguments_are_in_files_that_the_start_of_a_run_writes(own_folder: Path) -> None:
    """Those of table 2 of 120 rows with three training seeds."""
    short = tiny_plan()(tables)["table5"]
    write_arguments([short])
    settings, inputs, _ = long_arguments(short)
    assert (json.loads(settings), inputs) == (short.settings, pairs(short)), "on the command line"
    assert not short.work.exists()

    values = tiny_values() | {"training_seeds": [0, 1000, 2000]}
    rows = {f"row{index}": {"like": "main", "seed": index + 1} for index in range(120)}
    values["autoencoders"] |= rows
    values |= {"tables": {"table2": list(rows)}, "figures": {"compared": ["row0"]}}
    many = tiny_plan(values)(tables)["table2"]
    settings, inputs, files = long_arguments(many)
    assert not many.work.exists(), "a dry run writes no file"
    write_arguments([many])
    assert (settings, inputs, files) == long_arguments(many)
    assert len(shlex.join([settings, *inputs])) < 500 and len(json.dumps(many.settings)) > LONGEST
    assert 2 * LONGEST * 1.2 < MOST_BYTES, "both at their longest fit one command"
    received: list[Any] = []

    @stage
    def work(job: TableJob, arguments: list[str]) -> None:
        received.extend([job, *arguments])

    work(settings, inputs)
    assert received == [TableJob.model_validate(many.settings), *pairs(many)]
    with pytest.raises(InputError, match=r"@absent\.txt: no readable file of arguments"):
        work(settings, ["a=b", "@absent.txt"])


def test_an_entry_is_found_if_another_has_the_same_job(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bright_pipeline.stages.tables._paper_rows", lambda jobs, table: [])
    jobs = tiny_plan()
    found = [find_entry(jobs, "complexity", f"tables.{name}") for name in ("table7", "table8")]
    assert found[0].digest == found[1].digest, "both tables have the same rows"
    assert [job.entry for job in found] == ["tables.table7", "tables.table8"]
    assert len({key for key in jobs(planned) if key[0] == "complexity"}) == 1


def test_other_columns_make_a_table_again_and_another_caption_only_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    config, entry = read_config(REPOSITORY / "config" / "demo.yaml"), TABLES["table2"]
    before, before_page = Jobs(config)(table, "table2").digest, Jobs(config)(page).digest
    first, *others = entry.quantities
    for other in (
        replace(entry, title="Other words"),
        replace(entry, quantities=(*others, first)),
        replace(entry, quantities=(replace(first, decimals=1), *others)),
    ):
        monkeypatch.setitem(TABLES, "table2", other)
        assert Jobs(config)(table, "table2").digest != before
    monkeypatch.setitem(TABLES, "table2", replace(entry, caption="Other words."))
    assert Jobs(config)(table, "table2").digest == before
    monkeypatch.setitem(FIGURES, "fig01", replace(FIGURES["fig01"], caption="Other words."))
    assert Jobs(config)(page).digest != before_page
