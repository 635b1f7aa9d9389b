"""Draw the pictures of docs/gallery.md from the page of a finished demo: docs/images/gallery-*.webp.

    python tools/draw_gallery.py results/demo/report.html

Reconstructions and samples are those of the page, in its order; the explorer's frames are taken in a browser. Samples
of drawings and photographs are copies, in fewer bytes, of docs/images/demo-colour-fig07.png and transfer-fig07.png.
"""

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from draw_explorer import drag, opened
from PIL import Image
from playwright.sync_api import Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIDE, GAP, COLUMNS = 120, 6, 6  # pixels of a picture and between two, pictures in a row
PAIRS, SAMPLES = 12, 24
FRAME = 760  # pixels of a frame's width
COPIES = {"drawings": "demo-colour-fig07.png", "photographs": "transfer-fig07.png"}
SHOWN = """() => {
  const boxes = [...document.querySelectorAll(".explorer figure")].map((figure) => figure.getBoundingClientRect());
  const [left, top] = [Math.min(...boxes.map((box) => box.left)), Math.min(...boxes.map((box) => box.top))];
  const [right, bottom] = [Math.max(...boxes.map((box) => box.right)), Math.max(...boxes.map((box) => box.bottom))];
  return { x: left + scrollX - 8, y: top + scrollY - 8, width: right - left + 16, height: bottom - top + 16 };
}"""


def images(page: Page, selector: str, count: int) -> list[Image.Image]:
    """The first images of a part of the page, enlarged without smoothing."""
    sources = page.locator(selector).evaluate_all(
        "(images, count) => images.slice(0, count).map((image) => image.src)", count
    )
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]
    return [picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST) for picture in pictures]


def grid(rows: list[list[Image.Image]]) -> Image.Image:
    """Rows of pictures of one size, on white."""
    width, height = (size + GAP for size in rows[0][0].size)
    sheet = Image.new("RGB", (width * len(rows[0]) - GAP, height * len(rows) - GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * width, y * height))
    return sheet


def in_rows(pictures: list[Image.Image]) -> list[list[Image.Image]]:
    return [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]


def frames(page: Page) -> Iterator[Image.Image]:
    """The explorer: an image, its keys changed, halfway to another image, a sample."""

    def frame() -> Image.Image:
        with Image.open(io.BytesIO(page.screenshot(clip=page.evaluate(SHOWN), full_page=True))) as shot:
            return shot.convert("RGB").resize(
                (FRAME, round(shot.height * FRAME / shot.width)), Image.Resampling.LANCZOS
            )

    yield frame()
    drag(page.locator("#key-maps canvas").nth(1), row=0.55, column=0.5, pixels=60)
    yield frame()
    page.click("#key-reset")
    page.locator("#key-share").fill("50")
    yield frame()
    page.click("#key-sample")
    yield frame()


def draw(report: Path) -> Iterator[tuple[str, Image.Image, bool]]:
    """Name, picture, and whether to keep every pixel."""
    with opened(report) as page:
        originals, reconstructions = (
            in_rows(images(page, f"#reconstructions .compare img{which}", PAIRS)) for which in (":not(.over)", ".over")
        )
        pairs = [row for pair in zip(originals, reconstructions, strict=True) for row in pair]
        yield "reconstructions", grid(pairs), True
        yield "samples", grid(in_rows(images(page, "#samples .samples img", SAMPLES))), True
        taken = list(frames(page))
        height = max(frame.height for frame in taken)
        yield "explorer", grid([[frame.crop((0, 0, FRAME, height))] for frame in taken]), True
    for name, copy in COPIES.items():
        with Image.open(IMAGES / copy) as picture:
            yield f"{name}-samples", picture.convert("RGB"), False


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, picture, lossless in draw(Path(sys.argv[1])):
        picture.save(IMAGES / f"gallery-{name}.webp", lossless=lossless, quality=80, method=6)
