"""Weights of other models in a plan: initial weights of a training, and another program's checkpoint."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.fingerprint import Fingerprints, missing_files
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.run import unfinished
from bright_pipeline.engine.shards import view
from bright_pipeline.estimation.devices import choose_device
from bright_pipeline.estimation.prices import job_prices
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder, write_codes
from bright_pipeline.models.diffusion import Rescaling, build_unet, save_diffusion
from bright_pipeline.plan.checks import obstacles
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.settings.weights import EXPORTED, ForeignWeights
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.generation import diffusion, samples
from bright_pipeline.stages.measurements import codes
from bright_pipeline.stages.tables import tables
from bright_pipeline.train_autoencoder import train_autoencoder
from bright_pipeline.train_diffusion import train_diffusion
from documented import ROOT, blocks
from finished_plan import make, tiny_plan, tiny_values
from safetensors.torch import load_file

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture(autouse=True)
def checkpoint_file(own_folder: Path) -> None:
    Path("model.ckpt").write_bytes(b"weights")


def plan(initial: Any, name: str = "main") -> Jobs:
    """The tiny run with an autoencoder and a diffusion model that start from other weights, in its tables."""
    values = tiny_values()
    if name != "main":
        for section in ("autoencoders", "diffusions"):
            values[section][name] = {"like": "main"}
    own = {"like": "main", "initial_weights": initial}
    return plan_with(values, "tuned", own, own)


def plan_with(values: dict[str, Any], name: str, autoencoder: dict[str, Any], diffusion: dict[str, Any]) -> Jobs:
    """The plan of a config with an autoencoder and a diffusion model on its codes more, in its tables."""
    values["autoencoders"][name] = autoencoder
    values["diffusions"][name] = diffusion | {"autoencoder": name}
    values["samples"][name] = values["samples"]["main"] | {"diffusion": name}
    for rows in (values["tables"]["table2"], values["tables"]["table5"]["rows"]):
        rows.append(name)
    return tiny_plan(values)


def tuned(jobs: Jobs) -> tuple[Job, Job]:
    return jobs(autoencoder, "tuned"), jobs(diffusion, "tuned")


def test_it_waits_for_the_other_entrys_training_whatever_its_name() -> None:
    jobs = plan("main")
    for job, other in zip(tuned(jobs), (jobs(autoencoder, "main"), jobs(diffusion, "main")), strict=True):
        assert other in job.upstream
        assert job.digest != other.digest
        assert job in jobs(planned).values()
    assert [job.digest for job in tuned(plan("main"))] == [job.digest for job in tuned(plan("large", "large"))]
    without = tuned(plan(None))[0]
    assert without.digest == jobs(autoencoder, "main").digest
    assert "initial_weights" not in without.numerical["autoencoder"]


def test_an_imported_checkpoint_gives_initial_weights() -> None:
    values = tiny_values()
    values["autoencoders"] |= {"released": VQGAN, "tuned": VQGAN | {"weights": None, "initial_weights": "released"}}
    (imported,) = (job for job in tiny_plan(values)(autoencoder, "tuned").upstream if job.folder.parts[2] == "imports")
    assert imported.entry == "autoencoders.released"


def test_the_content_of_a_file_changes_the_digest_and_its_path_does_not() -> None:
    for folder in ("a", "b"):
        Path(folder, "unet").mkdir(parents=True)
        for model_type in ("autoencoder", "diffusion"):
            Path(folder, EXPORTED[model_type]).write_bytes(b"weights")
    before = [job.digest for job in tuned(plan({"path": "a"}))]
    assert before == [job.digest for job in tuned(plan({"path": "b"}))]
    assert before[0] == plan({"path": "a/autoencoder.safetensors"})(autoencoder, "tuned").digest
    assert before != [job.digest for job in tuned(plan("main"))]
    Path("a/autoencoder.safetensors").write_bytes(b"others!")
    assert plan({"path": "a"})(autoencoder, "tuned").digest != before[0]


@pytest.mark.parametrize("key", ["initial_weights", "weights"])
def test_a_missing_file_stops_a_run_before_its_first_job_and_no_dry_run(key: str) -> None:
    Path("model.ckpt").unlink()
    jobs, name = (plan({"path": "."}), "tuned") if key == "initial_weights" else (ldm_plan(), "ldm")
    told = [line for line in obstacles(jobs, unfinished(jobs)) if f"{name}.{key}" in line]
    assert [line.split(": ")[0] for line in told] == [
        f"{model}s.{name}.{key}.path" for model in ("autoencoder", "diffusion")
    ]
    make(jobs(planned).values())
    jobs.store.forget()
    assert obstacles(jobs, unfinished(jobs)) == []


def test_a_decoder_stage_reuses_codes_and_diffusion_model() -> None:
    values = tiny_values()
    values["autoencoders"]["stage"] = {"like": "main", "initial_weights": "main", "decoder_stage": {"noise": 0.2}}
    values["samples"]["stage"] = {**values["samples"]["main"], "decoder": "stage"}
    values["tables"]["table2"].append("stage")
    jobs = tiny_plan(values)
    assert jobs(codes, "stage").key == jobs(codes, "main").key
    made = jobs(samples, "stage")
    needed = {job.key for job in made.upstream}
    assert needed == {jobs(diffusion, "main").key, jobs(autoencoder, "stage").key}
    assert made.digest != jobs(samples, "main").digest
    assert jobs(autoencoder, "main") in jobs(autoencoder, "stage").upstream


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are equal up to Adam's smallest step from zero."""
    return all(torch.allclose(tensor, other[name], rtol=0, atol=1e-20) for name, tensor in one.items())


def outputs(folder: Path) -> dict[str, Path]:
    names = ("weights.safetensors", "history.csv", "preview.png", "work")
    return {name.partition(".")[0]: folder / name for name in names}


def test_trainings_start_from_the_weights_of_a_file_at_step_0(tmp_path, tiny_images, tiny_autoencoder, tiny_diffusion):
    """No step moves anything: weights and averages are the file's."""
    values = tiny_autoencoder(initial_weights="large", training={"images": 4, "learning_rate": 1e-30})
    settings, made = Autoencoder.model_validate(values), outputs(tmp_path / "made")
    autoencoder, codes = tmp_path / "autoencoder.safetensors", tmp_path / "codes.safetensors"
    large = Bright(settings, 32, 1)
    save_autoencoder(autoencoder, large, settings, 32, 1)
    job = json.dumps({"autoencoder": values, "seed": 1})
    train_autoencoder(job, images=tiny_images, initial=autoencoder, **made)
    assert same(large.state_dict(), load_file(made["weights"]))
    with made["history"].open(newline="") as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == [1]

    write_codes(codes, torch.rand(10, 2, 4, 4))
    values = tiny_diffusion(initial_weights="large", training={"steps": 1, "learning_rate": 1e-30})
    model, size = Diffusion.model_validate(values), settings.code_size
    unet, initial = build_unet(model.unet, size), tmp_path / "unet.safetensors"
    save_diffusion(initial, unet, model, size, Rescaling())
    made = outputs(tmp_path / "diffusion")
    train_diffusion(json.dumps({"diffusion": values}), codes=codes, autoencoder=autoencoder, initial=initial, **made)
    assert same(unet.state_dict(), load_file(made["weights"]))


def test_weights_of_another_shape_are_one_line_with_the_key_and_both_shapes(tmp_path, tiny_images, tiny_autoencoder):
    other, initial = Autoencoder.model_validate(tiny_autoencoder(decoder={"style_width": 16})), tmp_path / "other"
    save_autoencoder(initial, Bright(other, 32, 1), other, 32, 1)
    job = json.dumps({"autoencoder": tiny_autoencoder(initial_weights="other")})
    fits = rf"^initial_weights: {initial}: does not fit the settings: .*(16x.* 8x|8x.* 16x)[^\n]*$"
    for given, message in (({"initial": initial}, fits), ({}, "--initial is missing")):
        with pytest.raises(InputError, match=message):
            train_autoencoder(job, images=tiny_images, **given, **outputs(tmp_path / "made"))


def test_the_configs_of_the_page_start_from_a_folder_and_from_another_entry() -> None:
    page = (ROOT / "docs" / "start-from-a-model.md").read_text()
    whole, entries, stage = map(yaml.safe_load, blocks(page, "yaml"))
    (initial,) = tiny_plan(whole)(diffusion, "main").inputs["initial"]
    assert path_of(initial) == "/models/bright-ffhq/unet/diffusion_pytorch_model.safetensors"
    whole |= entries
    whole["datasets"]["ffhq"] = whole["datasets"]["mine"]
    jobs = tiny_plan(whole)
    assert jobs(autoencoder, "large") in jobs(autoencoder, "main").upstream
    jobs = tiny_plan(whole | stage)
    assert jobs(autoencoder, "main") in jobs(autoencoder, "main-decoder").upstream


VQGAN: dict[str, Any] = {
    "dataset": "tiny",
    "family": "vqgan",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 1, 1], "blocks": 1},
    "weights": {"kind": "ldm_vq", "path": "model.ckpt"},
}


def ldm_plan(**changes: Any) -> Jobs:
    """The tiny run with an LDM of another program in its tables, too."""
    values = tiny_values()
    diffusion = values["diffusions"]["main"] | {"weights": {"kind": "ldm", "path": "model.ckpt"}}
    return plan_with(values, "ldm", VQGAN | changes, diffusion)


def imports(of: Jobs) -> dict[str, Any]:
    return {job.files[0]: job for job in of(planned).values() if job.stage.name == "import_weights"}


def test_a_checkpoint_is_imported_and_nothing_is_trained_for_it():
    with_ldm, without = ldm_plan(), tiny_plan()
    assert set(imports(with_ldm)) == {"autoencoder.safetensors", "diffusion.safetensors"}
    trained = [{key for key in one(planned) if key[0].startswith("train")} for one in (with_ldm, without)]
    assert trained[0] == trained[1]
    made = with_ldm(samples, "ldm")
    for model in ("autoencoder", "diffusion"):
        assert path_of(made.inputs[model][0]) == imports(with_ldm)[f"{model}.safetensors"].outputs[0]
    assert not any("ldm" in file for file in with_ldm(view) if "/histories/" in file)
    names = [name for job in with_ldm(figures).values() for name in job.names if name.startswith("history:")]
    assert names and "history:ldm" not in names
    prices = job_prices(with_ldm, choose_device("a100", None))
    imported = [one for one in prices if one.shard.job in imports(with_ldm).values()]
    assert [(one.costs, one.gpus) for one in imported] == [((), 0)] * 2


def test_keys_of_a_training_do_not_change_the_digest_of_an_import():
    before = imports(ldm_plan())["autoencoder.safetensors"].digest
    assert imports(ldm_plan(training={"batch": 4}))["autoencoder.safetensors"].digest == before
    assert imports(ldm_plan(codebook={"entries": 8}))["autoencoder.safetensors"].digest != before


def test_an_imported_ldm_is_the_papers_row_of_the_released_checkpoint():
    found = ldm_plan()
    evaluations = [job for job in found(planned).values() if job.stage.name == "score_features"]
    methods = {job.settings["method"] for job in evaluations if job.settings["sample_kind"] == "diffusion"}
    assert methods == {"BRIGHT (LDM)", "LDM*"}
    assert "LDM* (codes of VQGAN)" in [row.get("label") for row in found(tables)["table5"].settings["rows"]]


def checkpoint(path: str, kind: str = "taming_vqgan") -> tuple[dict[str, Any], str | None]:
    """The facts in a run, which stores them, and the line of what is missing."""
    fingerprints, weights = Fingerprints(), ForeignWeights(kind=kind, path=path)
    facts = fingerprints.checkpoint(weights, "entry")
    fingerprints.keep()
    return facts, missing_files(weights, "entry")


def test_a_checkpoint_is_known_by_its_content() -> None:
    Path("elsewhere").mkdir()
    for path, content in (("a.ckpt", b"weights"), ("elsewhere/b.ckpt", b"weights"), ("c.ckpt", b"others!")):
        Path(path).write_bytes(content)
    os.utime("a.ckpt", (1, 1))
    before, missing = checkpoint("a.ckpt")
    assert missing is None
    assert before["sha256"] == checkpoint("elsewhere/b.ckpt")[0]["sha256"] != checkpoint("c.ckpt")[0]["sha256"]
    Path("a.ckpt").write_bytes(b"WEIGHTS")
    after, _ = checkpoint("a.ckpt")
    assert after["sha256"] != before["sha256"]
    Path("a.ckpt").unlink()
    assert checkpoint("a.ckpt") == (after, "entry.path: a.ckpt does not exist; the run needs this taming_vqgan")
    assert checkpoint("never.ckpt")[0] == {"absent": "never.ckpt"}


def test_a_folder_checkpoint_is_all_of_its_files() -> None:
    Path("ddpm").mkdir()
    Path("ddpm/unet.bin").write_bytes(b"weights")
    before, _ = checkpoint("ddpm", "diffusers_ddpm")
    Path("ddpm/unet.bin").rename("ddpm/other.bin")
    renamed, _ = checkpoint("ddpm", "diffusers_ddpm")
    assert renamed["sha256"] != before["sha256"]
    for lose in (lambda path: path.write_bytes(b""), Path.unlink):
        lose(Path("ddpm/other.bin"))
        assert checkpoint("ddpm", "diffusers_ddpm") == (renamed, "entry.path: ddpm contains no readable checkpoint")
