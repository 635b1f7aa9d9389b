"""A missing network omits only its own metrics, and the table gives the reason."""

import csv
import json
from pathlib import Path

from finished_plan import tiny_plan

from pipeline.base.paths import NETWORKS
from pipeline.base.summary import Summary, Value, write_summary
from pipeline.evaluation.metrics import SPACES
from pipeline.make_table import make_table
from pipeline.models.metric_networks.manifest import manifest, network_path
from pipeline.stages.common import path_of
from pipeline.stages.tables import tables

METRICS = {
    "frechet_distance": {"frechet_distance": 4.5},
    "score": {"score_mean": 3.1},
    "kernel_distance": {"kernel_distance": 0.0123},
    "gaussian_kernel_distance": {"gaussian_kernel_distance": 0.456},
    "precision_recall": {"precision": 0.7, "recall": 0.5, "f1": 0.583, "density": 0.8, "coverage": 0.6},
}


def test_a_missing_clip_leaves_clip_fid_out_with_the_reason_and_everything_else_there(own_folder: Path) -> None:
    NETWORKS.mkdir(parents=True)
    for name in manifest().keys() - {"clip"}:
        network_path(name, NETWORKS).touch()
    table = tiny_plan()(tables)["table5"]
    spaces = {job.settings["space"] for job in table.upstream}
    assert spaces == {"inception", "inception_clean", "vgg16", "dinov2", "clip_l14_336", "efficientnet_lite0"}
    for job in table.upstream:  # a summary of made-up numbers
        told = job.settings
        protocol = {"count": told["count"], "reference": told["reference"]}
        values = {
            f"{told['space']}.{metric}": Value(number=number, std=0.001, protocol=protocol)
            for kind in SPACES[told["space"]]
            for metric, number in METRICS[kind].items()
        }
        traits = {key: told[key] for key in ("sample_kind", "method")}
        write_summary(job.path("summary.json"), Summary(kind="generation", traits=traits, values=values))
    summaries = [
        f"{name}={path}" for name, path in zip(table.names, map(path_of, table.inputs["summaries"]), strict=True)
    ]
    make_table(json.dumps(table.settings), summaries, csv=Path("t.csv"), markdown=Path("t.md"))
    rows = csv.DictReader(Path("t.csv").read_text().splitlines())
    (row,) = (row for row in rows if row["name"] == "main")
    assert row["missing"] == "clip_fid"
    assert "network clip is missing (CLIP-FID): put ViT-B-32.pt" in row["notes"]
    beyond = ("fd_dinov2", "cmmd", "kid", "density", "coverage", "fd_efficientnet_lite0", "density_efficientnet_lite0")
    for column in ("fid", "fid_clean", "is", "precision", "recall", "f1", *beyond):
        assert float(row[f"{column}_measured"]) > 0, column
    assert row["kid_measured_std"] == "0.001" and "0.0123" in Path("t.md").read_text()
    assert "missing: network clip is missing (CLIP-FID): put ViT-B-32.pt" in Path("t.md").read_text()
