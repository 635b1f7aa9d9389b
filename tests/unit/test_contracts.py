"""A stage has three files and one name: its rule, its contract, its command. They agree."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from finished_plan import tiny_plan, tiny_values, with_key

from pipeline.plan.arguments import arguments
from pipeline.plan.shards import Shard, planned, shards
from pipeline.stages import CONTRACTS, all_stages
from pipeline.stages.common import Job, Output, Stage

REPOSITORY = Path(__file__).parents[2]
HELPERS = {"common", "resources", "hooks"}
RULES = {
    file.stem: file for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")) if file.stem not in HELPERS
}
NOT_STAGES = {"publish", "page", "headline", "tables", "figures"}
"""Rules that name results, or copy them."""


def rules() -> dict[str, str]:
    """The text of each rule, by its name."""
    found = {}
    for file in RULES.values():
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            found[rule.partition(":")[0]] = rule
    return found


TEXTS = rules()


def section(rule: str, name: str) -> str:
    """The section `output:`, `params:` and so on of a rule."""
    found = re.search(rf"^    {name}:\n((?: {{8,}}.*\n)+)", TEXTS[rule], re.MULTILINE)
    return found[1] if found is not None else ""


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shard]]:
    """A shard of a job of each stage; where there is one, one that begins inside the files that it reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("jobs"))
        found = sorted((shard for job in every_stage() for shard in shards(job)), key=lambda shard: shard.starts_at)
        yield {shard.job.stage.name: shard for shard in found}


def every_stage() -> list[Job]:
    """Jobs of all stages that have some: of the tiny config, with a generator and an imported model."""
    values = with_key("evaluation.shard", 8)
    values["autoencoders"]["released"] = released(values["autoencoders"]["main"])
    values["generators"] = {"other": {"family": "ddpm", "dataset": "tiny", "unet": small_unet()}}
    values["samples"]["other"] = {"kind": "generator", "generator": "other", "count": 16, "shard": 16}
    values["tables"]["table5"]["rows"] += ["other"]
    values["tables"]["table2"] += ["released"]
    rates = {"autoencoders": ["without-noise"], "grid": {"learning_rate": [1e-3, 1e-2]}, "images": 8, "tuning": 8}
    values["studies"] = {"rates": rates}
    return list(tiny_plan(values)(planned).values())


def small_unet() -> dict[str, Any]:
    return {"channels": 16, "multipliers": [1, 1], "blocks": 1, "attention_resolutions": [2], "norm_groups": 4}


def released(main: dict[str, Any]) -> dict[str, Any]:
    """An autoencoder whose weights another program trained."""
    kept = {key: main[key] for key in ("dataset", "code_size")}
    return kept | {"family": "vqgan", "weights": {"kind": "ldm_vq", "path": "vqgan.ckpt"}}


def test_a_contract_module_for_each_file_of_rules() -> None:
    assert sorted(CONTRACTS) == sorted(RULES)
    assert {file.stem for file in (REPOSITORY / "pipeline" / "stages").glob("*.py")} == {
        *CONTRACTS,
        "__init__",
        "common",
        "store",
    }


@pytest.mark.parametrize("name", all_stages())
def test_a_stage_has_a_rule_in_the_file_of_its_contract_and_a_command(name: str) -> None:
    (contract,) = (contract for contract in CONTRACTS if name in own_stages(contract))
    assert re.search(rf"^rule {name}:$", RULES[contract].read_text(), re.MULTILINE)
    assert (REPOSITORY / "pipeline" / f"{name}.py").is_file()


def own_stages(contract: str) -> set[str]:
    """The stages that a contract module makes; those that it imports are another's."""
    text = (REPOSITORY / "pipeline" / "stages" / f"{contract}.py").read_text()
    return set(re.findall(r'^[A-Z_]+ = Stage\(\s*"(\w+)"', text, re.MULTILINE))


def test_no_rule_and_no_command_is_left_over() -> None:
    assert TEXTS.keys() - NOT_STAGES == all_stages().keys()
    assert {file.stem for file in (REPOSITORY / "pipeline").glob("*.py")} - {"__init__"} == all_stages().keys()


@pytest.mark.parametrize("stage", all_stages().values(), ids=all_stages())
def test_a_rule_takes_files_arguments_and_resources_from_its_contract(stage: Stage) -> None:
    if stage.name == "fetch_network":
        assert '"results/networks/{network}.safetensors"' in section(stage.name, "output")
        return
    text, command = TEXTS[stage.name], section(stage.name, "shell")
    assert re.search(rf'(\*\*|cached_)outputs\(\s*"{stage.name}"', section(stage.name, "output"))
    assert ("    cache: True\n" in text) <= ("cached_outputs" in text or len(stage.outputs) == 1)
    assert f" pipeline.{stage.name} {{params.arguments}}" in command and "{input" not in command
    assert ("    localrule: True\n" in text) == stage.local
    assert ("        gpu=gpus,\n" in text) == stage.gpu
    assert ("    threads: cores\n" in text) == (stage.gpu and stage.name != "measure_decoding")
    assert ("        **across_nodes,\n" in text) == ("{params.processes}" in command) == stage.is_training
    assert ("        mem_mb=memory,\n" in text) == (not stage.local)


@pytest.mark.parametrize("name", sorted(all_stages().keys() - {"fetch_network"}))
def test_a_rule_has_inputs_and_a_command_takes_all_arguments_of_its_jobs(
    name: str, one_of_each: dict[str, Shard]
) -> None:
    shard = one_of_each[name]
    assert bool(section(name, "input")) == any(
        isinstance(one, Output) for some in shard.inputs.values() for one in some
    )
    parameters = command_of(name)
    given = {word.removeprefix("--").replace("-", "_") for word in arguments(shard)[1:] if word.startswith("--")}
    assert given - parameters.keys() == {"code"}
    required = {option for option, one in parameters.items() if one.default is one.empty}
    assert required <= given | {"settings"}


def command_of(stage: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a stage's command."""
    functions = filter(inspect.isfunction, vars(importlib.import_module(f"pipeline.{stage}")).values())
    signatures = (inspect.signature(function).parameters for function in functions)
    return next(parameters for parameters in signatures if "settings" in parameters and "log" in parameters)


@pytest.mark.parametrize("name", sorted(all_stages().keys() - {"fetch_network"}))
def test_a_rules_log_is_where_its_shard_looks_for_it(name: str, one_of_each: dict[str, Shard]) -> None:
    (log,) = re.findall(r'"(.*)"', section(name, "log"))
    shard = one_of_each[name]
    span = {} if shard.span is None else dict(zip(("first", "last"), (f"{n:06d}" for n in shard.span), strict=True))
    known = span | {"name": shard.job.label, "digest": shard.job.digest, "model": "autoencoder"}
    assert str(shard.log) == log.format(**known)


def test_every_stage_has_jobs_but_the_one_that_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of this module cover every stage."""
    monkeypatch.chdir(tmp_path)
    made = {job.stage.name for job in tiny_plan(tiny_values())(planned).values()}
    assert all_stages().keys() - made == {"train_generator", "import_weights", "fetch_network", "make_study"}
    assert all_stages().keys() - {job.stage.name for job in every_stage()} == {"fetch_network"}
