"""Made-up summaries of every kind.

A made-up summary is a dict in the format of `evaluation/summary.py`, with the row's name and dataset beside it,
which the settings of a table have and no file has.
"""

import json
from pathlib import Path
from typing import Any

from bright_pipeline.settings.quantities import STORED
from bright_pipeline.settings.spaces import SPACES
from bright_pipeline.settings.tables import TABLES

PREPARED = {
    "ffhq256": (256, "center crop, Pillow lanczos, to 256"),
    "lsun_church256": (256, "center crop, Pillow bicubic, to 256"),
}
CLOTHES = "fashion_mnist"
DEMO = (32, "center crop, Pillow lanczos, to 32")
DEVIATIONS = {"lpips_alex": 0.0131, "lpips_vgg": 0.0231, "ssim": 0.0831, "psnr": 2.1234567}


def row_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The settings of the row that a summary is of, as a plan has them."""
    resolution, prepared = PREPARED.get(summary["dataset"], DEMO)
    row = {"name": summary["name"].partition("#")[0], "dataset": summary["dataset"]}
    return row | {"resolution": resolution, "prepared": prepared}


def write_summary(path: Path, summary: dict[str, Any]) -> Path:
    """As a stage writes it; counts and speeds are in a file of several models, which here has one."""
    content = {key: value for key, value in summary.items() if key not in ("name", "dataset")}
    if content["kind"] == "training":
        path = path.with_suffix(".csv")
        path.write_text(content["history"])
    elif content["kind"] in ("complexity", "decoding"):
        path.write_text(json.dumps({"models": {summary["name"]: content}}))
    else:
        path.write_text(json.dumps(content))
    return path


def reconstruction(
    name: str, dataset: str = CLOTHES, count: int = 1000, numbers: Any = None, protocol: Any = None, **traits: Any
) -> dict[str, Any]:
    """A made-up reconstruction summary of the demo's kind; `numbers` replaces some of the metrics."""
    metrics = {"lpips_alex": 0.02154321, "lpips_vgg": 0.1234567, "ssim": 0.8271234, "psnr": 23.8123456}
    resolution = PREPARED.get(dataset, DEMO)[0]
    images = {"count": count, "reference": "validation", "resolution": resolution, "versions": {"torch": "2.13"}}
    images |= protocol or {}
    own = {name: {f"{name}_sha256": 64 * name[6], "lpips": "0.1"} for name in ("lpips_alex", "lpips_vgg")}
    own["ssim"] = {"ssim": "Gaussian window 11"}
    values = {
        metric: {"number": number, "std": DEVIATIONS[metric], "protocol": images | own.get(metric, {})}
        for metric, number in (metrics | (numbers or {})).items()
    }
    model = {"method": "BRIGHT", "code_size": "8x8x4", "key_length": 1, "feature_size": 16, "resolution": resolution}
    trained = {"code_noise": "after_tiling", "adversarial": "wgan_gp", "train_images": 20_000}
    return {
        "name": name,
        "dataset": dataset,
        "kind": "reconstruction",
        "traits": model | trained | traits,
        "values": values | {"code_bits": {"number": 1534.6}},
    }


def church(name: str, code_size: str, count: int = 300, **changes: Any) -> dict[str, Any]:
    """A made-up reconstruction summary that matches Church's published rows."""
    return reconstruction(name, "lsun_church256", count, **{"code_size": code_size, "feature_size": 64} | changes)


def complexity(name: str, dataset: str, code_size: str, numbers: Any = None, **traits: Any) -> dict[str, Any]:
    """Made-up counts, parameters in millions; of `numbers` None is left out."""
    counts = {"hash_tables.ngp": 10.607648, "hash_tables.tcnn": 10.138048, "decoder_params": 9.612345}
    counts |= {"encoder_params": 3.0, "gmacs.paper_rule": 63.397632, "gmacs.true": 67.9} | (numbers or {})
    model = {"method": "BRIGHT", "code_size": code_size, "key_length": 1, "feature_size": 64}
    return {
        "name": name,
        "dataset": dataset,
        "kind": "complexity",
        "traits": model | {"resolution": PREPARED.get(dataset, DEMO)[0]} | traits,
        "values": {key: {"number": number} for key, number in counts.items() if number is not None},
    }


def generation(
    name: str,
    network: str = "efficientnet_lite0",
    dataset: str = CLOTHES,
    space: str | None = None,
    numbers: dict[str, float] | None = None,
    intervals: dict[str, list[float]] | None = None,
    protocol: dict[str, Any] | None = None,
    **traits: Any,
) -> dict[str, Any]:
    """A made-up evaluation of the demo's samples in one network's features; `numbers` replaces all metrics."""
    space = space or network
    how = {"count": 1000, "reference": "validation", "reference_count": 1000, "reference_sha256": "c" * 64}
    how |= {"reference_prepared": PREPARED.get(dataset, DEMO)[1], "network": network, "space": space}
    how |= {"network_sha256": "d" * 64, "resize": "bicubic 112", "seed": 3, "versions": {"torch": "2.13"}}
    how |= protocol or {}
    metrics = {"frechet_distance": 538.987, "score_mean": 3.456, "precision": 0.71234, "recall": 0.51234, "f1": 0.596}
    metrics |= {"density": 0.61234, "coverage": 0.43219}
    deviations = {"score_mean": 0.078, "density": 0.9}
    values = {}
    for metric, number in (metrics if numbers is None else numbers).items():
        spread = {"std": deviations.get(metric), "interval": (intervals or {}).get(metric)}
        values[f"{SPACES[space].columns_of or space}.{metric}"] = {"number": number, "protocol": how, **spread}
    made = {"method": "BRIGHT (LDM)", "sample_kind": "diffusion", "prepared": how["reference_prepared"]}
    return {"name": name, "dataset": dataset, "kind": "generation", "traits": made | traits, "values": values}


def ffhq(name: str, network: str, **changes: Any) -> dict[str, Any]:
    """A made-up evaluation that matches Table 5's BRIGHT row."""
    protocol = {"count": 50_000, "reference": "train", "reference_count": 60_000}
    protocol |= {"precision_recall": "paper_repository"} if network == "vgg16" else {}
    protocol |= changes.pop("protocol", {})
    changes = {"dataset": "ffhq256", "code_size": "64x64x4"} | changes
    return generation(name, network, protocol=protocol, **changes)


def reconstruction_distance(name: str, space: str = "efficientnet_lite0", **changes: Any) -> dict[str, Any]:
    """A made-up distance of the demo's reconstructions to their originals, in one feature space."""
    changes = {"numbers": {"frechet_distance": 87.654}, "method": "BRIGHT", "code_size": "8x8x4"} | changes
    changes |= {"intervals": {"frechet_distance": [80, 95]}}
    made = generation(name, space.removesuffix("_clean"), space=space, **changes)
    values = {f"rfid.{key}": value for key, value in made["values"].items()}
    return made | {"kind": "reconstruction_distance", "values": values}


def stored(name: str) -> dict[str, Any]:
    """A made-up summary of what codes and weights store."""
    names = [column.compared for entry in TABLES.values() for column in entry.quantities if column.kind is STORED]
    values = {value: {"number": 1.5, "protocol": {"count": 400}} for value in names}
    traits = {"method": "BRIGHT", "code_size": "8x8x4"}
    return {"name": name, "dataset": CLOTHES, "kind": "stored", "traits": traits, "values": values}


def codes(name: str, numbers: Any = None, **traits: Any) -> dict[str, Any]:
    """A made-up measurement of the demo's codes (section 3.4); of `numbers` None is left out."""
    found = {
        "entries": 32_768,
        "used_share": 68.125,
        "perplexity": 12_345.6,
        "evenness": 0.37676,
        "hit_variation": 0.41,
    }
    found |= {"code_minimum": 0.0123, "code_maximum": 0.9876, "code_variance": 0.021, "hit_variation": 0.41}
    found |= {"psnr_quiet": 24.05, "psnr_fall": 0.321, "lpips_rise": 0.0009}
    found |= {"tolerated_deviations": 0.345, "tolerated_half_cells": 2.1}
    found |= {"table_megabytes": 5.0, "decoding_megabytes": 7.5, "code_bytes": 1024.0}
    found |= {"collection_megabytes": 9.216, "kept_megabytes": 16.716}
    protocol = {"count": 256, "codes": 9000, "noise": "uniform within ± size", "seed": 3}
    measured = (found | (numbers or {})).items()
    values = {f"codes.{key}": {"number": one, "protocol": protocol} for key, one in measured if one is not None}
    model = reconstruction(name, **{"table_entries": "2^18"} | traits)
    return model | {"kind": "codes", "values": values}


def decoding(name: str, rate: float, dataset: str = CLOTHES, **traits: Any) -> dict[str, Any]:
    """Made-up images per second of a model."""
    protocol = {"device": "a CPU", "threads": 1, "batch": 8, "images_per_second_interval": "slowest, fastest round"}
    traits = {"method": "BRIGHT", "code_size": "8x8x4", "key_length": 1, "feature_size": 16} | traits
    value = {"number": rate, "interval": [0.9 * rate, 1.1 * rate], "protocol": protocol}
    values = {"decoding.images_per_second": value}
    return {"name": name, "dataset": dataset, "kind": "decoding", "traits": traits, "values": values}


def training(name: str, history: str) -> dict[str, Any]:
    """The history of a training."""
    return {"name": name, "dataset": CLOTHES, "kind": "training", "history": history}
