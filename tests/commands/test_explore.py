"""The model in the package, and `bright explore`: they work in an empty folder."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_pipeline import load_autoencoder
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.explore import explore
from bright_pipeline.generation.interactive import PACKAGED_MODEL
from bright_pipeline.models.checkpoints import save_autoencoder
from first_stages import RESOLUTION, small_model
from PIL import Image

pytestmark = pytest.mark.usefixtures("own_folder")


def facts(page: Path) -> dict:
    """What the page's decoder reads."""
    (data,) = re.findall(r'<script type="application/json" id="explorer-data">(.*?)</script>', page.read_text(), re.S)
    return json.loads(data)


def test_the_model_in_the_package_is_small_and_encodes_decodes_and_samples() -> None:
    assert sum(path.stat().st_size for path in PACKAGED_MODEL.rglob("*") if path.is_file()) <= 6e6
    model = load_autoencoder()
    images = model.sample(8, seed=1)
    assert len({image.tobytes() for image in images}) == 8
    again = [np.asarray(image, float) for image in model.decode(model.encode(images))]
    errors = [np.square(np.asarray(image, float) - other).mean() for image, other in zip(images, again, strict=True)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 25  # samples are as sharp as reconstructions
    assert model.examples is not None and tuple(model.examples.shape) == (10, 4, 8, 8)


def test_its_pictures_show_clothes() -> None:
    """Clothes on black: the border is dark, and the middle is not."""
    model = load_autoencoder()
    pixels = np.stack([np.asarray(image, float) for image in [*model.decode(model.examples), *model.sample(8)]])
    assert pixels[:, :2].mean() < 5 < 60 < pixels[:, 12:20, 12:20].mean()


def test_the_page_has_the_models_images_and_samples_or_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    explore()
    assert capsys.readouterr().out == "explorer.html: open it in a browser\n"
    model, own = load_autoencoder(), facts(Path("explorer.html"))
    assert torch.tensor(own["codes"]).view(10, 4, 8, 8).sub(model.examples).abs().max() < 1e-5
    assert torch.tensor(own["samples"]).view(10, 4, 8, 8).sub(model.sample_codes(10)).abs().max() < 1e-5
    Path("photos").mkdir()
    Image.new("RGB", (80, 60), "navy").save("photos/a.jpg")
    explore(Path("mine.html"), images=Path("photos"), count=3)
    mine, code = facts(Path("mine.html")), model.encode([Path("photos/a.jpg")], prepare=True)
    assert torch.tensor(mine["codes"]).view(1, 4, 8, 8).sub(code).abs().max() < 1e-5
    assert np.abs(np.subtract(mine["samples"], own["samples"][:3])).max() < 1e-4  # drawn in batches of other sizes


def test_a_model_that_cannot_be_explored_is_one_line() -> None:
    for family, words in {"kl": "it has no hash tables", "bright": "give --images FOLDER"}.items():
        model = small_model(family)
        save_autoencoder(Path("model.safetensors"), model, model.settings, RESOLUTION, 1)
        with pytest.raises(InputError, match=words):
            explore(model="model.safetensors")
    Path("empty").mkdir()
    with pytest.raises(InputError, match=r"^empty: no image$"):
        explore(images=Path("empty"))
    assert not Path("explorer.html").exists()
