"""A collection of photographs: 64 x 64 tiles of Debian's desktop backgrounds.

    apt-get download budgie-backgrounds lomiri-wallpapers-16.04 mate-backgrounds
    for package in *.deb; do dpkg-deb -x $package /tmp/backgrounds; done
    python tools/collections/photographs.py /tmp/backgrounds/usr/share/backgrounds data/photographs

A photograph is resized so that its shorter side has 8 tiles, and cut into disjoint tiles. Up to 72 evenly spaced tiles
that are neither flat nor blurred are written to one folder per photograph. `validation.txt` lists the tiles of every
fifth photograph, so that no photograph is on both sides of the split. Versions 3.0-1, 20.04.0-4 and 1.26.0-1 of the
packages give 2,182 tiles of 38 photographs, 387 of them for validation.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import encode_png
from bright_pipeline.data.decode import BadImage
from bright_pipeline.data.sources import FolderImages
from PIL import Image

SIDE = 64  # pixels of a tile
TILES = 8  # along the shorter side of a photograph
KEPT = 72  # the most tiles of a photograph
LEAST_DETAIL = 1.5  # mean difference of neighbouring gray pixels, of 255: tiles below are flat or blurred
EVERY = 5  # every fifth photograph is for validation

# The photographs in these packages, by folder. Licences are in their files debian/copyright.
PHOTOGRAPHS = {
    # budgie-backgrounds: CC0-1.0
    "budgie": (
        *("abstract-spiral", "beacon-street-sunset", "blue-periwinkle", "canyon-wren", "casa-mila"),
        *("extreme-desert-hike", "high-trestle-trail", "lake-sherburne", "oakland-zoo-otters", "perched-osprey"),
        *("roman-colosseum", "singaporean-cityscape", "tea-gardens"),
    ),
    # lomiri-wallpapers-16.04: CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0
    "": (
        *("Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Picture_0B_by_freespace", "Picture_1A_by_freespace"),
        *("Wine_by_Jakkub_Mede", "aitzgorri_by_Aitzol_Berasategi", "free_by_Peter_Nerlich"),
        *("friends_by_Aitzol_Berasategi", "greentock_by_Peter_Nerlich", "life_by_Aitzol_Berasategi"),
        *("picosdeeuropa_by_Aitzol_Berasategi", "seeding_by_Clements_Engelhardt", "sunset_by_Aitzol_Berasategi"),
    ),
    # mate-backgrounds: GPL-2 or later
    "mate/nature": (
        *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm"),
        *("TwoWings", "Wood", "YellowFlower"),
    ),
}


def photographs(
    backgrounds: Annotated[Path, typer.Argument(help="The unpacked folder usr/share/backgrounds of the packages.")],
    output: Annotated[Path, typer.Argument(help="The folder to write, with a subfolder of tiles for each photograph.")],
) -> None:
    """Cut the photographs of three Debian packages into 64 x 64 tiles."""
    if output.exists():
        raise InputError(f"{output}: already exists; choose another folder, or delete it")
    images = FolderImages(backgrounds, "backgrounds")
    found = {str(Path(name).with_suffix("")): name for name in images.names()}
    named = sorted(f"{folder}/{name}".lstrip("/") for folder, names in PHOTOGRAPHS.items() for name in names)
    if absent := [name for name in named if name not in found]:
        raise InputError(f"{backgrounds}: {len(absent)} of {len(named)} photographs are missing, such as {absent[0]}")
    names: dict[str, list[str]] = {}
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent) as work, Progress("photographs", len(named), "photographs") as progress:
        folder = Path(work, output.name)
        for name in named:
            try:
                photograph = images.image(found[name], 3)
            except BadImage as error:
                raise InputError(f"{backgrounds / found[name]}: {error}; unpack its package again") from None
            names[name] = []
            for number, tile in tiles(photograph):
                names[name].append(f"{name.replace('/', '-')}/{number:03d}.png")
                path = folder / names[name][-1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(tile))
            progress.advance()
        validation = [tile for name in named[EVERY - 1 :: EVERY] for tile in names[name]]
        (folder / "validation.txt").write_text("".join(f"{tile}\n" for tile in validation), encoding="utf-8")
        folder.rename(output)
    total = sum(map(len, names.values()))
    print(f"{output}: {total} tiles of {len(named)} photographs, {len(validation)} for validation")


def tiles(photograph: Image.Image) -> list[tuple[int, np.ndarray]]:
    """Up to KEPT evenly spaced tiles with detail: number in reading order, and pixels, uint8 (64, 64, 3)."""
    scale = TILES * SIDE / min(photograph.size)
    size = (round(photograph.width * scale), round(photograph.height * scale))
    pixels = np.asarray(photograph.resize(size, Image.Resampling.LANCZOS))
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    cut = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2)
    detailed = []
    for number, tile in enumerate(cut.reshape(-1, SIDE, SIDE, 3)):
        gray = tile.mean(axis=2)
        if np.mean([np.abs(np.diff(gray, axis=axis)).mean() for axis in (0, 1)]) >= LEAST_DETAIL:
            detailed.append((number, tile))
    chosen = np.linspace(0, len(detailed) - 1, min(KEPT, len(detailed))).round().astype(int)
    return [detailed[index] for index in chosen]


if __name__ == "__main__":
    run_stage(photographs, beats=False)
