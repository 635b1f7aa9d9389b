"""The collections that are shipped, and the configs on them; tools/collections makes them."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from bright_pipeline.config.root import read_config
from bright_pipeline.data.listing import EMBEDDED, EMBEDDED_COLLECTIONS
from bright_pipeline.settings.dataset import EmbeddedSource
from bright_pipeline.settings.first_stage import FirstStage, FirstStageNetwork

ROOT = Path(__file__).parents[2]


def test_every_embedded_collection_has_a_name_in_the_config_a_licence_and_hashes_also_in_a_wheel() -> None:
    folders = {path.name for path in EMBEDDED.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == EMBEDDED_COLLECTIONS.keys() == set(get_args(EmbeddedSource.model_fields["name"].annotation))
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        path for pattern in data["bright_pipeline.data.embedded"] for path in EMBEDDED.glob(pattern) if path.is_file()
    }
    for name, collection in EMBEDDED_COLLECTIONS.items():
        files = {EMBEDDED / name / file for file in (collection, "LICENSE.txt", "SHA256SUMS")}
        assert files <= set((EMBEDDED / name).iterdir()) <= packed


@pytest.mark.parametrize("name", ["demo-colour", "transfer", "comparison", "demo-all"])
def test_families_are_compared_on_equal_terms(name: str) -> None:
    """On as many images of one dataset, with one perceptual loss, and normalization groups of the published width."""
    config = read_config(ROOT / "config" / f"{name}.yaml")
    published = FirstStageNetwork()
    models = {row: model for row, model in config.autoencoders.items() if not row.endswith("-of-32-groups")}
    networks = [model.network for model in models.values() if isinstance(model, FirstStage)]
    assert networks
    for network in networks:
        assert network.channels // network.norm_groups == published.channels // published.norm_groups == 4
    if name in ("demo-colour", "transfer"):
        compared = [config.autoencoders[row] for row in config.tables_or_default.table2]
        assert sorted(model.family for model in compared) == ["bright", "kl", "rqvae", "vqgan"]
        assert len({(model.dataset, model.training.images, model.training.batch) for model in compared}) == 1
        assert len({model.losses.perceptual.model_dump_json() for model in compared}) == 1
