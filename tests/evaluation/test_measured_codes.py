"""Measurements of codes (section 3.4): use of entries, tolerance of noise, bytes, and decoding speed."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, to_model, to_uint8
from bright_pipeline.dump_codes import dump_codes
from bright_pipeline.evaluation import code_noise, decoding_speed
from bright_pipeline.evaluation import code_noise as module
from bright_pipeline.evaluation.codes import perplexity, storage, usage
from bright_pipeline.evaluation.decoding_speed import decoding_speeds, take_turns
from bright_pipeline.evaluation.reconstruction import image_metrics
from bright_pipeline.evaluation.summary import Summary, read_summary
from bright_pipeline.measure_codes import measure_codes
from bright_pipeline.measure_decoding import measure_decoding
from bright_pipeline.measure_storage import measure_storage
from bright_pipeline.models import key_noise
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import load_autoencoder, read_codes, save_autoencoder
from bright_pipeline.models.perceptual import LpipsDistance
from bright_pipeline.settings.autoencoder import Autoencoder
from first_stages import FAMILIES, RESOLUTION, images, small_model, small_settings
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_perplexity_is_two_to_the_entropy_in_bits(hits: list[int]) -> None:
    total = sum(hits)
    bits = -sum(count / total * math.log2(count / total) for count in hits if count) if total else -math.inf
    assert perplexity(np.array(hits)) == pytest.approx(2**bits)


def test_use_counts_reachable_entries_alone() -> None:
    hits = np.array([[5, 5, 0, 0, 9], [2, 2, 2, 2, 0]])
    found = usage(hits, np.array([True, True, True, True, False]))
    assert found is not None
    assert (found["entries"], found["groups"]) == (4, 2)
    assert (found["used_share"], found["least_used_share"]) == (0.75, 0.5)
    assert found["perplexity"] == pytest.approx((2 + 4) / 2) and found["evenness"] == pytest.approx(3 / 4)
    assert found["hit_variation"] == pytest.approx((1 + 0) / 2)  # 5, 5, 0, 0: deviation 2.5, mean 2.5
    assert usage(np.zeros((0, 0)), np.zeros(0)) is None, "a family without entries"


def test_noise_grows_in_deviations_and_in_half_cells() -> None:
    sizes = module.noise_sizes(deviation=0.2, half_cell=1 / 64)
    assert sizes[0] == (0, 0, 0) and [size.amplitude for size in sizes] == sorted(size.amplitude for size in sizes)
    assert any(size.half_cells == 1 and size.deviations == pytest.approx(5 / 64) for size in sizes)
    assert any(size.deviations == pytest.approx(0.4) and size.amplitude == pytest.approx(0.08) for size in sizes)
    assert all(size.half_cells is None for size in module.noise_sizes(0.2, None))


def test_noise_is_named_by_image_and_stays_within_the_codes_bounds() -> None:
    noise = module.uniform(7, [0, 5], (2, 3, 3))
    assert torch.equal(noise[1], module.uniform(7, [5], (2, 3, 3))[0]) and not torch.equal(noise[0], noise[1])
    many = module.uniform(7, list(range(50)), (8, 8, 8))
    assert many.abs().max() <= 1 and many.std() == pytest.approx(1 / math.sqrt(3), abs=0.01)
    codes = torch.full((2, 2, 3, 3), 0.95)
    moved = module.perturb(codes, noise, 0.2, (0.0, 1.0))
    assert moved.max() == 1 and torch.equal(module.perturb(codes, noise, 0.2, None), codes + 0.2 * noise)


def test_tolerated_noise_is_where_the_line_crosses_one_decibel() -> None:
    def point(size: float, psnr: float) -> dict[str, Any]:
        return {"deviations": size, "half_cells": 2 * size, "psnr": psnr, "lpips_alex": 0.1 + size}

    curve = [point(0, 24), point(0.1, 23.5), point(0.5, 22.5), point(0.6, 23.9)]
    assert module.tolerated(curve, "deviations") == pytest.approx(0.3)
    numbers, expected = module.noise_numbers(curve), {"tolerated_half_cells": 0.6, "psnr_fall": 1.5, "lpips_rise": 0.5}
    assert {name: numbers[name] for name in expected} == pytest.approx(expected)
    assert module.tolerated(curve[:2], "deviations") == 0.1, "none has fallen so far"
    other = module.noise_numbers([one | {"half_cells": None} for one in curve])
    assert other.keys() == {"psnr_quiet", "tolerated_deviations"}


def test_trainings_noise_has_half_the_interval_as_its_deviation(tiny_autoencoder: Any) -> None:
    """N(0, 1/(4 r_max)^2) in the interval ± 1/(2 r_max): two deviations."""
    settings = Autoencoder.model_validate(tiny_autoencoder())
    code = torch.full((1, 2, 4, 4), 0.5, dtype=torch.float64)
    moved = key_noise.perturb(code, settings.tables.finest_resolution, torch.ones_like(code)) - code
    assert module.half_cell(settings) == pytest.approx(2 * moved.max().item())


@pytest.fixture
def trained(tmp_path: Path, tiny_autoencoder: Any) -> tuple[Path, Autoencoder]:
    """The file of an untrained tiny autoencoder."""
    settings = Autoencoder.model_validate(tiny_autoencoder())
    torch.manual_seed(0)
    model = Bright(settings, 32, 1)
    save_autoencoder(tmp_path / "autoencoder.safetensors", model, settings, 32, 1)
    return tmp_path / "autoencoder.safetensors", settings


def test_without_noise_the_curve_has_the_reconstructions_metrics(networks_folder, tmp_path, tiny_images, trained):
    model, originals = load_autoencoder(trained[0]), ImageArchive(tiny_images)
    weights = networks_folder / "lpips_alex.safetensors"
    curve = module.noise_curve(
        model, originals, 14, module.noise_sizes(0.1, 1 / 16), seed=3, micro_batch=8, lpips_alex=weights
    )
    with torch.no_grad():
        made = to_uint8(model(to_model(originals.tensor())))
    found = image_metrics(originals.tensor(), made, {"lpips_alex": LpipsDistance("lpips_alex", weights)})
    assert curve[0]["psnr"] == pytest.approx(float(found["psnr"].mean()), rel=1e-6)
    assert curve[0]["lpips_alex"] == pytest.approx(float(found["lpips_alex"].mean()), rel=1e-4)
    again, once = (
        [
            point["psnr"]
            for point in module.noise_curve(model, originals, 5, module.noise_sizes(0.1, 1 / 16), 3, size, weights)
        ]
        for size in (3, 8)
    )
    without = module.noise_curve(model, originals, 5, module.noise_sizes(0.1, 1 / 16), 3, 8, None)
    assert "lpips_alex" not in without[0] and [point["psnr"] for point in without] == once
    assert module.noise_numbers(without).keys() == module.noise_numbers(curve).keys() - {"lpips_rise"}
    assert again == pytest.approx(once, rel=1e-6)


@pytest.mark.parametrize(("entries", "bits"), [(2, 1), (8, 3), (1000, 10), (1024, 10), (1025, 11)])
def test_an_index_has_the_bits_of_the_entries_and_a_code_whole_bytes(entries: int, bits: int) -> None:
    model = small_model("rqvae", codebook={"entries": entries})  # depth 3
    found = storage(model, torch.zeros(7, 4, 4, 4))
    assert found["code_bits"] == 3 * 4 * 4 * bits and found["codes"] == 7 * 6 * bits
    assert storage(model, torch.zeros(5, 4, 1, 1))["codes"] == 5 * math.ceil(3 * bits / 8)
    assert found["tables"] == 0


def test_bytes_of_weights_and_codes(tiny_autoencoder: Any) -> None:
    model = Bright(Autoencoder.model_validate(tiny_autoencoder()), 32, 1)
    found = storage(model, torch.zeros(7, 2, 4, 4))
    assert found["tables"] == 4 * sum(parameter.numel() for parameter in model.tables.parameters())
    assert found["codes"] == 7 * 2 * 4 * 4 * 4 and found["code_bits"] == 32 * 32
    whole, encoder = (sum(part.numel() for part in one.state_dict().values()) for one in (model, model.encoder))
    assert found["decoding"] == 4 * (whole - encoder)


def test_models_take_turns_after_an_untimed_round(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    ticks = iter(range(1000))
    monkeypatch.setattr(decoding_speed, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    seconds = take_turns([lambda: order.append(0), lambda: order.append(1), lambda: order.append(2)], 3)
    assert order == [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2], "each round begins one further"
    assert seconds == [[1.0] * 3] * 3


def measured(
    tmp_path: Path, weights: Path, settings: Any, split: Path, lpips: Path, images: int
) -> tuple[Summary, dict[str, float]]:
    """The summary of the two stages that dump and measure the codes of a split, and its numbers."""
    codes, hits, summary = (tmp_path / name for name in ("codes.safetensors", "hits.npz", "summary.json"))
    dump_codes("{}", split, weights, codes, hits, tmp_path / "statistics.json")
    job = {"autoencoder": settings.model_dump(mode="json"), "images": images, "micro_batch": 4}
    measure_codes(json.dumps(job), split, weights, codes, hits, summary, lpips)
    found = read_summary(summary)
    return found, {key.removeprefix("codes."): value.number for key, value in found.values.items()}


def test_the_stages_write_what_the_tables_read(networks_folder, tmp_path, tiny_images, trained) -> None:
    found, numbers = measured(tmp_path, *trained, tiny_images, networks_folder / "lpips_alex.safetensors", 6)
    assert found.traits["method"] == "BRIGHT"
    assert found.traits["table_entries"] == f"2^{trained[1].tables.entries_log2}"
    assert 0 <= numbers["code_minimum"] < numbers["code_maximum"] <= 1
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert numbers["used_share"] == pytest.approx(100 * statistics["hits"]["used_share"])
    assert numbers["code_bytes"] == 4 * 32 and numbers["psnr_quiet"] == found.details["noise"][0]["psnr"]
    assert found.protocol["count"] == 6 and found.protocol["codes"] == 14


def test_the_storage_stage_writes_what_the_tables_read(networks_folder, tmp_path, tiny_images, trained) -> None:
    summary = tmp_path / "summary.json"
    job = {"autoencoder": trained[1].model_dump(mode="json"), "added": 3, "steps": 2}
    lpips = networks_folder / "lpips_alex.safetensors"
    measure_storage(json.dumps(job), tiny_images, tiny_images, trained[0], summary, lpips)
    values = read_summary(summary).values
    numbers = {name.removeprefix("stored."): value.number for name, value in values.items()}
    assert numbers["psnr_train"] == numbers["psnr_new"], "the same images twice"
    assert values["stored.psnr_new"].protocol["count"] == 9, "14 images, of which 9 fill a square"
    assert numbers["lpips_coded"] > 0 and numbers["fall_weights"] != 0 == numbers["fall_codes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_of_every_family_are_measured(family, networks_folder, tmp_path, monkeypatch) -> None:
    model, settings = small_model(family), small_settings(family)
    weights, split = tmp_path / "autoencoder.safetensors", tmp_path / "images.zip"
    save_autoencoder(weights, model, settings, RESOLUTION, 1)
    with ArchiveWriter(split, 1) as archive:
        archive.add_batch(to_uint8(images(6)))
    # Replaces LPIPS, whose network halves an image five times: these images are too small for it.
    distance = nn.Identity()
    distance.forward = lambda made, real: (made - real).abs().flatten(1).mean(1)  # type: ignore[method-assign]
    monkeypatch.setattr(code_noise, "LpipsDistance", lambda *_: distance)
    found, numbers = measured(tmp_path, weights, settings, split, networks_folder / "lpips_alex.safetensors", 4)
    assert "table_entries" not in found.traits and "tolerated_half_cells" not in numbers
    assert numbers["table_megabytes"] == 0
    if family == "kl":
        assert "used_share" not in numbers and numbers["code_bytes"] == 4 * 4 * 4 * 4
        return
    indices = model.eval().indices(read_codes(tmp_path / "codes.safetensors")).flatten()
    shares = torch.bincount(indices, minlength=16).double() / len(indices)
    assert numbers["used_share"] == pytest.approx(100 * float((shares > 0).double().mean()))
    assert numbers["perplexity"] == pytest.approx(float(2 ** torch.special.entr(shares).sum().div(math.log(2))))
    assert 8 * numbers["code_bytes"] == 4 * 4 * (3 if family == "rqvae" else 1) * 4


def test_decoders_of_all_families_take_turns_as_they_are_used(tmp_path, tiny_autoencoder, monkeypatch) -> None:
    """In evaluation mode and without gradients; the rate is the median, with the slowest and the fastest round."""
    timed: list[Any] = []

    def speeds(models: list[Any], batch: int, rounds: int) -> list[list[float]]:
        timed.extend(models)
        return decoding_speeds(models, batch, rounds)

    def turns(calls: list[Any], rounds: int) -> list[list[float]]:
        assert [len(seconds) for seconds in take_turns(calls, rounds)] == [rounds] * len(calls)
        return [[2.0, 0.5, 1.0] for _ in calls]

    monkeypatch.setattr("bright_pipeline.evaluation.decoding_speed.take_turns", turns)
    monkeypatch.setattr("bright_pipeline.evaluation.decoding_speed.decoding_speeds", speeds)
    settings = {family: (small_settings(family), RESOLUTION) for family in FAMILIES}
    settings["ours"] = Autoencoder.model_validate(tiny_autoencoder()), 32
    models = {
        name: {"autoencoder": one.model_dump(mode="json"), "resolution": size, "channels": 1}
        for name, (one, size) in settings.items()
    }
    measure_decoding(json.dumps({"models": models, "batch": 2, "rounds": 2}), tmp_path / "decoding.json")
    assert len(timed) == 4
    assert not any(model.training or any(one.requires_grad for one in model.parameters()) for model in timed)
    methods = {"vqgan": "VQGAN", "rqvae": "RQ-VAE", "kl": "KL autoencoder", "ours": "BRIGHT"}
    for name, method in methods.items():
        found = read_summary(tmp_path / "decoding.json", name)
        rate = found.values["decoding.images_per_second"]
        assert found.traits["method"] == method
        assert (rate.number, rate.interval) == (2.0, (1.0, 4.0))
