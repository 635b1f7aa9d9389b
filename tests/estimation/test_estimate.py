"""Estimates: counted operations, records, devices, the longest chain, the memory of a GPU, disk space."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands import doctor as doctors
from bright_pipeline.config.root import load_config, read_config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.records import record_path
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation import costs
from bright_pipeline.estimation.costs import training_cost
from bright_pipeline.estimation.devices import DEVICES, GIBI, Cost, choose_device, needed_gib, too_large, trainings
from bright_pipeline.estimation.fake_gpu import NotCounted
from bright_pipeline.estimation.prices import START_S, JobPrice, Known, job_prices, longest_chain
from bright_pipeline.estimation.report import Estimate, text, total
from bright_pipeline.estimation.space import missing_space, parameters
from bright_pipeline.models.checkpoints import make_autoencoder
from bright_pipeline.models.discriminator import Discriminator
from bright_pipeline.settings.dataset import Dataset
from bright_pipeline.stages.autoencoders import TRAIN_AUTOENCODER, autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset, image_counts
from bright_pipeline.stages.evaluation import evaluation
from bright_pipeline.stages.generation import diffusion, samples
from finished_plan import TINY, finish, tiny_plan, tiny_values
from gpu_check import write_shares

CPU, A100 = choose_device("cpu", None), DEVICES["a100"]

NETWORK = {"channels": 32, "multipliers": [1, 1, 1, 1], "blocks": 1, "attention_resolutions": []}
NARROW = {"channels": 32, "base": 256}
NARROW_STYLEGAN2 = {"family": "stylegan2", "dataset": "tiny", "synthesis": NARROW, "discriminator": NARROW}
VQGAN = {"family": "vqgan", "dataset": "tiny", "code_size": "4x4x2", "network": NETWORK}


def work(section: str, entry: dict[str, Any]) -> float:
    """Floating-point operations of the whole training of an entry `x` of the tiny config."""
    values = tiny_values()
    values.setdefault(section, {})["x"] = entry
    config = load_config(values)
    return float(training_cost(config, trainings(config)[f"{section}.x"]).work.sum())


def tiny_autoencoder(kind: str = "none", start: int = 0, critic_only: int = 0, **execution: Any) -> dict[str, Any]:
    adversarial = {"kind": kind, "start_images": start, "critic_only_images": critic_only}
    losses = {"perceptual": {"network": "none"}, "adversarial": adversarial}
    return {"like": "main", "losses": losses, "training": {"images": 48, "batch": 8}, "execution": execution}


def test_a_training_is_its_steps_before_with_and_against_the_discriminator() -> None:
    kind = "wgan_gp"
    without, always = (work("autoencoders", tiny_autoencoder(one)) for one in ("none", kind))
    never, alone = (work("autoencoders", tiny_autoencoder(kind, *images)) for images in ((48, 0), (0, 48)))
    mixed = work("autoencoders", tiny_autoencoder(kind, 16, 8))  # two steps of six, then one, then three
    assert without == never < alone < always
    assert mixed == pytest.approx((2 * never + alone + 3 * always) / 6, rel=1e-9)


def test_only_a_gradient_penalty_is_charged_for_one() -> None:
    """A discriminator step without one: two forward passes, twice as much backward. A penalty adds at least a pass."""
    without = work("autoencoders", tiny_autoencoder())
    kinds = ("hinge", "wgan_gp", "logistic_r1")
    hinge, wgan, r1 = (work("autoencoders", tiny_autoencoder(kind, 0, 48)) - without for kind in kinds)
    assert wgan == pytest.approx(r1, rel=0.1)
    assert 1.4 < wgan / hinge < 2.5


def test_micro_batches_and_processes_leave_the_work_of_a_training() -> None:
    whole = work("autoencoders", tiny_autoencoder("wgan_gp"))
    for execution in ({"micro_batch": 2}, {"gpus": 2, "nodes": 2}):
        assert work("autoencoders", tiny_autoencoder("wgan_gp", **execution)) == pytest.approx(whole, rel=1e-9)


def test_checkpointing_adds_at_most_a_forward_pass() -> None:
    values = tiny_values()["diffusions"]["main"]
    plain, again = (work("diffusions", values | {"execution": {"checkpointing": one}}) for one in (False, True))
    assert 1.2 < again / plain < 4 / 3 + 0.001


def test_a_generators_training_is_what_each_kind_of_its_steps_does() -> None:
    """StyleGAN2's penalties are due in some steps: of 8 steps one has both, one the path length alone."""
    lazy, training = {"path_every": 4, "r1_every": 8}, {"images": 512, "batch": 8}

    def of(**changes: Any) -> float:
        return work("generators", NARROW_STYLEGAN2 | {"training": training, "regularization": lazy | changes})

    neither, path, r1, both = of(path_weight=0, r1_gamma=0), of(r1_gamma=0), of(path_weight=0), of()
    assert neither < path < both
    assert both - neither == pytest.approx((path - neither) + (r1 - neither), rel=1e-9)
    assert path - neither == pytest.approx(2 * (of(r1_gamma=0, path_every=8) - neither), rel=1e-9)


def test_trainings_in_other_families_are_counted() -> None:
    entry = VQGAN | {"losses": tiny_autoencoder()["losses"], "training": {"images": 48, "batch": 8}}
    half, whole = work("autoencoders", entry | {"training": {"images": 24, "batch": 8}}), work("autoencoders", entry)
    assert 0 < whole == pytest.approx(2 * half, rel=1e-9)
    for family in ("rqvae", "kl"):
        assert 0.5 * whole < work("autoencoders", entry | {"family": family}) < 2 * whole


def test_devices_are_found_by_the_drivers_name_and_unknown_ones_need_a_rate() -> None:
    assert choose_device("NVIDIA A100-SXM4-80GB", None).name == "a100"
    with pytest.raises(InputError, match=r"--device: 'Abacus' is not in the table.*--tflops"):
        choose_device("Abacus", None)
    work = np.array([3e12, 1e12])  # of convolutions, of matrix products
    assert choose_device("Abacus", 2.0).seconds(Cost(work)).tolist() == [2.0, 2.0]
    half, mixed = A100.seconds(Cost(work, precision="bf16")), A100.seconds(Cost(work))
    assert half.tolist() == pytest.approx([4e12 / (0.2 * 312e12), 4e12 / (0.1 * 312e12)])
    in_tf32, in_fp32 = 3e12 / 156e12, 1e12 / 19.5e12
    assert mixed.tolist() == pytest.approx([in_tf32 / 0.2 + in_fp32 / 0.7, in_tf32 / 0.1 + in_fp32 / 0.3])


def test_images_are_counted_from_the_manifest_the_collection_the_config_or_assumed(tmp_path) -> None:
    values = {"source": {"kind": "folder", "path": "/nowhere"}, "split": {"rule": "last", "validation": 1000}}
    manifest = tmp_path / "manifest.json"

    def found(fingerprint=None, **changes):
        one = image_counts("x", Dataset.model_validate(values | changes), fingerprint or {}, manifest)
        return one.train, one.validation, one.known_from.partition(";")[0]

    assert found({"images": {"all": 9000}}) == (8000, 1000, "raw images")
    assert found({"images": {"all": 9000}}, limit=1500) == (500, 1000, "raw images")
    assert found() == (10_000, 1000, "assumed")
    assert found(expected={"train": 7, "validation": 2}) == (7, 2, "datasets.x.expected")
    manifest.write_text(json.dumps({"train": {"count": 5}, "validation": {"count": 3}}))
    assert found({"images": {"all": 9000}}) == (5, 3, "prepared")


@pytest.fixture
def plan(own_folder: Path) -> Jobs:
    return tiny_plan()


def times(plan: Jobs, device: Any = CPU) -> dict[str, JobPrice]:
    return {one.shard.log_name: one for one in job_prices(plan, device)}


def leave(shard: Shard, **facts: Any) -> None:
    """A finished job's record."""
    path = record_path(shard.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"state": "done", "device": "cpu", "gpus": 1} | facts))


def put(outputs: tuple[str, ...]) -> None:
    for output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_bytes(b"")


def test_before_a_run_all_times_but_the_login_nodes_are_counted(plan: Jobs) -> None:
    found = times(plan, A100).values()
    outputs = [output for one in found for output in one.shard.outputs]
    assert sorted(outputs) == sorted(output for job in plan(planned).values() for output in job.outputs)
    for one in found:
        stage = one.shard.job.stage
        known = Known.UNKNOWN if stage.local else Known.COUNTED
        assert (one.share_left, one.known, one.whole_s[1] > one.whole_s[0] > 0) == (1, known, not stage.local)
        assert one.gib is None or stage.gpu
        assert one.gib or not stage.gpu or not one.costs, "images are copied without a model"


def test_small_images_take_less_time(plan: Jobs) -> None:
    """LPIPS reads them as they are: VGG16's convolutions take 15.35 GMAC at 224 pixels, and as much for each pixel."""
    job = next(job for job in plan(planned).values() if job.stage.name == "reconstruct")
    *_, use = job.stage.uses(job, 32)
    for size in (32, 64):
        cost = costs.use_cost(plan.config, use._replace(resolution=size))
        assert cost.work.sum() == pytest.approx(2 * 32 * 2 * 15.35e9 * (size / 224) ** 2, rel=0.01)
    assert (use.model, use.resolution) == ("lpips_vgg", 32)
    (prepared,) = plan(dataset, "tiny").stage.uses(plan(dataset, "tiny"), 160)
    assert CPU.seconds(costs.use_cost(plan.config, prepared))[1] < 1, "160 images of 32 pixels"


def test_rates_that_the_gpu_check_measured_replace_the_range(plan: Jobs) -> None:
    (shard,) = shards(plan(diffusion, "main"))
    before = times(plan, A100)[shard.log_name].whole_s
    write_shares(A100, {"train fp32": 0.5})
    after = times(plan, A100)[shard.log_name].whole_s
    convolutions, products = times(plan, A100)[shard.log_name].costs[0].work
    at_half = convolutions / (0.5 * 156e12) + products / (0.5 * 19.5e12)
    assert after == pytest.approx([at_half / 1.2 + 10, at_half * 1.2 + 60]) and after[1] < before[1]
    Path("results/rates.json").write_text("[")
    assert times(plan, A100)[shard.log_name].whole_s == pytest.approx(before), "a damaged file is ignored"


def test_a_finished_shards_record_is_its_time_and_that_of_jobs_like_it(plan: Jobs) -> None:
    both = first, _ = shards(plan(samples, "main"))
    leave(first, seconds=77.0)
    put(first.outputs)
    found = times(plan)
    made = [found[one.log_name] for one in both]
    facts = [(one.whole_s[1], one.known, one.missing_s[0]) for one in made]
    assert facts == [(77.0, Known.MEASURED, 0), (77.0, Known.ALIKE, 77.0)]
    others = [one for one in found.values() if one.shard.job.stage.name == "generate" and one.shard.job.label != "main"]
    assert others and all(one.known == Known.COUNTED for one in others)


def half_trained(plan: Jobs, **facts: Any) -> Shard:
    """Three of six steps are done, one in twenty seconds."""
    (shard,) = shards(plan(diffusion, "main"))
    leave(shard, **{"state": "interrupted", "seconds": 40.0, "done": 3, "total": 6, "rate": 0.05} | facts)
    return shard


def test_a_half_trained_model_needs_the_other_half(plan: Jobs) -> None:
    training = half_trained(plan, device="NVIDIA A100-SXM4-80GB", gpus=4, nodes=2)
    one = times(plan, A100)[training.log_name]
    assert (*one.whole_s, *one.missing_s, one.known, one.gpus) == (120, 120, 60, 60, Known.MEASURED, 8)
    assert one.costs, "the other half needs memory"
    put(tuple(training.outputs))
    plan.store.forget()
    assert times(plan, A100)[training.log_name].costs == ()


def test_records_of_another_device_do_not_count_but_those_of_jobs_without_a_gpu_do(plan: Jobs) -> None:
    training = half_trained(plan, device="NVIDIA A100-SXM4-80GB")
    (scored,) = shards(plan(evaluation, "main", "efficientnet_lite0", 32))
    leave(scored, seconds=5.0, gpus=0)
    on_gpu, on_cpu = times(plan, A100), times(plan, CPU)
    assert (on_gpu[training.log_name].known, on_cpu[training.log_name].known) == (Known.MEASURED, Known.COUNTED)
    assert on_gpu[scored.log_name].known == on_cpu[scored.log_name].known == Known.MEASURED
    assert (on_gpu[training.log_name].gpus, on_gpu[scored.log_name].gpus, on_cpu[training.log_name].gpus) == (1, 0, 0)


def test_several_gpus_share_a_training_and_gpu_hours_stay(own_folder: Path) -> None:
    found = []
    for execution in ({}, {"gpus": 4, "nodes": 2}):
        values = tiny_values()
        values["diffusions"]["main"] |= {"execution": execution}
        plan = tiny_plan(values)
        (shard,) = shards(plan(diffusion, "main"))
        found.append(times(plan, A100)[shard.log_name])
    one, eight = found
    assert (one.gpus, eight.gpus) == (1, 8)
    assert one.whole_s - START_S == pytest.approx(8 * (eight.whole_s - START_S))
    estimate = Estimate(tiny_plan(), "tiny.yaml", A100, 8)
    assert all(one.gpus == int(one.shard.job.stage.gpu) for one in estimate.prices)
    assert "the GPU-hours shared by 8 GPUs" in text(estimate)


def test_the_longest_chain_goes_through_what_is_missing_alone(plan: Jobs) -> None:
    found = job_prices(plan, CPU)
    assert total(found, False).tolist() == total(found, False, whole=True).tolist()
    seconds, chain = longest_chain(plan(planned).values(), found)
    assert "train_autoencoder" in {job.stage.name for job in chain}
    assert all(before in after.upstream for before, after in pairwise(chain) if not after.stage.local)
    assert max(one.whole_s[0] for one in found) < seconds <= total(found, of_gpus=False)[0]
    put(tuple(plan(autoencoder, "main").outputs))
    plan.store.forget()
    assert longest_chain(plan(planned).values(), job_prices(plan, CPU))[0] < seconds
    finish(plan)
    manifest = Path(plan(dataset, "tiny").path("manifest.json"))
    manifest.write_text('{"train": {"count": 1}, "validation": {"count": 1}}')
    after = Estimate(plan, "tiny.yaml", CPU, 1)
    assert total(after.prices, of_gpus=False)[1] == longest_chain(plan(planned).values(), after.prices)[0] == 0
    assert "Nothing is missing" in text(after)


def test_a_training_that_cannot_be_counted_is_reported(plan: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    costs._costs.cache_clear()
    monkeypatch.setattr(costs, "training_cost", Mock(side_effect=NotCounted("the host waits")))
    found = Estimate(plan, "tiny.yaml", CPU, 1)
    assert "- autoencoders.main: not counted: the host waits" in text(found)


COST = Cost(np.array([1e18, 0]), 30 * GIBI, batch=16, processes=2, is_training=True)

CARDS = {"rtx4090": 24, "a100": 80, "a100-40gb": 40, "NVIDIA A100-SXM4-40GB": 40, "L40S 48GB": 48, "cpu": None}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_s_memory_is_in_the_table_or_in_its_name(name: str) -> None:
    card, memory = choose_device(name, 30.0 if "L40S" in name else None), CARDS[name]
    assert card.memory_gib == memory
    assert (too_large("x", COST, card) != []) is (memory is not None and memory < 33)


def test_a_training_that_does_not_fit_is_named_with_what_would_help() -> None:
    assert needed_gib(COST) == pytest.approx(30 * 1.05 + 1.5)
    (line,) = too_large("autoencoders.main", COST, DEVICES["rtx4090"])
    assert line.startswith("autoencoders.main: a step needs about 33 GiB (fp32, a batch of 16 on each of 2 GPUs)")
    assert "rtx4090 has 24: use more GPUs (execution.gpus), smaller micro-batches" in line


# Disk: bounds from sizes and counts, and the doctor's line where a run does not fit.


def test_images_codes_and_features_are_counted_by_their_sizes(plan):
    found, png = missing_space(plan), 32 * 32 * 3 // 4
    jobs = Counter(job.stage.name for job in plan(planned).values())
    assert found["prepare_dataset"] == 160 * png
    assert found["reconstruct"] == jobs["reconstruct"] * 32 * png
    assert found["generate"] == jobs["generate"] * 32 * png
    assert found["dump_codes"] == jobs["dump_codes"] * 128 * (4 * 4 * 2) * 4
    finish(plan)
    assert missing_space(tiny_plan()) == {}, "what is there takes nothing more"


def test_a_training_is_its_weights_and_two_states_of_them(plan):
    settings = plan.config.autoencoders["main"]
    model, discriminator = (
        sum(tensor.numel() for tensor in network.state_dict().values())
        for network in (make_autoencoder(settings, 32, 1), Discriminator(settings.discriminator, 32, 1))
    )
    assert parameters(plan.config, settings) == model + discriminator
    trained = [trainings(plan.config)[job.entry] for job in plan(planned).values() if job.stage == TRAIN_AUTOENCODER]
    sizes = [parameters(plan.config, one) for one in trained]
    assert missing_space(plan)["train_autoencoder"] == 4 * 9 * sum(sizes)


def test_the_papers_unet_has_358_million_numbers_and_none_is_allocated():
    config = read_config(TINY.parents[2] / "config" / "paper.yaml")
    assert round(parameters(config, config.diffusions["ffhq"]) / 1e6) == 358
    assert torch.get_default_device().type == "cpu"


def test_the_doctor_says_where_a_run_will_not_fit(plan, monkeypatch, capsys, tmp_path):
    needed = sum(missing_space(plan).values())
    for free in (needed - 1, needed):
        monkeypatch.setattr(doctors, "free_disk", lambda folder, free=free: free)
        doctors.doctor(TINY)
        assert ("may fill the disk: a run takes up to" in capsys.readouterr().out) == (free < needed)
