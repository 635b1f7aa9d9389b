"""What would stop a run is known before its first job; a missing network omits only its own metrics."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.commands.doctor import doctor
from bright_pipeline.config.root import load_config
from bright_pipeline.engine.checks import problems
from bright_pipeline.engine.jobs import path_of
from bright_pipeline.engine.run import Needed, outputs_of, unfinished
from bright_pipeline.evaluation.feature_files import FeatureSet
from bright_pipeline.evaluation.metrics import generation_metrics
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.make_table import make_table
from bright_pipeline.models.metric_networks.manifest import fetchable, manifest, network, network_path
from bright_pipeline.plan.checks import networks_needed, networks_used, obstacles, replaced_strategies, skipped_metrics
from bright_pipeline.settings.spaces import NETWORKS as METRIC_NETWORKS
from bright_pipeline.settings.spaces import SPACES, fewest_images
from bright_pipeline.stages import datasets
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import neighbours
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.tables import studies, tables
from builds import no_gpu
from finished_plan import TINY, finish, tiny_plan, tiny_values

pytestmark = pytest.mark.usefixtures("own_folder")


def flip(path: Path, place: int = -1000) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_only_networks_of_unfinished_jobs_are_read() -> None:
    plan = tiny_plan()
    assert networks_needed(unfinished(plan).jobs) == ["efficientnet_lite0", "lpips_alex", "lpips_vgg"]
    finish(plan)
    assert unfinished(tiny_plan()).jobs == []
    table = tiny_plan()(tables)["table5"]
    Path(table.path("table.md")).unlink()
    assert [job.name for job in unfinished(tiny_plan()).jobs] == [table.name]
    assert networks_needed(unfinished(tiny_plan()).jobs) == []


def test_a_wrong_network_stops_only_the_jobs_that_read_it(networks_folder: Path) -> None:
    NETWORKS.mkdir(parents=True)
    shutil.copy(networks_folder / "lpips_vgg.safetensors", NETWORKS)
    flip(NETWORKS / "lpips_vgg.safetensors")
    plan = tiny_plan()
    (line,) = obstacles(plan, unfinished(plan))
    assert line.startswith("network lpips_vgg: results/networks/lpips_vgg.safetensors: sha256 is")
    assert obstacles(plan, Needed(outputs_of([plan(dataset, "tiny")]))) == []
    assert len(obstacles(plan, Needed(outputs_of([plan(reconstruction, "main")])))) == 1


def test_missing_raw_images_stop_a_run_and_missing_networks_do_not() -> None:
    values = tiny_values()
    values["datasets"]["tiny"]["source"] = {"kind": "folder", "path": "nowhere"}
    plan = tiny_plan(values)
    (line,) = obstacles(plan, unfinished(plan))
    assert line.startswith("datasets.tiny.source.path: nowhere does not exist")
    (line,) = skipped_metrics(unfinished(plan).jobs)
    absent = ", ".join(name for name in manifest() if not fetchable(name))
    assert "inception" in absent and f"missing networks ({absent}): `bright doctor CONFIG` lists" in line


def not_fetchable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The network's only source is a file to download, as that of most networks."""
    entry = network(name)
    monkeypatch.setitem(manifest(), name, entry.model_copy(update={"source": entry.second_source}))


def test_a_missing_network_of_single_images_omits_only_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    with_network = tiny_plan()(reconstruction, "main")
    not_fetchable(monkeypatch, "lpips_vgg")
    plan = tiny_plan()
    job = plan(reconstruction, "main")
    assert networks_needed([job]) == ["lpips_alex"] and job.digest != with_network.digest
    assert obstacles(plan, unfinished(plan)) == []
    (note,) = (note for note in plan(tables)["table2"].settings["missing"] if "lpips_vgg" in note)
    assert note.startswith("network lpips_vgg is missing (lpips_vgg, ") and "put vgg16-397923af.pth" in note
    assert "lpips_vgg" in skipped_metrics(unfinished(plan).jobs)[0] and "lpips_vgg" in networks_used(plan)
    # Numbers that were measured with it are kept.
    with_network.folder.mkdir(parents=True)
    for file in with_network.files:
        (with_network.folder / file).touch()
    assert tiny_plan()(reconstruction, "main").digest == with_network.digest


def test_a_loss_neighbours_and_studies_need_their_network(monkeypatch: pytest.MonkeyPatch) -> None:
    not_fetchable(monkeypatch, "lpips_alex")
    values = tiny_values()
    loss = {"perceptual": {"network": "lpips_alex"}, "adversarial": {"kind": "none"}}
    values["autoencoders"]["main"]["losses"] = loss
    values["studies"] = {
        "rates": {"autoencoders": ["main"], "grid": {"learning_rate": [0.1, 0.2]}, "images": 8, "tuning": 8}
    }
    plan = tiny_plan(values)
    for job in (
        plan(autoencoder, "main"),
        plan(neighbours, next(iter(values["samples"]))),
        plan(studies)["study_rates"],
    ):
        (line,) = set(obstacles(plan, Needed(outputs_of([job]))))
        assert line.startswith("network lpips_alex is missing (lpips_alex, nearest_neighbours, perceptual loss")


CONFIG = Path("config.yaml")


def test_tables_that_tiny_cuda_nn_cannot_read_are_named_before_the_first_job() -> None:
    values = tiny_values()
    for name, coarsest in (("main", 16), ("without-noise", 4)):
        ends = {"resolutions": 16, "coarsest_resolution": coarsest, "finest_resolution": 64}
        values["autoencoders"][name]["tables"] = {**ends, "retrieval": "tinycudann"}
    (line,) = replaced_strategies(tiny_plan(values))
    assert line.startswith("autoencoders main, early: separable or gather in place of tinycudann: rounding in float32")
    assert replaced_strategies(tiny_plan()) == []


def test_the_doctor_ends_with_1_and_what_stops_a_run(networks_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CONFIG.write_text(TINY.read_text())
    Path("mine").mkdir()
    shutil.copy(networks_folder / "lpips_alex.safetensors", "mine")
    flip(Path("mine", "lpips_alex.safetensors"))
    with pytest.raises(typer.Exit) as stopped:
        doctor(CONFIG, Path("mine"))
    assert stopped.value.exit_code == 1
    assert "stops a run: network lpips_alex: mine/lpips_alex.safetensors: sha256 is" in capsys.readouterr().out


def test_the_doctor_says_that_pytorch_cannot_use_the_card(monkeypatch, capsys) -> None:
    CONFIG.write_text(TINY.read_text())
    Path("nvidia-smi").write_text(
        "#!/bin/sh\n[ $1 = --query-gpu=driver_version ] && echo 535.104 || echo 0, GPU-1111\n"
    )
    Path("nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(Path.cwd()), prepend=os.pathsep)
    monkeypatch.setattr("torch.version.cuda", "12.6")
    with pytest.raises(typer.Exit):
        doctor(CONFIG)
    text = " ".join(capsys.readouterr().out.split())
    assert "is built for CUDA 12.6, which needs driver 525 or newer" in text
    assert f"stops a run: 1 GPU asked for, PyTorch can use 0 {no_gpu()}; driver 535.104" in text


METRICS = {
    "frechet_distance": {"frechet_distance": 4.5},
    "score": {"score_mean": 3.1},
    "kernel_distance": {"kernel_distance": 0.0123},
    "gaussian_kernel_distance": {"gaussian_kernel_distance": 0.456},
    "precision_recall": {"precision": 0.7, "recall": 0.5, "f1": 0.583, "density": 0.8, "coverage": 0.6},
}


def test_a_missing_clip_leaves_clip_fid_out_with_the_reason_and_everything_else_there() -> None:
    NETWORKS.mkdir(parents=True)
    for name in manifest().keys() - {"clip"}:
        network_path(name, NETWORKS).touch()
    table = tiny_plan()(tables)["table5"]
    assert {job.settings["space"] for job in table.upstream} == {*SPACES} - {"clip", "vgg16_paper"}
    for job in table.upstream:  # a summary of made-up numbers
        told = job.settings
        values = {
            f"{told['space']}.{metric}": Value(number=number, std=0.001, protocol={"count": told["count"]})
            for kind in SPACES[told["space"]].metrics
            for metric, number in METRICS[kind].items()
        }
        traits = {key: told[key] for key in ("sample_kind", "method")}
        write_summary(job.path("summary.json"), Summary(kind="generation", traits=traits, values=values))
    paths = map(path_of, table.inputs["summaries"])
    summaries = [f"{name}={path}" for name, path in zip(table.names, paths, strict=True)]
    make_table(json.dumps(table.settings), summaries, csv=Path("t.csv"), markdown=Path("t.md"))
    (row,) = (row for row in csv.DictReader(Path("t.csv").read_text().splitlines()) if row["name"] == "main")
    assert row["missing"] == "clip_fid"
    assert "network clip is missing (CLIP-FID): put ViT-B-32.pt" in row["notes"]
    beyond = ("fd_dinov2", "cmmd", "kid", "density", "coverage", "fd_efficientnet_lite0", "kd_efficientnet_lite0")
    for column in ("fid", "fid_clean", "is", "precision", "recall", "f1", *beyond):
        assert float(row[f"{column}_measured"]) > 0, column
    assert row["kid_measured_std"] == "0.001" and "0.0123" in Path("t.md").read_text()


# What a late stage rejects, the config or the doctor rejects before anything is trained.


def with_counts(**counts: int) -> dict[str, Any]:
    values = tiny_values()
    for name, count in counts.items():
        values["samples"][name] |= {"count": count, "shard": count}
    return values


def test_neighbours_are_searched_for_as_many_images_as_there_are() -> None:
    values = with_counts(main=12) | {"tables": {"table5": {"rows": ["main"]}}, "evaluation": {}}
    jobs = Jobs(load_config(values))
    assert jobs(neighbours, "main").settings["count"] == 12


@pytest.mark.parametrize("network", METRIC_NETWORKS)
def test_a_network_takes_as_many_images_as_its_metrics(network: str) -> None:
    fewest, drawn = fewest_images(network), torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0)).numpy()

    def score(count: int) -> None:
        for space in (space.name for space in SPACES.values() if space.network == network):
            facts = {"space": space, "network": "any", "network_sha256": "any", "resize": "any"}
            sets = (FeatureSet(one[:count], one[:count], np.zeros((count, 32), np.uint8), facts) for one in drawn)
            generation_metrics(*sets)

    score(fewest)
    with pytest.raises(InputError, match=r"at least|more than"):
        score(fewest - 1)


def lines(monkeypatch: pytest.MonkeyPatch, images: int, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """What a run is told where the collection has so many images."""
    values = tiny_values()
    change(values)
    jobs = tiny_plan(values)
    known = {"sha256": "0" * 64, "images": {"all": images}}
    monkeypatch.setattr(datasets, "raw_images", lambda jobs, name: known)
    return problems(unfinished(jobs))


def split(**keys: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: values["datasets"]["tiny"].update(split={"rule": "hash", **keys})


def test_splits_that_are_too_small_are_told_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, 300, split(validation=50)) == []
    told = lines(monkeypatch, 300, split(validation=5000))
    assert "datasets.tiny.split: 160 images leave none for train" in told
    assert any(
        "exploration of codes interpolates between two" in line for line in lines(monkeypatch, 60, split(validation=1))
    )
    told = lines(monkeypatch, 60, split(validation=2))
    assert "datasets.tiny.split: 2 validation images, where metrics of efficientnet_lite0 take 3" in told
