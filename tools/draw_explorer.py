"""Draw README's picture of the key explorer from the page of a finished demo: docs/images/key-explorer.png.

    python tools/draw_explorer.py results/demo/report.html

A text chunk of the picture names everything that the page offered, so that a test can compare it with a page.
"""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Locator, Page, sync_playwright

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "key-explorer.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OFFERED = """section => {
  const words = (selector) => [...section.querySelectorAll(selector)].filter((shown) => shown.checkVisibility())
    .map((shown) => shown.textContent.trim());
  return {
    controls: words("label, button"), hint: words(".hint"), columns: words("thead th"),
    brushes: [...section.querySelectorAll("#key-brush option")].map((option) => option.textContent),
    images: section.querySelectorAll("#key-first option").length,
    maps: section.querySelectorAll("#key-maps canvas").length,
  };
}"""


def offered(page: Page) -> dict[str, Any]:
    """Everything that a page's explorer offers: words of its controls, numbers of images and maps."""
    return dict(page.locator("#explorer").evaluate(OFFERED))


def drag(map_of_keys: Locator, row: float, column: float, pixels: float) -> None:
    """Drag the key at a share of a map's height and width up by so many pixels."""
    map_of_keys.scroll_into_view_if_needed()
    box, mouse = map_of_keys.bounding_box(), map_of_keys.page.mouse
    assert box is not None
    x, y = box["x"] + box["width"] * column, box["y"] + box["height"] * row
    mouse.move(x, y)
    mouse.down()
    mouse.move(x, y - pixels)
    mouse.up()
    map_of_keys.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


@contextmanager
def opened(report: Path) -> Iterator[Page]:
    """The page of a run in a browser."""
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1300}, device_scale_factor=1.5)
        page.goto(report.resolve().as_uri())
        yield page


def draw(report: Path) -> None:
    with opened(report) as page:
        drag(page.locator("#key-maps canvas").nth(1), row=0.55, column=0.5, pixels=60)
        shot = page.screenshot(clip=clip(page), full_page=True)
        facts = PngInfo()
        facts.add_itxt("offered", json.dumps(offered(page), sort_keys=True))
    with Image.open(io.BytesIO(shot)) as picture:
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(PICTURE, optimize=True, pnginfo=facts)


def clip(page: Page) -> Any:
    """The controls and the pictures, without the heading, in pixels of the whole page."""
    return page.evaluate("""() => {
      const top = document.querySelector("#explorer .hint").getBoundingClientRect();
      const { bottom, width } = document.querySelector(".explorer").getBoundingClientRect();
      return { x: top.x + scrollX - 12, y: top.y + scrollY - 12, width: width + 24, height: bottom - top.y + 24 };
    }""")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]))
