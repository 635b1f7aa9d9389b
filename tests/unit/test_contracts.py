"""A stage has three files and one name: its rule, its contract, its command. They agree."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from finished_plan import tiny_plan, tiny_values, with_key

from pipeline.plan.arguments import arguments
from pipeline.plan.shards import Shard, planned, shards
from pipeline.stages import CONTRACTS, all_stages
from pipeline.stages.common import Job, Output, Stage

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
    values["samples"]["other"] = {"kind": "generator", "generator": "other", "count": 16, "shard": 16}
    values["tables"]["table5"]["rows"] += ["other"]
    values["tables"]["table2"] += ["released"]
    rates = {"autoencoders": ["without-noise"], "grid": {"learning_rate": [1e-3, 1e-2]}, "images": 8, "tuning": 8}
    values["studies"] = {"rates": rates}
    return list(tiny_plan(values)(planned).values())


def test_every_stage_has_a_contract_a_rule_and_a_command_and_there_are_no_others() -> None:
    assert FILES.keys() - {"common", "resources", "hooks"} == set(CONTRACTS)
    contracts = {file.stem for file in (REPOSITORY / "pipeline" / "stages").glob("*.py")}
    assert contracts == {*CONTRACTS, "__init__", "accepted", "common", "store"}
    assert RULES.keys() - {"publish", "page", "headline", "tables", "figures"} == all_stages().keys()
    assert {file.stem for file in (REPOSITORY / "pipeline").glob("*.py")} - {"__init__"} == all_stages().keys()
    for name in all_stages():
        contract = (REPOSITORY / "pipeline" / "stages" / f"{RULES[name][0]}.py").read_text()
        assert re.search(rf'^[A-Z_]+ = Stage\(\s*"{name}"', contract, re.MULTILINE), f"{name}: the file of its rule"


@pytest.mark.parametrize("stage", WITH_JOBS, ids=lambda stage: stage.name)
def test_a_rule_takes_files_arguments_and_resources_from_its_contract(stage: Stage) -> None:
    text, command = RULES[stage.name][1], section(stage.name, "shell").replace("{rule}", stage.name)
    assert re.search(rf'(\*\*|cached_)outputs\(\s*"{stage.name}"', section(stage.name, "output"))
    assert ("    cache: True\n" in text) <= ("cached_outputs" in text or len(stage.outputs) == 1)
    assert f" pipeline.{stage.name} {{params.arguments}}" in command and "{input" not in command
    assert ("    localrule: True\n" in text) == stage.local
    assert ("        gpu=gpus,\n" in text) == stage.gpu
    assert ("    threads: cores\n" in text) == (stage.gpu and stage.name != "measure_decoding")
    assert ("        **across_nodes,\n" in text) == ("{params.processes}" in command) == stage.is_training
    assert ("        mem_mb=memory,\n" in text) == (not stage.local)


@pytest.mark.parametrize("name", [stage.name for stage in WITH_JOBS])
def test_a_rule_and_a_command_fit_the_jobs_of_the_stage(name: str, one_of_each: dict[str, Shard]) -> None:
    shard = one_of_each[name]
    assert any(isinstance(source, Output) for source in shard.sources) <= bool(section(name, "input"))
    functions = filter(inspect.isfunction, vars(importlib.import_module(f"pipeline.{name}")).values())
    signatures = (inspect.signature(function).parameters for function in functions)
    command = next(parameters for parameters in signatures if {"settings", "log"} <= parameters.keys())
    given = {word.removeprefix("--").replace("-", "_") for word in arguments(shard)[1:] if word.startswith("--")}
    assert given - command.keys() == {"code"}
    assert {option for option, one in command.items() if one.default is one.empty} <= given | {"settings"}
    (log,) = re.findall(r'"(.*)"', section(name, "log"))
    first, last = (f"{number:06d}" for number in shard.span or (0, 0))
    known = {"name": shard.job.label, "digest": shard.job.digest, "model": "autoencoder", "first": first, "last": last}
    assert str(shard.log) == log.format(**known)


def test_these_configs_have_jobs_of_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = {job.stage.name for job in tiny_plan(tiny_values())(planned).values()}
    assert all_stages().keys() - made == {"train_generator", "import_weights", "fetch_network", "make_study"}
    assert {job.stage.name for job in every_stage()} == {stage.name for stage in WITH_JOBS}
