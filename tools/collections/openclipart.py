"""The embedded collection `openclipart`: drawings of Debian's package openclipart-png, 64 x 64, in a zip.

    apt-get download openclipart-png && dpkg-deb -x openclipart-png_*.deb /tmp/openclipart
    python tools/collections/openclipart.py /tmp/openclipart/usr/share/openclipart/png

Each drawing is composited on white, centered in a white square with the length of its longer side, and resized. Links,
the folders EXCLUDED, drawings that are too elongated, nearly empty or nearly gray, and drawings similar to an earlier
one (by name) are excluded. Lossless WebP takes 60% of the bytes of PNG. The shipped zip was made with version
1:0.18+dfsg-19 of the package and Pillow 13.0; another Pillow may encode the same pixels differently.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress, logger
from bright_pipeline.data.archive import ArchiveWriter
from bright_pipeline.data.decode import BadImage
from bright_pipeline.data.listing import embedded_path
from bright_pipeline.data.sources import FolderImages
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.settings.dataset import EmbeddedSource
from PIL import Image

SIDE = 64  # pixels
EXCLUDED = ("logos/", "recreation/games/cards/", "special/examples/", "unsorted/duplicates/")
LONGEST = 2.5  # largest ratio of the sides
WHITE, LEAST_DRAWN = 240, 0.05  # a pixel with a channel below WHITE is drawn; least share of drawn pixels
GRAY, LEAST_COLOURED = 16, 0.02  # a pixel whose channels differ by more than GRAY is coloured; least share
THUMBNAIL, NEAREST = 16, 10  # pixels; least root mean square difference of two drawings at this size, of 255

SHIPPED = embedded_path(EmbeddedSource(kind="embedded", name="openclipart"))

Drawing = tuple[str, np.ndarray]  # a name and pixels, uint8 (64, 64, 3)


def openclipart(
    drawings: Annotated[Path, typer.Argument(help="The unpacked folder usr/share/openclipart/png of the package.")],
    output: Annotated[Path, typer.Option(help="The zip to write, with SHA256SUMS in the same folder.")] = SHIPPED,
) -> None:
    """Create the zip of the embedded collection `openclipart`, and its SHA256SUMS, from Debian's openclipart-png."""
    chosen = list(different(worthwhile(drawings)))
    if not chosen:
        raise InputError(f"{drawings}: contains no usable drawing; give the package's folder usr/share/openclipart/png")
    with ArchiveWriter(output, channels=3) as archive:
        for name, pixels in chosen:
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, "webp", lossless=True)
            archive.add_encoded(str(Path(name).with_suffix(".webp")), encoded.getvalue())
    sha256 = hashlib.sha256(output.read_bytes()).hexdigest()
    write_text(output.with_name("SHA256SUMS"), f"{sha256}  {output.name}\n")
    print(f"{output}: {len(chosen)} drawings, {output.stat().st_size} bytes")


def worthwhile(folder: Path) -> Iterator[Drawing]:
    """The drawings with enough colour, ordered by name."""
    images = FolderImages(folder, "drawings")
    names = [name for name in images.names() if not name.startswith(EXCLUDED) and not (folder / name).is_symlink()]
    with Progress("openclipart", len(names), "drawings") as progress:
        for name in names:
            progress.advance()
            try:
                image = images.image(name, 3)
            except BadImage as error:
                logger.warning("skipped %s: %s", name, error)
                continue
            side = max(image.size)
            square = Image.new("RGB", (side, side), "white")
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
            if max(image.size) <= LONGEST * min(image.size) and shows_colour(pixels):
                yield name, pixels


def shows_colour(pixels: np.ndarray) -> bool:
    """Whether enough pixels are drawn and coloured."""
    drawn = pixels.min(axis=2) < WHITE
    coloured = np.ptp(pixels, axis=2) > GRAY
    return bool(drawn.mean() >= LEAST_DRAWN and coloured.mean() >= LEAST_COLOURED)


def different(drawings: Iterable[Drawing]) -> Iterator[Drawing]:
    """The drawings that differ from all earlier ones."""
    seen: list[np.ndarray] = []
    for name, pixels in drawings:
        small = thumbnail(pixels)
        if not seen or np.square(np.stack(seen) - small).mean(axis=1).min() >= NEAREST**2:
            seen.append(small)
            yield name, pixels


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Means over blocks of a drawing's pixels, float32 (768)."""
    size = SIDE // THUMBNAIL
    return pixels.reshape(THUMBNAIL, size, THUMBNAIL, size, 3).mean(axis=(1, 3), dtype=np.float32).ravel()


if __name__ == "__main__":
    run_stage(openclipart, beats=False)
