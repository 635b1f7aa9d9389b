"""docs/adding-a-metric.md, followed word by word on a copy of the package: a metric of each reconstruction."""

import ast
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
from finished_plan import TINY

from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder
from pipeline.settings.autoencoder import Autoencoder

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-metric.md"
STEP = re.compile(r"<!-- (\S+), (above|in|in place of) (\w+) -->\n```python\n(.*?)```", re.DOTALL)
AGAIN = {
    "reconstruct",
    "measure_codes",
    "make_table",
    "make_figure",
    "make_report",
    "extract_features",
    "score_features",
}


def follow(root: Path) -> None:
    """Do what the page's code blocks say, in their order."""
    steps = STEP.findall(PAGE.read_text(encoding="utf-8"))
    assert len(steps) == 4
    for file, how, name, block in steps:
        path = root / file
        path.write_text(placed(path.read_text(encoding="utf-8"), how, name, block), encoding="utf-8")


def placed(text: str, how: str, name: str, block: str) -> str:
    """The text with a block above the lines that give a name its value, within them, or in their place."""
    lines = text.splitlines(keepends=True)
    first, last = next((node.lineno - 1, node.end_lineno) for node in ast.parse(text).body if name in targets(node))
    if how == "above":
        first -= lines[first - 1].startswith("#")
        return "".join([*lines[:first], block, "\n\n" * block.startswith("def "), *lines[first:]])
    if how == "in place of":
        return "".join([*lines[:first], block, *lines[last:]])
    return "".join([*lines[: last - 1], block, *lines[last - 1 :]])


def targets(node: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    found = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {one.id for one in found if isinstance(one, ast.Name)}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package in which the page was followed."""
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    follow(tmp_path / "checkout")
    return tmp_path / "checkout"


def python(checkout: Path, *words: str) -> str:
    """Run the copy's Python in its folder."""
    command = [sys.executable, *words]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_words_of_the_page_give_a_column(
    checkout: Path, tiny_images: Path, tiny_autoencoder: Any, networks_folder: Path, tmp_path: Path
) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    save_autoencoder(tmp_path / "model.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    alex, vgg = (networks_folder / f"{name}.safetensors" for name in ("lpips_alex", "lpips_vgg"))
    given = [
        f"--images={tiny_images}",
        f"--autoencoder={tmp_path}/model.safetensors",
        f"--lpips-alex={alex}",
        f"--lpips-vgg={vgg}",
    ]
    files = {"reconstructions": "made.zip", "table": "per_image.csv", "summary": "summary.json", "picture": "pairs.png"}
    outputs = [f"--{option}={tmp_path / file}" for option, file in files.items()]
    job = json.dumps({"autoencoder": settings.model_dump(mode="json")})
    python(checkout, "-m", "pipeline.reconstruct", job, *given, *outputs)

    each = pd.read_csv(tmp_path / "per_image.csv")["dists"]
    assert len(each) == 14 and each.between(0, 2).all() and each.nunique() > 1
    summary = json.loads((tmp_path / "summary.json").read_text())["values"]["dists"]
    assert summary["number"] == pytest.approx(each.mean())

    told = json.dumps({"table": "table2", "rows": [{"name": "main", "dataset": "pictures"}]})
    table = [f"main={tmp_path}/summary.json", f"--csv={tmp_path}/table.csv", f"--markdown={tmp_path}/table.md"]
    python(checkout, "-m", "pipeline.make_table", told, *table)
    (row,) = (row for row in csv.DictReader((tmp_path / "table.csv").open()) if row["name"] == "main")
    assert float(row["dists_measured"]) == pytest.approx(summary["number"])
    assert "DISTS ↓" in (tmp_path / "table.md").read_text()
    assert f"{summary['number']:.4f} ± {2 * summary['std']:.4f}" in (tmp_path / "table.md").read_text()
    words = "import sys; from pathlib import Path; from pipeline.page.gallery import _metric_words as words;"
    told = python(checkout, "-c", words + "print(*words(Path(sys.argv[1]), 1))", str(tmp_path / "per_image.csv"))
    assert f"DISTS\N{NO-BREAK SPACE}{each[0]:.4f}" in told


def digests(checkout: Path) -> dict[str, set[str]]:
    """The digests of a plan's jobs by stage."""
    code = (
        "import json, sys; from pathlib import Path; from pipeline.config.root import read_config;"
        "from pipeline.stages.common import Jobs; from pipeline.plan.shards import planned;"
        f"print(json.dumps([*Jobs(read_config(Path({str(TINY)!r})))(planned)]))"
    )
    found: dict[str, set[str]] = {}
    for stage, digest in json.loads(python(checkout, "-c", code)):
        found.setdefault(stage, set()).add(digest)
    return found


def test_nothing_is_trained_or_generated_again_for_it(checkout: Path, tmp_path: Path) -> None:
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, tmp_path / "before" / name, ignore=shutil.ignore_patterns("__pycache__"))
    before, after = digests(tmp_path / "before"), digests(checkout)
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert {"reconstruct", "make_table"} <= changed <= AGAIN
