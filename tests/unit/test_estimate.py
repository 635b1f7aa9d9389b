"""Estimates: operations against the real training step, formulas of sizes, records, devices."""

import json
import re
from pathlib import Path

import pytest
from accelerate import Accelerator
from finished_plan import finish, tiny_plan, tiny_values
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pipeline.base.errors import InputError
from pipeline.commands.estimate import make_estimate
from pipeline.config.autoencoder import Autoencoder
from pipeline.config.dataset import Dataset
from pipeline.config.diffusion import UNet
from pipeline.config.fields import CodeSize
from pipeline.estimation.costs import Costs
from pipeline.estimation.devices import DEVICES, choose_device
from pipeline.estimation.families import autoencoder_work
from pipeline.estimation.images import image_counts
from pipeline.estimation.operations import AutoencoderWork, UNetWork, Work, embedding_width, feature_work
from pipeline.estimation.report import facts, text
from pipeline.estimation.tasks import GPU_STAGES, Estimator, Task
from pipeline.families import autoencoder_family, load
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder
from pipeline.models.complexity import counts, retrieval_count
from pipeline.training.autoencoder import AutoencoderTask
from pipeline.training.images import TrainingImages

ROOT = Path(__file__).parents[2]
CPU = choose_device("cpu", None)


class Counter(TorchDispatchMode):
    """Adds up torch's own count of every operation."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("kind", ["wgan_gp", "logistic_r1", "none"])
def test_a_training_steps_operations_are_those_of_the_real_step(kind, tiny_autoencoder, tiny_images) -> None:
    adversarial = {"kind": kind, "start_images": 4, "critic_only_images": 4}
    settings = Autoencoder.model_validate(tiny_autoencoder(losses={"adversarial": adversarial}))
    task = AutoencoderTask(settings, TrainingImages(tiny_images), None, 0, Accelerator(cpu=True))
    task.start(0)
    work = AutoencoderWork(settings, 32, 1)
    for step, phase in enumerate(("off", "critic only", "on")):
        with Counter() as counter:
            task.step(step)
        retrieval = 3 * 2 * retrieval_count(settings)  # of reading tables, torch counts the keys' gradient alone
        assert 0 <= counter.total / task.batch - (work.training(phase).total - retrieval) <= retrieval


def test_decoding_is_what_the_tables_count(tiny_autoencoder) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    expected = 2e9 * counts(settings, 32, 1)["gmacs"]["true"]
    assert AutoencoderWork(settings, 32, 1).decoding().total == pytest.approx(expected)


def test_a_unets_training_is_about_three_times_its_forward_pass() -> None:
    work = UNetWork(UNet(channels=32, multipliers=[1, 2], attention_resolutions=[8]), CodeSize(16, 16, 4))
    assert 2.8 < work.training().total / work.denoising().total < 3.05


def test_metric_networks_cost_what_their_papers_say() -> None:
    # GMACs: Inception v3 5.7 (torchvision), VGG16 15.5, ViT-B/32 4.4, EfficientNet-Lite0 0.41 at 224 px.
    for space, giga in (("inception_clean", 5.7), ("vgg16", 15.5), ("clip", 4.4), ("efficientnet_lite0", 0.41 / 4)):
        assert feature_work(space).total / 2e9 == pytest.approx(giga, rel=0.2)


def test_an_embedding_has_the_numbers_that_the_neighbours_page_says() -> None:
    assert (embedding_width(32), embedding_width(256)) == (5_760, 640_128)


def test_a_weights_file_has_the_estimated_size(tiny_autoencoder, tmp_path) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder(feature_channels=64, decoder={"channels": [64, 64, 64]}))
    save_autoencoder(tmp_path / "model.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    estimated = 4 * AutoencoderWork(settings, 32, 1).trainable
    assert (tmp_path / "model.safetensors").stat().st_size == pytest.approx(estimated, rel=0.05)


def test_devices_are_found_by_the_drivers_name_and_unknown_ones_need_a_rate() -> None:
    assert choose_device("NVIDIA A100-SXM4-80GB", None).name == "a100"
    with pytest.raises(InputError, match=r"--device: 'Abacus' is not in the table.*--tflops"):
        choose_device("Abacus", None)
    work = Work(convolutions=3e12, products=1e12)
    assert choose_device("Abacus", 2.0).seconds(work) == 2.0
    assert (
        DEVICES["a100"].seconds(work, "bf16")
        < DEVICES["a100"].seconds(work)
        < DEVICES["a100"].seconds(work, tf32=False)
    )


def test_images_are_counted_from_the_manifest_the_collection_the_config_or_assumed(tmp_path) -> None:
    values = {"source": {"kind": "folder", "path": "/nowhere"}, "split": {"rule": "last", "validation": 1000}}
    manifest = tmp_path / "manifest.json"

    def found(fingerprint=None, **changes):
        one = image_counts("x", Dataset.model_validate(values | changes), fingerprint or {}, manifest)
        return one.train, one.validation, one.known_from.partition(",")[0]

    assert found({"images": {"all": 9000}}) == (8000, 1000, "raw images")
    assert found({"images": {"all": 9000}}, limit=1500) == (500, 1000, "raw images")
    assert found() == (10_000, 1000, "assumed")
    assert found(expected={"train": 7, "validation": 2}) == (7, 2, "datasets.x.expected")
    manifest.write_text(json.dumps({"train": {"count": 5}, "validation": {"count": 3}}))
    assert found({"images": {"all": 9000}}) == (5, 3, "prepared")


def test_stages_on_a_gpu_are_those_whose_rules_ask_for_one() -> None:
    asking = set()
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in path.read_text(encoding="utf-8").split("\nrule ")[1:]:
            if re.search(r"^ +gpu=", rule, re.MULTILINE):
                asking.add(rule.partition(":")[0])
    assert asking == set(GPU_STAGES)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tiny_plan()


def tasks_of(plan, stage: str) -> list[Task]:
    return [task for task in Estimator(plan, CPU).tasks() if task.job.stage == stage]


def test_every_job_and_every_shard_is_a_task(plan) -> None:
    tasks = Estimator(plan, CPU).tasks()
    assert len(tasks) == sum(max(1, len(job.files)) for job in plan.jobs.values())
    assert all(task.seconds > 0 and task.share_left == 1 and task.basis == "estimated" for task in tasks)
    outputs = [output for task in tasks for output in task.outputs]
    assert sorted(outputs) == sorted(output for job in plan.jobs.values() for output in job.outputs)


def benchmark(task: Task, seconds: float) -> None:
    path = Path(f"results/records/{task.log_name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"state": "done", "seconds": seconds, "device": "cpu"}))


def test_a_finished_shards_benchmark_is_measured_and_tells_of_the_other_shard(plan) -> None:
    first, second = (task for task in tasks_of(plan, "generate") if task.job.label == "diffusion")
    benchmark(first, 77.0)
    assert all(task.basis == "estimated" for task in tasks_of(plan, "generate"))  # of a shard that is not there
    Path(first.outputs[0]).parent.mkdir(parents=True)
    Path(first.outputs[0]).write_bytes(b"")
    found = {task.log_name: task for task in tasks_of(plan, "generate")}
    assert (found[first.log_name].seconds, found[first.log_name].basis) == (77.0, "measured")
    assert (found[second.log_name].seconds, found[second.log_name].basis) == (pytest.approx(77.0), "extrapolated")
    assert (found[first.log_name].seconds_left, found[second.log_name].seconds_left) == (0, pytest.approx(77.0))


def test_a_half_trained_model_needs_the_other_half(plan) -> None:
    job = plan.diffusion("main")
    job.work.mkdir(parents=True)
    (job.work / "history.csv").write_text("step,images,seconds,loss\n1,8,20,1\n3,24,60,1\n")  # of 6 steps
    (task,) = tasks_of(plan, "train_diffusion")
    assert (task.seconds, task.seconds_left, task.basis) == (120, 60, "extrapolated")


def test_records_of_another_device_do_not_count(plan) -> None:
    job = plan.diffusion("main")
    job.work.mkdir(parents=True)
    (job.work / "history.csv").write_text("step,images,seconds,loss\n3,24,60,1\n")
    record = Path(f"results/records/train_diffusion-{job.name}.json")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"state": "interrupted", "seconds": 60, "device": "NVIDIA A100-SXM4-80GB"}))
    on_gpu = [task for task in Estimator(plan, DEVICES["a100"]).tasks() if task.job.stage == "train_diffusion"]
    assert [task.basis for task in on_gpu] == ["extrapolated"]
    assert [task.basis for task in tasks_of(plan, "train_diffusion")] == ["estimated"]


def test_what_is_missing_and_the_whole(plan) -> None:
    before = facts(make_estimate(plan, "tiny.yaml", CPU, 1, 2))
    assert before["total"]["cpu_s"]["missing"] == before["total"]["cpu_s"]["whole"] > 0
    finish(plan)
    (Path(plan.dataset("tiny").path("manifest.json"))).write_text('{"train": {"count": 1}, "validation": {"count": 1}}')
    after = make_estimate(plan, "tiny.yaml", CPU, 1, 2)
    assert facts(after)["total"]["cpu_s"]["missing"] == facts(after)["wall_s"]["missing"] == 0
    assert facts(after)["wall_s"]["whole"] > 0
    assert "Nothing is missing" in text(after)


def family_plan(tmp_path, monkeypatch, family="vqgan"):
    """The tiny config with an autoencoder of another family and generators on pixels."""
    monkeypatch.chdir(tmp_path)
    values = tiny_values()
    values["autoencoders"]["other"] = {
        "family": family,
        "dataset": "tiny",
        "code_size": "4x4x2",
        "network": {"channels": 32, "multipliers": [1, 1, 1, 1], "blocks": 1, "attention_resolutions": []},
        "training": {"images": 48, "batch": 8},
    }
    unet = {"channels": 32, "multipliers": [1, 1], "blocks": 1, "attention_resolutions": []}
    values["generators"] = {
        "pixels": {"family": "ddpm", "dataset": "tiny", "unet": unet, "training": {"steps": 4, "batch": 8}},
        "style": {"family": "stylegan2", "dataset": "tiny", "training": {"images": 64, "batch": 8}},
    }
    for name in values["generators"]:
        values["samples"][name] = {"kind": "generator", "generator": name, "count": 32, "shard": 16}
    values["tables"]["table2"] = ["main", "other"]
    values["tables"]["table5"] = {"rows": ["main", "pixels", "style"]}
    return tiny_plan(values)


def test_models_of_other_families_are_counted_or_named_as_not_counted(tmp_path, monkeypatch) -> None:
    plan = family_plan(tmp_path, monkeypatch)
    costs = Costs(plan)
    vqgan, pixels = costs.of(plan.autoencoder("other")), costs.of(plan.generator("pixels"))
    model = load(autoencoder_family("vqgan").model)(plan.config.autoencoders["other"], 32, 1)
    assert vqgan.output_bytes == 4 * sum(parameter.numel() for parameter in model.parameters())
    assert vqgan.work.total > 0 and vqgan.steps == 6
    assert costs.of(plan.samples("pixels")).work.total > pixels.work.total / 3 > 0
    assert (pixels.steps, costs.of(plan.generator("style")).steps) == (4, 8)
    (remark,) = (line for line in make_estimate(plan, "x", CPU, 1, 2).remarks if "generators" in line)
    assert remark.startswith("the work of generators.style is not counted")


@pytest.mark.parametrize("family", ["vqgan", "rqvae", "kl"])
def test_a_training_in_another_family_is_about_three_times_its_passes(tmp_path, monkeypatch, family) -> None:
    settings = family_plan(tmp_path, monkeypatch, family).config.autoencoders["other"]
    plain = settings.losses.perceptual.model_copy(update={"network": "none"})
    settings = settings.model_copy(update={"losses": settings.losses.model_copy(update={"perceptual": plain})})
    work = autoencoder_work(settings, 32, 1)
    assert 2.5 < work.training("off").total / (work.encoding() + work.decoding()).total < 3.05
