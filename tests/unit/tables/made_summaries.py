"""Made-up summaries of every kind, and what tests read in a built table.

A made-up summary also has what the row's settings say, its name and its dataset: the files that tables read do not.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

from pipeline.tables.build import Table
from pipeline.tables.render import to_csv

PUBLISHED_FOLDER = Path(__file__).parents[3] / "config" / "published"


PREPARED = {
    "ffhq256": (256, "center crop, Pillow lanczos, to 256"),
    "lsun_church256": (256, "center crop, Pillow bicubic, to 256"),
}
DEMO = (32, "center crop, Pillow lanczos, to 32")
OF_THE_ROW = ("autoencoder", "samples", "dataset")


def name_of(summary: dict[str, Any]) -> str:
    return str(summary.get("autoencoder") or summary["samples"])


def row_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The settings of the row that a summary is of, as a plan has them."""
    resolution, prepared = PREPARED.get(summary["dataset"], DEMO)
    told = {"name": name_of(summary).partition("#")[0], "dataset": summary["dataset"]}
    return told | {"resolution": resolution, "prepared": prepared}


def write_summary(path: Path, summary: dict[str, Any]) -> Path:
    """As a stage writes it; counts are those of a file's models, here of one alone."""
    told = {key: value for key, value in summary.items() if key not in OF_THE_ROW}
    if told["kind"] == "complexity":
        told = {"kind": told.pop("kind"), "models": {name_of(summary): told}}
    path.write_text(json.dumps(told))
    return path


def reconstruction(name: str, **changes: Any) -> dict[str, Any]:
    """A made-up reconstruction summary of the demo's kind."""
    return {
        "kind": "reconstruction",
        "dataset": "fashion_mnist",
        "method": "BRIGHT",
        "autoencoder": name,
        "code_size": "8x8x4",
        "key_length": 1,
        "feature_size": 16,
        "code_noise": "after_tiling",
        "adversarial": "wgan_gp",
        "train_images": 20_000,
        "count": 1000,
        "metrics": {
            "lpips_alex": {"mean": 0.02154321, "std": 0.0131},
            "lpips_vgg": {"mean": 0.1234567, "std": 0.0231},
            "ssim": {"mean": 0.8271234, "std": 0.0831},
            "psnr": {"mean": 23.8123456, "std": 2.1234567},
        },
        "code_bits": {"per_image": 1534.6, "counted_by": "noise"},
        "protocol": {
            "count": 1000,
            "reference": "validation",
            "resolution": PREPARED.get(changes.get("dataset", "fashion_mnist"), DEMO)[0],
            "lpips_alex_sha256": "a" * 64,
            "lpips_vgg_sha256": "b" * 64,
            "lpips": "0.1, at the images' own resolution",
            "ssim": "Gaussian window 11",
            "versions": {"torch": "2.13"},
        },
    } | changes


def church(name: str, code_size: str, **changes: Any) -> dict[str, Any]:
    """A made-up reconstruction summary that matches Church's published rows."""
    values = reconstruction(name, dataset="lsun_church256", code_size=code_size, feature_size=64, count=300)
    values["protocol"] = {**values["protocol"], "count": 300}
    return values | changes


def complexity(name: str, dataset: str, code_size: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "complexity",
        "autoencoder": name,
        "dataset": dataset,
        "method": "BRIGHT",
        "code_size": code_size,
        "resolution": PREPARED.get(dataset, DEMO)[0],
        "key_length": 1,
        "feature_size": 64,
        "hash_table_params": {"ngp": 10_607_648, "tcnn": 10_138_048},
        "decoder_params": 9_612_345,
        "encoder_params": 3_000_000,
        "gmacs": {"paper_rule": 63.397632, "true": 67.9},
        "convention": "tcnn",
    } | changes


def generation(name: str, network: str, **changes: Any) -> dict[str, Any]:
    """A made-up evaluation of the demo's samples in one network's features."""
    protocol = {
        "count": 1000,
        "reference": "validation",
        "reference_count": 1000,
        "reference_sha256": "c" * 64,
        "reference_prepared": PREPARED.get(changes.get("dataset", "fashion_mnist"), DEMO)[1],
        "network": network,
        "network_sha256": "d" * 64,
        "resize": "bicubic 112",
        "seed": 3,
        "versions": {"torch": "2.13"},
    } | changes.pop("protocol", {})
    return {
        "kind": "generation",
        "samples": name,
        "sample_kind": "diffusion",
        "dataset": "fashion_mnist",
        "method": "BRIGHT (LDM)",
        "network": network,
        "space": network,
        "metrics": {
            "frechet_distance": 538.987,
            "score_mean": 3.456,
            "score_std": 0.078,
            "precision": 0.71234,
            "recall": 0.51234,
            "f1": 0.596,
            "density": 0.61234,
            "density_std": 0.9,
            "coverage": 0.43219,
        },
        "protocol": protocol,
    } | changes


def ffhq(name: str, network: str, **changes: Any) -> dict[str, Any]:
    """A made-up evaluation that matches Table 5's BRIGHT row."""
    protocol = {"count": 50_000, "reference": "train", "reference_count": 60_000}
    protocol |= {"precision_recall": "paper_repository"} if network == "vgg16" else {}
    protocol |= changes.pop("protocol", {})
    changes = {"dataset": "ffhq256", "code_size": "64x64x4"} | changes
    return generation(name, network, protocol=protocol, **changes)


def csv_rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def row_named(table: Table, name: str) -> dict[str, str]:
    [row] = [row for row in csv_rows(table) if row["name"] == name]
    return row


def differences(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key.endswith("_difference") and value}


def published_csv(table: str) -> list[dict[str, str]]:
    with (PUBLISHED_FOLDER / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reconstruction_distance(name: str, space: str, **changes: Any) -> dict[str, Any]:
    """A made-up distance of the demo's reconstructions to their originals, in one feature space."""
    made = generation(name, space.removesuffix("_clean"), space=space, **changes)
    made |= {"kind": "reconstruction_distance", "autoencoder": name, "method": "BRIGHT", "code_size": "8x8x4"}
    return made | {"metrics": {"frechet_distance": 87.654}, "intervals": {"frechet_distance": {"low": 80, "high": 95}}}


def codes(name: str, **changes: Any) -> dict[str, Any]:
    """A made-up measurement of the demo's codes (section 3.4)."""
    model = {key: value for key, value in reconstruction(name).items() if key not in ("count", "metrics")}
    return {
        **model,
        "kind": "codes",
        "table_entries_log2": 18,
        "usage": {"entries": 32_768, "used_share": 0.68125, "perplexity": 12_345.6, "evenness": 0.37676},
        "codes": {"minimum": 0.0123, "maximum": 0.9876, "variance": 0.021},
        "noise": {
            "psnr": 24.05,
            "lpips_alex": 0.0171,
            "psnr_fall": 0.321,
            "lpips_rise": 0.0009,
            "tolerated_deviations": 0.345,
            "tolerated_half_cells": 2.1,
        },
        "storage": {"tables": 5_000_000, "decoding": 7_500_000, "code_bits": 8192, "codes": 9_216_000},
        "protocol": {"count": 256, "codes": 9000, "noise": "uniform within ± size", "seed": 3},
    } | changes


def decoding(**rates: float) -> dict[str, Any]:
    """Made-up images per second of models that took turns."""
    models = {
        name: {
            "method": "BRIGHT",
            "code_size": "8x8x4",
            "key_length": 1,
            "feature_size": 16,
            "images_per_second": {"median": rate, "low": 0.9 * rate, "high": 1.1 * rate},
        }
        for name, rate in rates.items()
    }
    protocol = {"device": "a CPU", "threads": 1, "batch": 8, "images_per_second_interval": "slowest, fastest round"}
    return {"kind": "decoding", "models": models, "protocol": protocol}
