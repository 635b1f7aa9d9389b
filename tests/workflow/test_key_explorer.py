"""The key explorer in the tiny run's page: its decoder in a browser against PyTorch's, the mouse and the keyboard."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from bright_pipeline import load_autoencoder as load_packaged
from bright_pipeline.commands.explore import explore
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import to_uint8
from bright_pipeline.generation.explorer import explorer_decoder
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import load_autoencoder
from draw_explorer import PICTURE, drag, offered
from PIL import Image
from playwright.sync_api import Page, expect
from tiny_workflow import Workflow

Ranges = list[list[float]]  # the lowest and the highest key of each group
PIXELS = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const shown = document.getElementById("decoded"), { width, height } = shown;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(shown, 0, 0);
  done([...copy.getImageData(0, 0, width, height).data].filter((_, n) => n % 4 === 0));
})))"""


@pytest.fixture(scope="module")
def model(tiny_run: Workflow) -> Bright:
    """The tiny run's autoencoder; tables and noise, which its training hardly changes, are drawn again."""
    path = next(tiny_run.path("results/store/autoencoders").glob("main-*/autoencoder.safetensors"))
    model = cast(Bright, load_autoencoder(path))
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.named_parameters():
        if limit := {"tables.tables": 5.0}.get(name, 0.1 * name.endswith("noise_strength")):
            weights.data.uniform_(-limit, limit, generator=generator)
    return model


@pytest.fixture
def decoded(model: Bright) -> Callable[[list[float]], np.ndarray]:
    """PyTorch's picture of a code, as bytes."""
    side, _, channels = model.settings.code_size

    @torch.no_grad()
    def decode(code: list[float]) -> np.ndarray:
        return to_uint8(model.decode(torch.tensor(code).view(1, channels, side, side)))[0, 0].numpy().astype(int)

    return decode


@pytest.fixture
def tiny_page(visit: Callable[..., Page], address: str, model: Bright, tmp_path: Path) -> Callable[[Ranges], Page]:
    """Opens the page of the tiny run with the weights of this model and these ranges of keys."""
    page = Path(url2pathname(urlsplit(address).path)).read_text()
    before, opening, rest = page.partition('<script type="application/json" id="explorer-data">')
    data, closing, after = rest.partition("</script>")

    def opened(ranges: Ranges) -> Page:
        changed = json.loads(data) | {"decoder": explorer_decoder(model), "ranges": ranges}
        (tmp_path / "page.html").write_text(before + opening + json.dumps(changed) + closing + after)
        return visit((tmp_path / "page.html").as_uri())

    return opened


@pytest.fixture
def shown(tiny_page: Callable[[Ranges], Page]) -> Page:
    """The page with keys of any value, and a brush for one key."""
    page = tiny_page([[0, 1], [0, 1]])
    page.select_option("#key-brush", "1")
    return page


def picture(page: Page) -> np.ndarray:
    return np.array(page.evaluate(PIXELS)).reshape(32, 32)


def in_page(page: Page) -> dict:
    return json.loads(page.locator("#explorer-data").text_content() or "")


def test_pictures_of_validation_images_and_samples_are_pytorchs(shown: Page, decoded) -> None:
    data = in_page(shown)
    assert len(data["codes"]) == len(data["samples"]) == 10
    for number, code in enumerate(data["codes"]):
        shown.select_option("#key-first", str(number))
        assert np.abs(picture(shown) - decoded(code)).max() <= 1
    for number, code in enumerate(data["samples"], start=1):
        shown.click("#key-sample")
        assert np.abs(picture(shown) - decoded(code)).max() <= 1
        assert shown.text_content("#decoded-words") == f"Sample {number} of the diffusion model"
    shown.locator("#key-share").fill("50")
    halves = [(a + b) / 2 for a, b in zip(data["codes"][9], data["codes"][1], strict=True)]
    assert np.abs(picture(shown) - decoded(halves)).max() <= 1
    shown.click("#key-reset")
    assert np.abs(picture(shown) - decoded(data["codes"][9])).max() <= 1


def test_dragging_a_key_changes_the_pixels_that_pytorch_changes(shown: Page, decoded) -> None:
    code = in_page(shown)["codes"][0]
    before, second = picture(shown), shown.locator("#key-maps canvas").nth(1)
    sign = 1 if code[16 + 11] < 0.5 else -1
    drag(second, 2.5 / 4, 3.5 / 4, sign * 60)  # row 3, column 4
    code[16 + 11] += sign * 60 / 150
    expect(second).to_have_attribute("aria-valuetext", f"row 3, column 4: {code[16 + 11]:.3f}")
    after, expected = picture(shown), decoded(code)
    assert np.abs(after - expected).max() <= 1
    changed = np.abs(expected - decoded(in_page(shown)["codes"][0])) > 2
    assert changed.any() and (after != before)[changed].all()
    assert shown.text_content("#key-words") == f"Group 2, row 3, column 4: key {code[16 + 11]:.3f}"
    visible = (np.abs(after - before) > 8).sum()
    assert shown.text_content("#difference-words").endswith(f"than the original: {visible} of 1,024 pixels")


@pytest.mark.parametrize(("brush", "keys"), [("3", [6, 7, 10, 11, 14, 15]), ("8", range(16))])
def test_a_brush_moves_the_keys_below_it_as_far_as_training_codes_do(tiny_page, decoded, brush, keys) -> None:
    """From row 3, column 4, at the right edge; a key beyond the range of training codes stays there."""
    code = in_page(tiny_page([[0, 1], [0, 1]]))["codes"][0]
    highest = sorted(code[:16])[8]
    page = tiny_page([[0, highest], [0, 1]])
    page.select_option("#key-brush", brush)
    drag(page.locator("#key-maps canvas").first, 2.5 / 4, 3.5 / 4, 300)
    changed = [max(key, highest) if at in keys else key for at, key in enumerate(code)]
    assert np.abs(picture(page) - decoded(changed)).max() <= 1
    page.click("#key-reset")
    expect(page.locator("#difference-words")).to_have_text(re.compile(": 0 of 1,024 pixels$"))


def test_the_page_of_the_model_in_the_package_decodes_as_python_does(visit, tmp_path: Path) -> None:
    explore(tmp_path / "explorer.html", count=3)
    page, packaged = visit((tmp_path / "explorer.html").as_uri()), load_packaged()
    for number in range(3):
        page.select_option("#key-first", str(number))
        expected = np.asarray(packaged.decode(packaged.examples[number : number + 1])[0]).astype(int)
        assert np.abs(picture(page) - expected).max() <= 2  # the page has keys of five decimals, and weights of 16 bits
    page.click("#key-sample")
    assert np.abs(picture(page) - np.asarray(packaged.sample(1)[0])).max() <= 2
    assert Axe().run(page).response["violations"] == []


@pytest.mark.demo
@pytest.mark.skipif("BRIGHT_PAGE" not in os.environ, reason="BRIGHT_PAGE names the page of a demo, whose keys matter")
def test_twenty_of_twenty_four_drags_on_a_demos_page_change_more_than_ten_pixels_visibly(visit, address: str) -> None:
    """From validation images and samples, in all groups, at drawn keys and to both ends of their range."""
    page, random = visit(address), np.random.default_rng(0)
    maps, changed = page.locator("#key-maps canvas").all(), []
    for number in range(24):
        if number % 3 == 2:
            page.click("#key-sample")
        else:
            page.select_option("#key-first", str(number % 10))
        row, column = random.random(2)
        drag(maps[number % len(maps)], row, column, 200 * random.choice([1, -1]))
        words = page.text_content("#difference-words") or ""
        changed.append(int(words.rpartition(": ")[2].split()[0]))
    print(changed)
    assert sum(pixels > 10 for pixels in changed) >= 20


def test_the_picture_in_the_readme_offers_what_the_demos_page_offers(visit, address: str) -> None:
    """The tiny run has the same page with other maps; BRIGHT_PAGE names the page of a demo."""
    with Image.open(PICTURE) as drawn:
        recorded = json.loads(drawn.text["offered"])
    offers = offered(visit(address))
    demo = read_config(Path(__file__).parents[2] / "config" / "demo.yaml")
    assert recorded["maps"] == demo.autoencoders["main"].code_size.channels
    assert recorded == offers | {"maps": offers["maps"] if "BRIGHT_PAGE" in os.environ else recorded["maps"]}


def test_the_keyboard_reaches_and_changes_every_key(shown: Page, decoded) -> None:
    code = in_page(shown)["codes"][0]
    shown.locator("#key-maps canvas").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "End"):
        shown.keyboard.press(key)
    code[4 + 2] = 1.0
    assert np.abs(picture(shown) - decoded(code)).max() <= 1
    shown.keyboard.press("-")
    expect(shown.locator("#key-words")).to_have_text("Group 1, row 2, column 3: key 0.980")
    rows = shown.locator("#key-features tr")
    assert rows.locator("th").all_text_contents() == ["4", "6", "8"] and rows.first.locator("td").count() == 4
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.getAttribute('aria-label')") == "Keys of group 2"
    assert Axe().run(shown, "#explorer").response["violations"] == []
