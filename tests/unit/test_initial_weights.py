"""A training from initial weights: its inputs, its digest, and weights that do not fit."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from documented import ROOT, blocks
from finished_plan import make, tiny_plan, tiny_values
from safetensors import safe_open
from safetensors.torch import load_file

from pipeline.base.errors import InputError
from pipeline.config.root import load_config
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder, write_codes
from pipeline.models.diffusion import Rescaling, build_unet, save_diffusion
from pipeline.plan.checks import obstacles
from pipeline.plan.run import unfinished
from pipeline.plan.shards import planned
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion
from pipeline.settings.weights import EXPORTED
from pipeline.stages.autoencoders import autoencoder
from pipeline.stages.common import Job, Jobs, path_of
from pipeline.stages.generation import diffusion
from pipeline.train_autoencoder import train_autoencoder
from pipeline.train_diffusion import train_diffusion


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_process: None) -> None:
    monkeypatch.chdir(tmp_path)


def plan(initial: Any, name: str = "main") -> Jobs:
    """The tiny run with an autoencoder and a diffusion model that start from other weights, in its tables."""
    values = tiny_values()
    if name != "main":
        for section in ("autoencoders", "diffusions"):
            values[section][name] = {"like": "main"}
    values["autoencoders"]["tuned"] = {"like": "main", "initial_weights": initial}
    values["diffusions"]["tuned"] = {"like": "main", "autoencoder": "tuned", "initial_weights": initial}
    values["samples"]["tuned"] = values["samples"]["main"] | {"diffusion": "tuned"}
    values["tables"]["table2"] = [*values["tables"]["table2"], "tuned"]
    values["tables"]["table5"]["rows"] = [*values["tables"]["table5"]["rows"], "tuned"]
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


def test_without_initial_weights_a_digest_does_not_change() -> None:
    (before, _), jobs = tuned(plan(None)), tiny_plan()
    assert before.digest == jobs(autoencoder, "main").digest
    assert "initial_weights" not in before.numerical["autoencoder"]


def test_an_imported_checkpoint_gives_initial_weights() -> None:
    values = tiny_values()
    vqgan = {"dataset": "tiny", "family": "vqgan", "code_size": "4x4x4"}
    values["autoencoders"]["released"] = vqgan | {"weights": {"kind": "ldm_vq", "path": "model.ckpt"}}
    values["autoencoders"]["tuned"] = vqgan | {"initial_weights": "released"}
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


def test_a_missing_file_stops_a_run_before_its_first_job() -> None:
    jobs = plan({"path": "nowhere"})
    lines = [line for line in obstacles(jobs, unfinished(jobs)) if "nowhere" in line]
    assert lines == [
        f"{key}s.tuned.initial_weights.path: nowhere/{EXPORTED[key]} does not exist; the run needs this file"
        for key in ("autoencoder", "diffusion")
    ]
    make(jobs(planned).values())
    jobs.store.forget()
    assert obstacles(jobs, unfinished(jobs)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_weights": "nobody"}, "autoencoders.main.initial_weights: 'nobody' is not under `autoencoders`"),
        ({"initial_weights": "main"}, "autoencoders.main.initial_weights: a cycle: main from main"),
        ({"initial_weights": "without-noise"}, "a cycle: main from without-noise from main"),
        ({"initial_weights": 3}, "autoencoders.main.initial_weights: "),
        (
            {"initial_weights": {}},
            "autoencoders.main.initial_weights: must be the name of another entry, or {path: FILE}",
        ),
        (
            {"initial_weights": "x", "weights": {"kind": "ldm_vq", "path": "x"}},
            "autoencoders.main.initial_weights: cannot be combined with weights",
        ),
    ],
)
def test_impossible_initial_weights_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    values = tiny_values()
    values["autoencoders"]["main"] |= changes
    values["autoencoders"]["without-noise"] = {"like": "main", "weights": None, "initial_weights": "main"}
    with pytest.raises(InputError) as error:
        tiny_plan(values)
    assert message in str(error.value) and "\n" not in str(error.value)


def outputs(folder: Path) -> dict[str, Path]:
    names = {"weights": "weights.safetensors", "history": "history.csv", "preview": "preview.png", "work": "work"}
    return {option: folder / name for option, name in names.items()}


def test_an_autoencoder_starts_from_the_weights_of_a_file_at_step_0(
    tmp_path: Path, tiny_images: Path, tiny_autoencoder: Any
) -> None:
    values = tiny_autoencoder(initial_weights="large", training={"images": 4, "learning_rate": 1e-30})
    settings, made = Autoencoder.model_validate(values), outputs(tmp_path / "made")
    large = Bright(settings, 32, 1)
    save_autoencoder(tmp_path / "large.safetensors", large, settings, 32, 1)
    job = json.dumps({"autoencoder": values, "seed": 1})
    train_autoencoder(job, images=tiny_images, initial=tmp_path / "large.safetensors", **made)
    # No step moves anything: weights and averages are the file's.
    assert same(large.state_dict(), load_file(made["weights"]))
    with made["history"].open(newline="") as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == [1]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are equal up to Adam's smallest step from zero."""
    return all(torch.allclose(tensor, other[name], rtol=0, atol=1e-20) for name, tensor in one.items())


def test_weights_files_do_not_contain_their_initial_weights(tmp_path: Path, tiny_autoencoder: Any) -> None:
    configs = []
    for number, initial in enumerate((None, "large")):
        settings = Autoencoder.model_validate(tiny_autoencoder(initial_weights=initial))
        save_autoencoder(tmp_path / f"{number}.safetensors", torch.nn.Linear(1, 1), settings, 32, 1)
        with safe_open(tmp_path / f"{number}.safetensors", framework="pt") as file:
            configs.append(file.metadata()["config"])
    assert configs[0] == configs[1]


def test_weights_of_another_shape_are_one_line_with_the_key_and_both_shapes(
    tmp_path: Path, tiny_images: Path, tiny_autoencoder: Any
) -> None:
    other = Autoencoder.model_validate(tiny_autoencoder(decoder={"style_width": 16}))
    save_autoencoder(tmp_path / "other.safetensors", Bright(other, 32, 1), other, 32, 1)
    job = {"autoencoder": tiny_autoencoder(initial_weights="other")}
    with pytest.raises(InputError) as error:
        train_autoencoder(
            json.dumps(job), images=tiny_images, initial=tmp_path / "other.safetensors", **outputs(tmp_path / "made")
        )
    line = str(error.value)
    assert line.startswith(f"initial_weights: {tmp_path}/other.safetensors: does not fit the settings: ")
    assert "decoder.mapping" in line or "style" in line
    assert "16x" in line and "8x" in line and "by the settings" in line and "\n" not in line
    with pytest.raises(InputError, match="--initial is missing"):
        train_autoencoder(json.dumps(job), images=tiny_images, **outputs(tmp_path / "made"))


def test_a_diffusion_model_starts_from_the_weights_of_a_file(
    tmp_path: Path, tiny_autoencoder: Any, tiny_diffusion: Any
) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    save_autoencoder(tmp_path / "autoencoder.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    write_codes(tmp_path / "codes.safetensors", torch.rand(10, 2, 4, 4))
    values = tiny_diffusion(initial_weights="large", training={"steps": 1, "learning_rate": 1e-30})
    model, size = Diffusion.model_validate(values), settings.code_size
    unet = build_unet(model.unet, size)
    save_diffusion(tmp_path / "large.safetensors", unet, model, size, Rescaling())
    train_diffusion(
        json.dumps({"diffusion": values}),
        codes=tmp_path / "codes.safetensors",
        autoencoder=tmp_path / "autoencoder.safetensors",
        initial=tmp_path / "large.safetensors",
        **outputs(tmp_path / "made"),
    )
    made = load_file(tmp_path / "made" / "weights.safetensors")
    assert same(unet.state_dict(), made)


def test_the_page_has_ten_lines_that_continue_a_larger_model_on_a_small_collection() -> None:
    whole, entries = blocks((ROOT / "docs" / "start-from-a-model.md").read_text(encoding="utf-8"), "yaml")
    assert len(whole.splitlines()) == 10
    jobs = Jobs(load_config(yaml.safe_load(whole)))
    assert [
        path_of(source)
        for job in (jobs(autoencoder, "main"), jobs(diffusion, "main"))
        for source in job.inputs["initial"]
    ] == ["/models/bright-ffhq/autoencoder.safetensors", "/models/bright-ffhq/unet/diffusion_pytorch_model.safetensors"]
    values = yaml.safe_load(whole) | yaml.safe_load(entries)
    values["datasets"]["ffhq"] = values["datasets"]["mine"]
    jobs = Jobs(load_config(values))
    assert jobs(autoencoder, "large") in jobs(autoencoder, "main").upstream
