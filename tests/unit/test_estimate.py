"""Estimates: operations against the real training step, records, devices, the longest chain."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from finished_plan import finish, tiny_plan, tiny_values
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pipeline.base.errors import InputError
from pipeline.base.records import record_path
from pipeline.commands.estimate import make_estimate
from pipeline.config.root import load_config
from pipeline.estimation.costs import training_work
from pipeline.estimation.devices import DEVICES, Work, choose_device
from pipeline.estimation.operations import autoencoder_training, counted, unet_training
from pipeline.estimation.report import facts, image_counts, text
from pipeline.estimation.times import JobTime, Known, job_times, longest_chain, training_cost
from pipeline.families import autoencoder_family, load
from pipeline.models.complexity import retrieval_count
from pipeline.models.diffusion import build_unet
from pipeline.plan.shards import Shard, planned, shards
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.dataset import Dataset
from pipeline.settings.diffusion import UNet
from pipeline.settings.fields import CodeSize
from pipeline.stages.autoencoders import autoencoder
from pipeline.stages.common import Jobs
from pipeline.stages.datasets import dataset
from pipeline.stages.evaluation import evaluation
from pipeline.stages.generation import diffusion, samples
from pipeline.training.autoencoder import AutoencoderTask
from pipeline.training.batches import TrainingImages

CPU, A100 = choose_device("cpu", None), DEVICES["a100"]


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
    for step, phase in enumerate(("off", "critic only", "on")):
        with Counter() as counter:
            task.step(step)
        retrieval = 3 * 2 * retrieval_count(settings)  # of reading tables, torch counts the keys' gradient alone
        assert (
            0
            <= counter.total / task.batch - (autoencoder_training(settings, 32, 1, phase).total - retrieval)
            <= retrieval
        )


def test_a_unets_training_is_about_three_times_its_forward_pass() -> None:
    settings, size = UNet(channels=32, multipliers=[1, 2], attention_resolutions=[8]), CodeSize(16, 16, 4)
    forward = counted(lambda: build_unet(settings, size)(torch.empty(1, 4, 16, 16), torch.empty(1, dtype=torch.long)))
    assert 2.8 < unet_training(settings, size).total / forward.total < 3.05


def test_devices_are_found_by_the_drivers_name_and_unknown_ones_need_a_rate() -> None:
    assert choose_device("NVIDIA A100-SXM4-80GB", None).name == "a100"
    with pytest.raises(InputError, match=r"--device: 'Abacus' is not in the table.*--tflops"):
        choose_device("Abacus", None)
    work = Work(convolutions=3e12, products=1e12)
    assert choose_device("Abacus", 2.0).seconds(work) == 2.0
    assert A100.seconds(work, "bf16") < A100.seconds(work) < A100.seconds(Work(products=4e12))


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


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.chdir(tmp_path)
    return tiny_plan()


def times(plan: Jobs, device: Any = CPU) -> dict[str, JobTime]:
    return {one.shard.log_name: one for one in job_times(plan, device)}


def leave(shard: Shard, **facts: Any) -> None:
    """A finished job's record."""
    path = record_path(shard.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"state": "done", "device": "cpu", "gpus": 1} | facts))


def put(outputs: tuple[str, ...]) -> None:
    for output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_bytes(b"")


def test_before_a_run_trainings_are_counted_and_nothing_tells_of_the_rest(plan: Jobs) -> None:
    found = times(plan)
    outputs = [output for one in found.values() for output in one.shard.outputs]
    assert sorted(outputs) == sorted(output for job in plan(planned).values() for output in job.outputs)
    for one in found.values():
        assert one.share_left == 1
        assert one.known == (Known.COUNTED if one.shard.job.is_training else Known.UNKNOWN)
        assert bool(one.seconds) == one.shard.job.is_training


def test_a_finished_shards_record_is_measured_and_tells_of_jobs_like_it(plan: Jobs) -> None:
    first, second = shards(plan(samples, "main"))
    leave(first, seconds=77.0)
    put(first.outputs)
    found = times(plan)
    assert (found[first.log_name].seconds, found[first.log_name].known) == (77.0, Known.MEASURED)
    assert (found[second.log_name].seconds, found[second.log_name].known) == (77.0, Known.ALIKE)
    assert (found[first.log_name].missing_s, found[second.log_name].missing_s) == (0, 77.0)
    others = [one for one in found.values() if one.shard.job.stage.name == "generate" and one.shard.job.label != "main"]
    assert others and all(one.known == Known.UNKNOWN for one in others)


def half_trained(plan: Jobs, **facts: Any) -> Shard:
    """Three of six steps are done, in a minute, in two attempts."""
    (shard,) = shards(plan(diffusion, "main"))
    shard.job.work.mkdir(parents=True)
    (shard.job.work / "history.csv").write_text("step,images,seconds,loss\n1,8,20,1\n3,24,60,1\n")
    leave(shard, **{"state": "interrupted", "seconds": 40.0, "done": 3, "total": 6} | facts)
    return shard


def test_a_half_trained_model_needs_the_other_half(plan: Jobs) -> None:
    training = half_trained(plan)
    one = times(plan)[training.log_name]
    assert (one.seconds, one.missing_s, one.known) == (120, 60, Known.MEASURED)


def test_records_of_another_device_do_not_count_but_those_of_jobs_without_a_gpu_do(plan: Jobs) -> None:
    training = half_trained(plan, device="NVIDIA A100-SXM4-80GB")
    (scored,) = shards(plan(evaluation, "main", "efficientnet_lite0", 32))
    leave(scored, seconds=5.0, gpus=0)
    on_gpu, on_cpu = times(plan, A100), times(plan, CPU)
    assert (on_gpu[training.log_name].known, on_cpu[training.log_name].known) == (Known.MEASURED, Known.COUNTED)
    assert on_gpu[scored.log_name].known == on_cpu[scored.log_name].known == Known.MEASURED
    assert (on_gpu[training.log_name].gpus, on_gpu[scored.log_name].gpus, on_cpu[training.log_name].gpus) == (1, 0, 0)


def test_several_gpus_share_a_training_and_gpu_hours_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = tiny_values()
    one = training_cost(tiny_plan(values).config, tiny_plan(values)(diffusion, "main"), A100)
    values["diffusions"]["main"]["execution"] = {"gpus": 4, "nodes": 2}
    eight = training_cost(tiny_plan(values).config, tiny_plan(values)(diffusion, "main"), A100)
    assert (one[1], eight[1]) == (1, 8)
    assert one[0] == pytest.approx(8 * eight[0])


def test_a_records_gpus_are_those_of_each_node(plan: Jobs) -> None:
    training = half_trained(plan, device="NVIDIA A100-SXM4-80GB", gpus=4, nodes=2)
    assert times(plan, A100)[training.log_name].gpus == 8


def test_the_longest_chain_goes_through_what_is_missing_alone(plan: Jobs) -> None:
    found = job_times(plan, CPU)
    trainings = [one for one in found if one.shard.job.is_training]
    seconds, chain = longest_chain(plan(planned).values(), found)
    assert [job.stage.name for job in chain] == ["train_autoencoder", "train_diffusion"]
    assert max(one.whole_s for one in trainings) < seconds <= sum(one.whole_s for one in trainings)
    put(tuple(plan(autoencoder, "main").outputs))
    plan.shelf.forget()
    assert longest_chain(plan(planned).values(), job_times(plan, CPU))[0] < seconds


def test_what_is_missing_and_the_whole(plan: Jobs) -> None:
    before = facts(make_estimate(plan, "tiny.yaml", CPU, 1))
    assert before["total"]["s"]["missing"] == before["total"]["s"]["whole"] > 0
    assert "jobs that no record tells of yet" in text(make_estimate(plan, "tiny.yaml", CPU, 1))
    finish(plan)
    manifest = Path(plan(dataset, "tiny").path("manifest.json"))
    manifest.write_text('{"train": {"count": 1}, "validation": {"count": 1}}')
    after = make_estimate(plan, "tiny.yaml", CPU, 1)
    assert facts(after)["total"]["s"]["missing"] == facts(after)["longest_chain_s"] == 0
    assert facts(after)["total"]["s"]["whole"] > 0
    assert "Nothing is missing" in text(after)


def test_gpu_hours_are_shared_by_the_gpus_there_are(plan: Jobs) -> None:
    found = make_estimate(plan, "tiny.yaml", A100, 8)
    total = facts(found)["total"]
    assert total["gpu_s"] == total["s"]
    assert "the GPU-hours shared by 8 GPUs" in text(found)


NARROW_STYLEGAN2: dict[str, Any] = {
    "family": "stylegan2",
    "dataset": "tiny",
    "synthesis": {"channels": 32, "base": 256},
    "discriminator": {"channels": 32, "base": 256},
}


def family_plan(family: str = "vqgan") -> Jobs:
    """The tiny config with an autoencoder of another family and generators on pixels."""
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
        "style": NARROW_STYLEGAN2 | {"training": {"images": 64, "batch": 8}},
    }
    for name in values["generators"]:
        values["samples"][name] = {"kind": "generator", "generator": name, "count": 32, "shard": 16}
    values["tables"]["table2"] = ["main", "other"]
    values["tables"]["table5"] = {"rows": ["main", "pixels", "style"]}
    return tiny_plan(values)


def test_trainings_of_other_families_are_counted(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = family_plan()
    found = {one.shard.job.label: one for one in times(plan).values() if one.shard.job.is_training}
    for label in ("other", "pixels", "style"):
        assert found[label].known == Known.COUNTED
        assert found[label].seconds > 0


def test_a_generators_training_is_what_each_kind_of_its_steps_does() -> None:
    """StyleGAN2's penalties are due in some steps: of 8 steps one has both, one the path length alone."""
    values = tiny_values()
    lazy = {"path_every": 4, "r1_every": 8}
    style = NARROW_STYLEGAN2 | {"training": {"images": 512, "batch": 8}}

    def work(**changes: Any) -> float:
        config = load_config(values | {"generators": {"style": style | {"regularization": lazy | changes}}})
        return training_work(config, config.generators["style"]).total

    neither, path, r1, both = work(path_weight=0, r1_gamma=0), work(r1_gamma=0), work(path_weight=0), work()
    assert neither < path < both
    assert both - neither == pytest.approx((path - neither) + (r1 - neither), rel=1e-9)
    assert path - neither == pytest.approx(2 * (work(r1_gamma=0, path_every=8) - neither), rel=1e-9)


def test_what_is_computed_again_to_save_memory_counts() -> None:
    def seconds(section: str, **execution: Any) -> float:
        values = tiny_values()
        values[section]["main"]["execution"] = values[section]["main"].get("execution", {}) | execution
        found = {(one.shard.job.stage.name, one.shard.job.label): one for one in job_times(tiny_plan(values), A100)}
        told = found[f"train_{section[:-1]}", "main"].seconds
        assert told is not None
        return told

    assert seconds("diffusions", checkpointing=True) == pytest.approx(4 / 3 * seconds("diffusions"))
    assert 1 < seconds("autoencoders", checkpointing=True) / seconds("autoencoders") < 4 / 3


@pytest.mark.parametrize("family", ["vqgan", "rqvae", "kl"])
def test_a_training_in_another_family_is_about_three_times_its_passes(tmp_path, monkeypatch, family) -> None:
    monkeypatch.chdir(tmp_path)
    settings = family_plan(family).config.autoencoders["other"]
    plain = settings.losses.perceptual.model_copy(update={"network": "none"})
    settings = settings.model_copy(update={"losses": settings.losses.model_copy(update={"perceptual": plain})})

    def passes() -> None:
        model = load(autoencoder_family(family).model)(settings, 32, 1)
        model.encode(torch.empty(1, 1, 32, 32))
        getattr(model, "decoder", model.decode)(torch.empty(1, 2, 4, 4))

    assert 2.5 < autoencoder_training(settings, 32, 1, "off").total / counted(passes).total < 3.05


def test_the_command_imports_no_torch_before_it_needs_it() -> None:
    for command in ("estimate", "status"):
        code = f"import sys, pipeline.commands.{command}; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
