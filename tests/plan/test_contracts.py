"""A stage's rule, contract and command agree; long arguments are in files; captions are complete."""

import importlib
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.command import stage
from bright_pipeline.engine.jobs import Job, Output, Stage, path_of, planned
from bright_pipeline.engine.shards import LONGEST, Shard, arguments, find_entry, long_arguments, shards, write_arguments
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages import CONTRACTS, all_stages
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import FIGURES
from bright_pipeline.stages.page import page
from bright_pipeline.stages.tables import TableJob, table, tables
from finished_plan import tiny_plan, tiny_values, with_key

REPOSITORY = Path(__file__).parents[2]
FILES = {file.stem: file.read_text() for file in (REPOSITORY / "workflow" / "rules").glob("*.smk")}
RULE = re.compile(r"^(?:use rule (\w+) as (\w+) with|rule (\w+)):\n((?:(?:    .*)?\n)+)", re.MULTILINE)
WRITTEN = {one[2] or one[3]: (file, one[1], one[4]) for file, text in FILES.items() for one in RULE.finditer(text)}
WITH_JOBS = [stage for stage in all_stages().values() if stage.name != "fetch_network"]


def sections(rule: str) -> dict[str, str]:
    """The sections of a rule, also those that it inherits; Snakemake does not inherit `cache` and `localrule`."""
    _, base, text = WRITTEN[rule]
    own = {one[1]: one[0] for one in re.finditer(r"^    (\w+):.*\n(?: {8,}.*\n)*", text, re.MULTILINE)}
    inherited = sections(base).items() if base else ()
    return {name: text for name, text in inherited if name not in {"cache", "localrule"}} | own


RULES = {name: (file, "".join(sections(name).values())) for name, (file, *_) in WRITTEN.items()}


def section(rule: str, name: str) -> str:
    """The section `output:`, `params:` and so on of a rule."""
    found = re.search(rf"^    {name}:\n((?: {{8,}}.*\n)+)", RULES[rule][1], re.MULTILINE)
    return found[1] if found is not None else ""


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shard]]:
    """A shard of each stage; if possible, one whose range begins inside its input files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("jobs"))
        found = sorted((shard for job in every_stage() for shard in shards(job)), key=lambda shard: shard.starts_at)
        yield {shard.job.stage.name: shard for shard in found}


def every_stage() -> list[Job]:
    """Jobs of all stages that have jobs: the tiny config with a generator, an imported model and a study."""
    values = with_key("evaluation.shard", 8)
    main, unet = values["autoencoders"]["main"], {"channels": 16, "multipliers": [1, 1], "blocks": 1}
    unet |= {"attention_resolutions": [2], "norm_groups": 4}
    released = {"family": "vqgan", "weights": {"kind": "ldm_vq", "path": "vqgan.ckpt"}}
    values["autoencoders"]["released"] = {key: main[key] for key in ("dataset", "code_size")} | released
    values["generators"] = {"other": {"family": "ddpm", "dataset": "tiny", "unet": unet}}
    values["samples"]["other"] = {"kind": "generator", "generator": "other", "count": 32, "shard": 16}
    values["tables"]["table5"]["rows"] += ["other"]
    values["tables"]["table2"] += ["released"]
    rates = {"autoencoders": ["without-noise"], "grid": {"learning_rate": [1e-3, 1e-2]}, "images": 8, "tuning": 8}
    values["studies"] = {"rates": rates}
    return list(tiny_plan(values)(planned).values())


def test_every_stage_has_a_contract_a_rule_and_a_command_and_there_are_no_others() -> None:
    assert FILES.keys() - {"common", "resources", "hooks", "snakemake_internals"} == set(CONTRACTS)
    contracts = {file.stem for file in (REPOSITORY / "pipeline" / "bright_pipeline" / "stages").glob("*.py")}
    assert contracts == {*CONTRACTS, "__init__", "common", "store"}
    assert RULES.keys() - {"publish", "page", "headline", "tables", "figures"} == all_stages().keys()
    assert {file.stem for file in (REPOSITORY / "pipeline" / "bright_pipeline").glob("*.py")} - {
        "__init__"
    } == all_stages().keys()
    for name in all_stages():
        contract = (REPOSITORY / "pipeline" / "bright_pipeline" / "stages" / f"{RULES[name][0]}.py").read_text()
        assert re.search(rf'^[A-Z_]+ = Stage\(\s*"{name}"', contract, re.MULTILINE), f"{name}: the file of its rule"


@pytest.mark.parametrize("stage", WITH_JOBS, ids=lambda stage: stage.name)
def test_a_rule_takes_files_arguments_and_resources_from_its_contract(stage: Stage) -> None:
    text, command = RULES[stage.name][1], section(stage.name, "shell")
    assert re.search(rf'\*\*outputs\(\s*"{stage.name}"', section(stage.name, "output"))
    assert "{params.command}" in command and "{input" not in command
    assert ("    localrule: True\n" in text) == stage.local
    assert ("        gpu=gpus,\n" in text) == stage.gpu
    assert ("    threads: cores\n" in text) == (stage.gpu and stage.name != "measure_decoding")
    assert ("        **across_nodes,\n" in text) == ("{params.processes}" in command) == stage.is_training
    assert ("        mem_mb=memory,\n" in text) == (not stage.local)


@pytest.mark.parametrize("name", [stage.name for stage in WITH_JOBS])
def test_a_rule_and_a_command_fit_the_jobs_of_the_stage(name: str, one_of_each: dict[str, Shard]) -> None:
    shard = one_of_each[name]
    assert any(isinstance(source, Output) for source in shard.sources) <= bool(section(name, "input"))
    functions = filter(inspect.isfunction, vars(importlib.import_module(f"bright_pipeline.{name}")).values())
    signatures = (inspect.signature(function).parameters for function in functions)
    command = next(parameters for parameters in signatures if {"settings", "log"} <= parameters.keys())
    given = {word.removeprefix("--").replace("-", "_") for word in arguments(shard)[1:] if word.startswith("--")}
    assert given - command.keys() == {"code"}
    assert {option for option, one in command.items() if one.default is one.empty} <= given | {"settings"}
    (log,) = re.findall(r'"(.*)"', section(name, "log"))
    first, last = (f"{number:06d}" for number in shard.span or (0, 0))
    known = {"name": shard.job.label, "digest": shard.job.digest, "model": "autoencoder", "first": first, "last": last}
    assert str(shard.log) == log.format(**known)


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
    monkeypatch.setattr("bright_pipeline.stages.tables._of_paper", lambda jobs, table: [])
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
