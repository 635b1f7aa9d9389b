"""Made-up inputs of a run's page: images, tables, figures, histories and neighbours."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bright_pipeline.data.archive import ArchiveWriter, encode_png, image_name
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.tables.display_table import DisplayCell
from PIL import Image

COLUMNS = [
    *([name, ""] for name in ("Source", "Dataset", "Method", "Code size")),
    *(["LPIPS ↓", part] for part in ("published", "measured", "difference")),
    ["PSNR (dB) ↑", "measured"],
]
ROWS = [
    ["published", "ffhq256", "VQGAN", "16x16", "0.1175", "", "", ""],
    ["measured", "clothes", "BRIGHT", "8x8x4", "", "0.0172 ± 0.05", "", "24.07 ± 5.52"],
    ["measured", "clothes", "BRIGHT <short>", "8x8x4", "", "missing", "", "20.91 ± 3.79"],
]
GENERATION_COLUMNS = [["Source", ""], ["Method", ""], ["Samples", ""], ["FID ↓", "published"], ["FID ↓", "measured"]]
GENERATION_ROWS = [
    ["published", "LDM", "50000", "4.98", ""],
    ["measured", "BRIGHT (LDM)", "1000", "", "66.5"],
    ["measured", "Real images", "1000", "", "13.4"],
]

ARCHIVES = ("validation", "reconstructions:main", "samples", "train")
CELL = re.compile(r"−?[\d.]+(?: ± (?P<std>[\d.]+)| \[(?P<low>−?[\d.]+), (?P<high>−?[\d.]+)\])?")


def display_cell(text: str, seeded: bool = False) -> DisplayCell:
    """A printed cell with its number; over training seeds, three numbers with this mean and deviation."""
    if (match := CELL.fullmatch(text)) is None:
        return DisplayCell(text)
    printed, _, spread = text.partition(" ")
    number, interval, seeds = float(printed.replace("−", "-")), None, ()
    if match["low"]:
        interval = (float(match["low"]), float(match["high"]))
    elif match["std"] and seeded:
        seeds = (number - float(match["std"]), number, number + float(match["std"]))
    return DisplayCell(printed, number, spread, interval, seeds)


def display_rows(columns: list[Any], rows: list[list[str]], seeded: bool = False) -> list[list[DisplayCell]]:
    """Rows of cells; numbers are in the columns of quantities."""
    parts = [part for _, part in columns]
    return [
        [display_cell(text, seeded) if part else DisplayCell(text) for text, part in zip(row, parts, strict=True)]
        for row in rows
    ]


def json_rows(columns: list[Any], rows: list[list[str]], seeded: bool = False) -> list[list[Any]]:
    """The same as make_table writes them."""
    cells = display_rows(columns, rows, seeded)
    return [[cell.text if cell.number is None else cell._asdict() for cell in row] for row in cells]


def write_table(
    folder: Path, name: str, columns: list[list[str]], rows: list[list[str]], seeded: bool = False
) -> list[str]:
    """A table as make_table writes it for the page, and its LaTeX."""
    told = {
        "title": f"{name}: a title",
        "columns": columns,
        "rows": json_rows(columns, rows, seeded),
        "seeded": seeded,
        "hint": f"what to look at in {name}",
        "entries": [None if row[0] == "published" else "autoencoders.main" for row in rows],
        "notes": ["a remark", "missing: network x is missing (LPIPS): put x.pth into results/networks"],
    }
    (folder / f"{name}.json").write_text(json.dumps(told))
    (folder / f"{name}.tex").write_text(f"\\begin{{tabular}} % {name} & <more>")
    return [f"table:{name}={folder / name}.json", f"latex:{name}={folder / name}.tex"]


def write_images(path: Path, count: int, side: int, channels: int, unique: int = 3, seed: int = 0) -> Path:
    """An archive of noise, the hardest images to compress; only a few of them are unique."""
    random = np.random.default_rng(seed)
    pngs = [encode_png(random.integers(0, 256, (side, side, channels), np.uint8)) for _ in range(unique)]
    with ArchiveWriter(path, channels) as archive:
        for index in range(count):
            archive.add_encoded(image_name(index), pngs[index % unique])
    return path


def write_neighbours(path: Path, queries: int, train: int, neighbours: int = 5) -> Path:
    """Neighbours as the stage writes them: query q's neighbour of rank r is training image q * k + r - 1."""
    rows = [
        ("generated", image_name(q), r, image_name((q * neighbours + r - 1) % train), 0.01 * r + 0.001 * q)
        for q in range(queries)
        for r in range(1, neighbours + 1)
    ]
    pd.DataFrame(rows, columns=["set", "image", "rank", "train_image", "lpips"]).to_csv(path, index=False)
    return path


def write_inputs(folder: Path, side: int = 32, channels: int = 1, images: int = 40, near: int = 10) -> list[str]:
    """All inputs of the page of a whole run, as arguments of the stage."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = (("table2", COLUMNS, ROWS), ("table5", GENERATION_COLUMNS, GENERATION_ROWS))
    inputs = [argument for table in tables for argument in write_table(folder, *table)]
    for number, name in enumerate(ARCHIVES):
        write_images(folder / f"{name.partition(':')[0]}.zip", images, side, channels, seed=number)
    metrics = {"image": range(images), "psnr": 24.5, "ssim": 0.875, "lpips_alex": 0.0125}
    pd.DataFrame(metrics).to_csv(folder / "per_image.csv", index=False)
    write_neighbours(folder / "neighbours.csv", near, images)
    hashes = {"network_sha256": "ab" * 32, "images_sha256": "cd" * 32}
    protocol = {"network": "lpips_alex", **hashes, "versions": {"torch": "2.13.0"}}
    measured = Summary(kind="any", values={"ratio": Value(number=1.105, protocol=protocol)})
    for name in ("neighbours", "summary"):
        write_summary(folder / f"{name}.json", measured)
    manifest: dict[str, Any] = {"name": "clothes", "license": "MIT", "source": {"kind": "embedded", "name": "x"}}
    manifest |= {"resolution": side, "channels": channels}
    manifest |= {split: {"count": 9000, "sha256": split[0] * 64} for split in ("train", "validation")}
    manifest |= {"split": {"duplicates": "keep_in_train"}, "duplicates": [{}] * 5, "ignored_files": 3}
    manifest |= {"ignored_types": {".txt": 2, ".heic": 1}, "skipped": [{"name": "a.png", "reason": "empty"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "history.csv").write_text("step,images,seconds,l2,critic\n20,320,4.5,0.25,\n40,640,83.5,0.125,\n")
    for name in ("fig01", "curves_autoencoders"):
        Image.new("RGB", (600, 150), "white").save(folder / f"{name}.png")
        inputs.append(f"figure:{name}={folder / name}.png")
    Image.new("RGBA", (600, 150), (255, 255, 255, 0)).save(folder / "dark.png")
    inputs.append(f"dark:fig01={folder}/dark.png")
    return [
        *inputs,
        *(f"{name}={folder}/{name.partition(':')[0]}.zip" for name in ARCHIVES),
        *(f"{name}={folder}/{name.partition(':')[0]}.csv" for name in ("per_image:main", "neighbours")),
        *(f"{name}={folder}/{name.partition(':')[0]}.json" for name in ("manifest:clothes-0a", "summary:main")),
        f"neighbours_summary={folder}/neighbours.json",
        f"history:autoencoder main={folder}/history.csv",
    ]


def settings(samples: int = 40) -> str:
    """The settings of the stage, as JSON."""
    figures = {name: FIGURES[name] for name in ("fig01", "curves_autoencoders")}
    told = {
        "run": "made-up",
        "config": {"run": "made-up", "seed": 7, "autoencoders": {"main": {"code_size": "8x8x4"}}},
        "models": [{"kind": "autoencoder", "name": "main", "entry": "autoencoders.main", "facts": "bright 8x8x4"}],
        "samples": {"name": "main", "count": samples},
        "figures": {name: {"title": one.title, "caption": one.caption} for name, one in figures.items()},
        "accepted": {"train_autoencoder 000000000001": "code, autoencoder.training.batch"},
        "jobs": [
            {"stage": "train_autoencoder", "name": "main-000000000001", "code": "c" * 64, "seed": 123},
            {"stage": "generate", "name": "main-000000000002", "code": "d" * 64, "seed": 456},
        ],
    }
    return json.dumps(told)


def write_records(folder: Path) -> Path:
    """The records of two shards of the sample set, and of another run's."""
    folder.mkdir()
    shards = {"2-000000-000500": (40.5, 512.0), "2-000500-001000": (30.0, 640.25), "f-000000-000500": (999.0, 9999.0)}
    for name, (seconds, memory) in shards.items():
        record = {"state": "done", "seconds": seconds, "cpu_seconds": 20.25, "peak_mb": memory}
        (folder / f"generate-main-00000000000{name}.json").write_text(json.dumps(record))
    return folder
