"""Nearest neighbours by LPIPS: the embedding's distance is LPIPS, and the search is exact."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import content_digest
from bright_pipeline.evaluation.neighbours import LpipsEmbedding, Neighbours, distance_quantiles, memorization, nearest
from bright_pipeline.models.perceptual import LpipsDistance
from bright_pipeline.nearest_neighbours import nearest_neighbours
from feature_sets import archive, pictures
from PIL import Image


@pytest.fixture(scope="module")
def weights(networks_folder: Path) -> Path:
    return networks_folder / "lpips_alex.safetensors"


@pytest.fixture(scope="module")
def embedding(weights: Path) -> LpipsEmbedding:
    return LpipsEmbedding(weights)


@pytest.mark.parametrize("size", [32, 64])
def test_squared_distance_of_embeddings_is_lpips(weights: Path, embedding: LpipsEmbedding, size: int) -> None:
    generator = torch.Generator().manual_seed(1)
    one, two = (torch.randint(0, 256, (4, 3, size, size), generator=generator) for _ in range(2))
    with torch.no_grad():
        expected = LpipsDistance("lpips_alex", weights)(one / 127.5 - 1, two / 127.5 - 1)
        found = (embedding(one) - embedding(two)).square().sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("memory_gb", [1.0, 1e-4])
def test_neighbours_are_those_of_all_pairs(weights, embedding, tmp_path, memory_gb) -> None:
    """Against LPIPS of every pair by the lpips package; also when queries are split into parts of two."""
    train = archive(tmp_path / "train.zip", pictures(23, 1, 1))
    queries = archive(tmp_path / "queries.zip", pictures(7, 2, 1))
    found = nearest(embedding, queries, 6, train, 4, 5, memory_gb)
    distance = LpipsDistance("lpips_alex", weights)
    made, real = (one.tensor() / 127.5 - 1 for one in (queries, train))
    with torch.no_grad():
        expected = torch.stack([distance(made[[i] * 23], real) for i in range(6)]).topk(4, largest=False)
    torch.testing.assert_close(found.distances, expected.values, rtol=1e-3, atol=1e-5)
    assert torch.equal(found.indices, expected.indices)


def test_a_copy_of_a_training_image_is_found_at_distance_zero(embedding: LpipsEmbedding, tmp_path: Path) -> None:
    images = pictures(9, 1)
    train = archive(tmp_path / "train.zip", images)
    queries = archive(tmp_path / "queries.zip", np.concatenate([images[:1], pictures(1, 2)]))
    found = nearest(embedding, queries, 2, train, 1, 4, 1.0)
    assert found.indices[0, 0] == 0
    assert found.distances[0, 0] < 1e-5 < found.distances[1, 0]


def test_more_images_than_there_are_is_an_input_error(embedding: LpipsEmbedding, tmp_path: Path) -> None:
    train = archive(tmp_path / "train.zip", pictures(3, 1))
    with pytest.raises(InputError, match="count: must be at most 3, the number of images, not 4"):
        nearest(embedding, train, 4, train, 1, 4, 1.0)
    with pytest.raises(InputError, match="neighbours: must be at most 3, the number of training images, not 4"):
        nearest(embedding, train, 2, train, 4, 4, 1.0)


def near(*values: float) -> Neighbours:
    return Neighbours(torch.tensor(values)[:, None], torch.zeros(len(values), 1, dtype=torch.long))


def test_the_ratio_is_of_the_medians() -> None:
    found = memorization(near(0.1, 0.2, 0.9), near(0.1, 0.25, 0.3))
    expected = {"median_generated": 0.2, "median_validation": 0.25, "ratio": 0.8, "share_nearer": 1 / 3}
    assert found == pytest.approx(expected)
    with pytest.raises(InputError, match="exact copies"):
        memorization(near(0.1), near(0.0))


def test_a_few_copies_show_in_the_share_nearer_where_the_medians_agree() -> None:
    """Of 200 generated images 40 are copies; the others, and the validation images, are alike."""
    distances = np.linspace(0.2, 0.6, 200)
    copying = near(*np.where(np.arange(200) % 5 == 0, 0.01, distances))
    for generated, share in ((near(*distances), 0.05), (copying, 0.24)):
        assert memorization(generated, near(*distances))["share_nearer"] == pytest.approx(share, abs=0.02)


def test_quantiles_are_those_of_the_nearest_distances() -> None:
    found = distance_quantiles(near(*np.linspace(0, 1, 101)))
    assert found == pytest.approx({str(level): level for level in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)})


def test_the_stage_writes_table_summary_and_picture(weights: Path, tmp_path: Path) -> None:
    train = archive(tmp_path / "train.zip", pictures(12, 1, 1))
    archive(tmp_path / "validation.zip", pictures(5, 2, 1))
    archive(tmp_path / "first.zip", pictures(2, 1, 1))  # copies of the first training images
    archive(tmp_path / "second.zip", pictures(2, 4, 1), first=2)
    first, second, train_zip, validation = (
        tmp_path / f"{name}.zip" for name in ("first", "second", "train", "validation")
    )
    job = json.dumps({"method": "BRIGHT (LDM)", "count": 3, "neighbours": 2})
    outputs = [tmp_path / name for name in ("neighbours.csv", "summary.json", "neighbours.png")]
    nearest_neighbours(job, [first, second], train_zip, validation, weights, *outputs)
    frame = pd.read_csv(tmp_path / "neighbours.csv")
    assert len(frame) == (3 + 5) * 2
    assert list(frame["rank"][:4]) == [1, 2, 1, 2]
    assert (frame.groupby(["set", "image"], sort=False)["lpips"].diff().dropna() >= 0).all()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["kind"], summary["details"]["validation_count"]) == ("neighbours", 5)
    share = summary["values"]["share_nearer"]
    assert 0 <= share["number"] <= 1 and share["protocol"]["count"] == 3
    assert share["protocol"]["reference_sha256"] == content_digest(train)
    numbers = {name: value["number"] for name, value in summary["values"].items()}
    assert summary["details"]["quantiles"]["generated"]["0.5"] == pytest.approx(numbers["median_generated"])
    assert numbers["ratio"] == pytest.approx(numbers["median_generated"] / numbers["median_validation"])
    picture = Image.open(tmp_path / "neighbours.png")
    assert (picture.mode, picture.size) == ("RGB", (3 * 98 + 2, 3 * 98 + 2))
