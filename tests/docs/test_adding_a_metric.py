"""docs/adding-a-metric.md, followed word by word on a copy of the package: a metric of each reconstruction."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bright_pipeline.engine.code import Code
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.stages import all_stages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-metric.md"
STEP = re.compile(r"<!-- (\S+), (above|in|in place of) (\w+) -->\n```python\n(.*?)```", re.DOTALL)
AGAIN = {"reconstruct", "measure_codes", "measure_storage", "make_table", "make_figure", "make_report"}
AGAIN |= {"extract_features", "score_features", "make_study"}


def follow(root: Path) -> None:
    """Do what the page's code blocks say, in their order."""
    steps = STEP.findall(PAGE.read_text(encoding="utf-8"))
    assert len(steps) == 4
    for file, how, name, block in steps:
        path = root / file
        text = path.read_text(encoding="utf-8")
        found = re.search(rf"^(?:#.*\n)*{name}\b.*?(?=^\}}|\n\n)", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        first, last = found.span() if how != "in" else (found.end(), found.end())
        added = block.rstrip("\n") if how == "in place of" else block
        between = f"\n\n{found[0]}" if block.startswith("def ") else found[0]
        path.write_text(f"{text[:first]}{added}{between if how == 'above' else ''}{text[last:]}", encoding="utf-8")


def test_the_words_of_the_page_give_a_column_and_nothing_is_trained_or_generated_again(
    tiny_images: Path, tiny_autoencoder: Any, networks_folder: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    follow(checkout)

    def python(*words: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(checkout / "pipeline")}
        done = subprocess.run([sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    settings = Autoencoder.model_validate(tiny_autoencoder())
    save_autoencoder(tmp_path / "model.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    files = {"images": tiny_images, "autoencoder": tmp_path / "model.safetensors"}
    files |= {name.replace("_", "-"): networks_folder / f"{name}.safetensors" for name in ("lpips_alex", "lpips_vgg")}
    outputs = {"reconstructions": "made.zip", "table": "per_image.csv", "summary": "summary.json", "picture": "a.png"}
    files |= {option: tmp_path / file for option, file in outputs.items()}
    job = json.dumps({"autoencoder": settings.model_dump(mode="json")})
    python("-m", "bright_pipeline.reconstruct", job, *(f"--{option}={path}" for option, path in files.items()))

    each = pd.read_csv(tmp_path / "per_image.csv")["dists"]
    assert len(each) == 14 and each.between(0, 2).all() and each.nunique() > 1
    summary = json.loads((tmp_path / "summary.json").read_text())["values"]["dists"]
    assert summary["number"] == pytest.approx(each.mean())

    told = json.dumps({"table": "table2", "rows": [{"name": "main", "dataset": "pictures"}]})
    table = [f"main={tmp_path}/summary.json", f"--csv={tmp_path}/table.csv", f"--markdown={tmp_path}/table.md"]
    python("-m", "bright_pipeline.make_table", told, *table)
    (row,) = (row for row in csv.DictReader((tmp_path / "table.csv").open()) if row["name"] == "main")
    assert float(row["dists_measured"]) == pytest.approx(summary["number"])
    assert "DISTS ↓" in (tmp_path / "table.md").read_text()
    assert f"{summary['number']:.4f} ± {2 * summary['std']:.4f}" in (tmp_path / "table.md").read_text()
    words = "import sys; from pathlib import Path; from bright_pipeline.page.gallery import _metric_words as words;"
    told = python("-c", words + "print(*words(Path(sys.argv[1]), [0]))", str(tmp_path / "per_image.csv"))
    assert f"DISTS\N{NO-BREAK SPACE}{each[0]:.4f}" in told

    before, after = Code(ROOT / "pipeline"), Code(checkout / "pipeline")
    stages = {name: [stage.command] for name, stage in all_stages().items()}
    changed = {name for name, roots in stages.items() if before.digest(roots) != after.digest(roots)}
    assert {"reconstruct"} <= changed <= AGAIN
