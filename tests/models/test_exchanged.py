"""The families of config/exchanged: each bottleneck in the networks of the other families."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.base.yaml_files import parse_yaml
from bright_pipeline.config.root import load_config
from bright_pipeline.families import autoencoder_family, load
from snakemake.utils import update_config
from torch import Tensor

CONFIG = Path(__file__).parents[2] / "config"
IN_BRIGHT = ["kl-in-bright", "vqgan-in-bright", "rqvae-in-bright"]
IMAGES = torch.linspace(-1, 1, 4 * 32 * 32).view(4, 1, 32, 32)


class Random:
    """Draws of a training step, from one generator."""

    batch, rows = 4, slice(0, 4)

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def shared_integers(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.generator)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A function that builds the model of an entry of config/exchanged-networks.yaml."""
    monkeypatch.syspath_prepend(CONFIG)
    values: dict[str, Any] = {}
    for name in ("comparison", "exchanged-networks"):
        update_config(values, parse_yaml((CONFIG / f"{name}.yaml").read_text(), name))
    config = load_config(values)

    def build(entry: str) -> Any:
        settings: Any = config.autoencoders[entry]
        torch.manual_seed(0)
        return load(autoencoder_family(settings.family).model)(settings, 32, 1)

    return build


@pytest.mark.parametrize("name", IN_BRIGHT)
def test_brights_networks_around_another_bottleneck_are_those_of_bright_without_tables(
    model: Callable[[str], Any], name: str
) -> None:
    ours, bright = model(name), model("without-tables")
    same = {key: value for key, value in bright.state_dict().items() if not key.startswith("encoder.")}
    assert ours.decoder.load_state_dict(same).missing_keys == []
    codes = torch.rand(4, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(ours.decoder(codes), bright.decode(codes))
    encoders = (ours.encoder.state_dict(), bright.encoder.network.state_dict())
    inner, outer = ({key: value.shape for key, value in each.items() if "conv_out" not in key} for each in encoders)
    assert inner == outer, "all but the numbers that a bottleneck reads"
    counted, others = (load(autoencoder_family(it.settings.family).counts)(it.settings, 32, 1) for it in (ours, bright))
    assert counted["gmacs"]["true"] == pytest.approx(others["gmacs"]["true"], rel=1e-6)
    assert counted["encoder_params"] == sum(weight.numel() for weight in ours.encoder.parameters())


@pytest.mark.parametrize("name", IN_BRIGHT)
def test_synthesis_has_noise_in_training_alone(model: Callable[[str], Any], name: str) -> None:
    ours = model(name)
    for block in ours.decoder.synthesis.blocks:
        for layer in block.convolutions:
            torch.nn.init.ones_(layer.noise_strength)
    drawn = [ours.training_pass(IMAGES, Random(seed))[0] for seed in (0, 1)]
    assert not torch.equal(*drawn)
    codes = ours.encode(IMAGES)
    assert torch.equal(ours.decode(codes), ours.decode(codes))


@pytest.mark.parametrize("name", ["keys", "keys-of-32-groups"])
def test_keys_in_vqgans_networks_have_the_noise_of_the_mean_of_brights_copies(
    model: Callable[[str], Any], name: str
) -> None:
    ours, bright = model(name), model("key-penalty-30")
    assert ours.code_bits() == bright.code_bits(), "one bound of the bits"
    keys = ours.encode(IMAGES)
    assert ((keys > 0) & (keys < 1)).all()
    images, losses = ours.training_pass(IMAGES, Random(0))
    noise = torch.randn(keys.shape, generator=torch.Generator().manual_seed(0)) / (2 * 4 * 32)
    torch.testing.assert_close(images, ours.decode((keys + noise).clamp(0, 1)))
    torch.testing.assert_close(losses["key_penalty"], 30 * ((keys - 0.5) ** 2).mean())
    groups = {layer.num_groups for layer in ours.encoder.modules() if isinstance(layer, torch.nn.GroupNorm)}
    assert groups == ({8} if name == "keys" else {32})
