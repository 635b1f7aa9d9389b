"""A stage stands in three places of one name: its rule, its contract, its command. They say the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finished_plan import tiny_plan, tiny_values, with_key

from pipeline.plan.arguments import arguments
from pipeline.plan.shards import Shard, planned, shards
from pipeline.stages import CONTRACTS, all_stages
from pipeline.stages.common import Job, Stage

REPOSITORY = Path(__file__).parents[2]
RULES = {file.stem: file for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")) if file.stem != "common"}
NOT_STAGES = {"publish", "page", "headline", "tables", "figures"}
"""Rules that name results, or copy them."""

BY_THE_WORKFLOW = {"--code", "--log", "--workers"}
"""Options that a rule adds: the code that was planned with, where log lines go, this machine's cores."""


def rules() -> dict[str, str]:
    """The text of each rule, by its name."""
    found = {}
    for file in RULES.values():
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            found[rule.partition(":")[0]] = rule
    return found


TEXTS = rules()


def section(rule: str, name: str) -> str:
    """What stands under `output:`, `params:` and the like in a rule."""
    found = re.search(rf"^    {name}:\n((?: {{8,}}.*\n)+)", TEXTS[rule], re.MULTILINE)
    return found[1] if found is not None else ""


def declared(rule: str) -> dict[str, str]:
    """The outputs of a rule by name; one without a name has the empty one."""
    block = section(rule, "output")
    found = re.findall(r'(?:(\w+)=)?(?:report\(\s*)?"([^"]*)"', block)
    if "multiext(" in block:
        (_, prefix), *rest = found
        return {name: prefix + suffix for name, suffix in rest}
    return {name: text for name, text in found if text.startswith("results/")}


def shell(rule: str) -> str:
    """The command of a rule's stage, without the launcher before it."""
    lines = "".join(re.findall(r'^        "(.*)"$', section(rule, "shell"), re.MULTILINE))
    _, command, rest = lines.partition(f" pipeline.{rule} ")
    assert command, rule
    return rest


def options_of_params(rule: str, job: Job) -> dict[str, set[str]]:
    """The options that stand behind `{params.X}`: those of the inputs that a job has."""
    found = {}
    for param, call in re.findall(r"(\w+)=options\(([^)]*)\)", section(rule, "params")):
        found[param] = {f"--{name.replace('_', '-')}" for name in re.findall(r'"(\w+)"', call) if name in job.inputs}
    return found


def options(words: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", words))


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
        "captions",
        "common",
        "shelf",
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
def test_a_rule_declares_its_contracts_outputs_in_its_folder(stage: Stage) -> None:
    if stage.name == "fetch_network":
        assert declared(stage.name) == {"": "results/networks/{network}.safetensors"}
        return
    places = {name: Path(text) for name, text in declared(stage.name).items()}
    for place in places.values():
        assert place.parent.parent == Path("results/store") / stage.folder
        assert re.fullmatch(r"\{\w+\}-\{digest\}", place.parent.name)
    files = {name: place.name for name, place in places.items()}
    if stage.name in ("import_weights", "take_snapshot"):
        assert files == {"": "{model}.safetensors"}
    elif stage.part is not None:
        option, suffix = stage.part
        assert files == {"": f"{option}-{{first}}-{{last}}{suffix}"}
    elif "" in files:
        assert list(files.values()) == list(stage.outputs.values())
    else:
        assert files == stage.outputs


@pytest.mark.parametrize("stage", all_stages().values(), ids=all_stages())
def test_where_and_on_what_a_rule_runs_is_its_contracts_word(stage: Stage) -> None:
    text = TEXTS[stage.name]
    assert ("    localrule: True\n" in text) == stage.local
    assert (f'gpu=gpus("{stage.name}")' in text) == stage.gpu
    assert (f'threads: cores("{stage.name}")' in text) == (stage.gpu and stage.name != "measure_decoding")
    assert (f'**across_nodes("{stage.name}")' in text) == stage.is_training
    assert (f'mem_mb=memory("{stage.name}")' in text) == (not stage.local)
    assert (f'work=work("{stage.name}")' in text) == stage.is_training
    assert (" --work {params.work:q}" in text) == stage.is_training


@pytest.mark.parametrize("name", all_stages())
def test_a_rule_asks_for_what_is_its_own(name: str) -> None:
    asked = re.findall(
        r'\b(?:upstream|settings|code|entry|gpus|across_nodes|memory|cores|work|named)\("(\w+)"\)', TEXTS[name]
    )
    assert set(asked) == ({name} if name != "fetch_network" else set())


@pytest.mark.parametrize("name", sorted(all_stages().keys() - {"fetch_network"}))
def test_a_rules_command_is_the_one_by_hand(name: str, one_of_each: dict[str, Shard]) -> None:
    shard, command = one_of_each[name], shell(name)
    assert command.startswith("{params.settings:q} --code {params.code:q}")
    told = options(command) - BY_THE_WORKFLOW
    for param, found in options_of_params(name, shard.job).items():
        assert f"{{params.{param}}}" in command
        told |= found
    by_hand = arguments(shard)
    assert told == {word for word in by_hand if word.startswith("--")}
    named = re.findall(r"(\w+)=named\(", section(name, "params"))
    assert bool(named) == bool(shard.job.names)
    assert all(f" {{params.{param}}}" in command for param in named)


@pytest.mark.parametrize("stage", all_stages().values(), ids=all_stages())
def test_each_output_has_its_contracts_option(stage: Stage) -> None:
    alone = "" in declared(stage.name)
    options = {**stage.outputs, **({stage.part[0]: ""} if stage.part else {})} or {
        "output" if stage.name == "fetch_network" else "weights": ""
    }
    for option in options:
        given = "{output:q}" if alone else f"{{output.{option}:q}}"
        assert f"--{option.replace('_', '-')} {given}" in shell(stage.name)


@pytest.mark.parametrize("name", sorted(all_stages().keys() - {"fetch_network"}))
def test_a_rules_log_is_where_its_shard_looks_for_it(name: str, one_of_each: dict[str, Shard]) -> None:
    (log,) = re.findall(r'"(.*)"', section(name, "log"))
    shard = one_of_each[name]
    span = {} if shard.span is None else dict(zip(("first", "last"), (f"{n:06d}" for n in shard.span), strict=True))
    known = span | {"digest": shard.job.digest, "model": "autoencoder"}
    filled = re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], shard.job.label), log)
    assert str(shard.log) == filled


def test_every_stage_has_jobs_but_the_one_that_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is asked of one of each here is asked of all."""
    monkeypatch.chdir(tmp_path)
    made = {job.stage.name for job in tiny_plan(tiny_values())(planned).values()}
    assert all_stages().keys() - made == {"train_generator", "import_weights", "fetch_network", "make_study"}
    assert all_stages().keys() - {job.stage.name for job in every_stage()} == {"fetch_network"}
