"""The range of an estimate contains what published trainings cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from bright_pipeline.config.root import Config, load_config
from bright_pipeline.engine.jobs import Use
from bright_pipeline.estimation.costs import use_cost
from bright_pipeline.estimation.devices import DEVICES, trainings

pytestmark = pytest.mark.slow

PAPER = Path(__file__).parents[2] / "config" / "paper.yaml"
DAY = 24 * 3600
V100_OF_A100 = 2.2  # LDM's table 18 converts the days that its authors measured on A100 with this factor
# GPU-seconds. EDM (Karras et al. 2022): ADM on ImageNet-64, 2,500 million images, 13 days on 32 A100. LDM (Rombach et
# al. 2022), table 18: 26 and 18 V100-days. StyleGAN2-ADA's table of training times: config F at 256 pixels takes 912
# V100-hours for 25 million images. The first stages of LDM encode each image while they train.
PUBLISHED = {
    "diffusions.adm": ("a100", 13 * 32 * DAY, 2.5e9, None),
    "diffusions.ffhq-ldm": ("a100", 26 / V100_OF_A100 * DAY, 635e3 * 42, "ffhq-vq-f4"),
    "diffusions.church-ldm": ("a100", 18 / V100_OF_A100 * DAY, 410e3 * 96, "church-kl"),
    "generators.ffhq-stylegan2": ("v100", 912 * 3600, 25e6, None),
}


@pytest.fixture(scope="module")
def config() -> Config:
    values = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    unet = {"channels": 192, "blocks": 3, "attention_resolutions": [32, 16, 8], "head_width": 64}
    values["diffusions"]["adm"] = {"like": "ffhq", "unet": unet, "execution": {"precision": "fp16"}}
    for name in ("ffhq-ldm", "church-ldm"):
        values["diffusions"][name]["execution"] = {"precision": "tf32"}
    values["generators"]["ffhq-stylegan2"]["execution"] = {"precision": "fp32"}
    return load_config(values)


@pytest.mark.parametrize("entry", PUBLISHED)
def test_the_price_of_a_published_training_contains_its_published_cost(config: Config, entry: str) -> None:
    card, published, images, first_stage = PUBLISHED[entry]
    settings = trainings(config)[entry]
    training = settings.training
    cost = use_cost(config, Use("train", settings))
    done = getattr(training, "images", None) or training.steps * training.batch
    low, high = DEVICES[card].seconds(cost) * images / done
    if first_stage is not None:
        encoding = use_cost(config, Use("encode", config.autoencoders[first_stage], images, 8))
        low, high = np.array([low, high]) + DEVICES[card].seconds(replace(encoding, precision="tf32"))
    print(f"{entry}: {low / DAY:.1f} to {high / DAY:.1f} GPU-days, published {published / DAY:.1f}")
    assert low < published < high < 3 * low
