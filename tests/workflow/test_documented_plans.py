"""What the pages say of calls of Snakemake: which jobs each plans, and what a real one makes."""

import json
import re
import runpy
import zipfile

import numpy as np
import pytest
from documented import ROOT, shown_output
from PIL import Image
from test_promise_one import AFTER_DIFFUSION
from typed import IMAGES, README, REFERENCE, VALIDATION, Places, documented, dry

from pipeline.config.root import read_config

pytestmark = pytest.mark.slow

OF_NETWORKS = {"fetch_network", "extract_features", "score_features"}
"""Stages whose jobs in a plan depend on the metric networks that are there."""
TRAININGS = {"train_autoencoder", "train_diffusion", "train_generator"}
PAPER = "snakemake --configfile config/paper.yaml --workflow-profile workflow/profiles"


def estimated() -> dict[str, int]:
    """The paper's jobs by stage, as the reference's estimate lists them."""
    command = "bright estimate config/paper.yaml --device a100 --gpus 8 --all-networks"
    rows = re.findall(
        r"^([a-z_]+) +(\d+) ", "\n".join(shown_output(ROOT / "docs" / "reference.md", command)), re.MULTILINE
    )
    return {stage: int(jobs) for stage, jobs in rows if stage != "total"}


def without_networks(jobs: dict[str, int]) -> dict[str, int]:
    return {stage: count for stage, count in jobs.items() if stage not in OF_NETWORKS}


@documented("snakemake -n", says=("what would run", "A run of demo.yaml can go through; it has"))
def test_a_dry_run_lists_what_would_run(places: Places, line: str) -> None:
    jobs = places.fresh.look(line).jobs
    (shown,) = re.findall(r"it has (\d+) jobs to do", REFERENCE)
    assert sum(jobs.values()) - jobs["fetch_network"] == int(shown)
    assert not (places.fresh.folder / "results").exists()


@documented("snakemake -n", says="what is left to do: nothing, or what follows from the part")
def test_a_dry_run_of_a_part_lists_what_follows_from_it(places: Places, line: str) -> None:
    assert places.finished.look(line).nothing_to_do
    part = places.copy()
    for path in part.folder.glob("results/store/reports/*/report.html"):
        path.unlink()
    assert part.type(line).jobs == {"make_report": 1}


@documented("snakemake --cores 2", says="all: every table and figure of config/demo.yaml")
def test_a_run_makes_every_table_and_figure(places: Places, line: str) -> None:
    place = places.copy()
    shown = place.files("results/tiny")
    for file in ("tables/table3-*/table.csv", "figures/fig06-*/figure.png"):
        place.path(f"results/store/{file}").unlink()
    for name in shown:
        if not name.startswith("report"):
            (place.folder / "results/tiny" / name).unlink()
    assert place.type(line).jobs == {"make_table": 1, "make_figure": 1}
    again = place.files("results/tiny")
    assert again.keys() == shown.keys()
    assert {name for name in shown if name.startswith("tables/") and again[name] != shown[name]} == set()


@documented("snakemake --cores N", says="the same jobs run on the CPU (`snakemake --cores N`)")
def test_without_a_profile_the_same_jobs_run_on_the_cpu(places: Places, line: str) -> None:
    plain = places.fresh.look(f"{dry(line).replace('N', '2')} --configfile config/paper.yaml")
    assert plain.jobs == places.fresh.look(f"{PAPER}/local", expect=1).jobs
    assert plain.jobs


@documented("snakemake --cores 2 table3", says="one table: table2 ... table8, text_10k")
def test_one_table_is_made_alone(places: Places, line: str) -> None:
    place = places.copy()
    shown = place.files("results/tiny/tables")
    for suffix in ("md", "tex", "csv"):
        place.path(f"results/store/tables/table3-*/table.{suffix}").unlink()
        place.path(f"results/tiny/tables/table3.{suffix}").unlink()
    assert place.type(line).jobs == {"make_table": 1, "table3": 1}
    assert place.files("results/tiny/tables") == shown


@documented("snakemake --cores 2 -- table3", says="trains nothing")
def test_table_3_alone_trains_nothing(places: Places, line: str) -> None:
    jobs = places.fresh.look(dry(line)).jobs
    assert jobs["make_table"] == jobs["table3"] == 1
    assert jobs.keys() & TRAININGS == set()


@documented("snakemake --cores 2 results/demo/tables/table2.md", says="one file, under the name that people know")
def test_one_file_is_asked_for_by_its_name(places: Places, line: str) -> None:
    place = places.copy()
    table = place.path("results/tiny/tables/table2.md")
    content = table.read_bytes()
    table.unlink()
    assert place.type(line.replace("results/demo/", "results/tiny/")).jobs == {"publish": 1}
    assert table.read_bytes() == content


@documented("snakemake --cores 2 figures", says="or: tables, headline (the main model alone), all")
def test_targets_are_parts_of_all(places: Places, line: str) -> None:
    (others,) = re.findall(r"or: (\w+), (\w+) \(the main model alone\), (\w+)", README)
    figures, tables, headline, everything = (
        places.fresh.look(dry(line).replace("figures", target)).jobs for target in ("figures", *others)
    )
    assert everything == places.fresh.look("snakemake -n").jobs
    assert figures["make_figure"] == everything["make_figure"]
    assert tables["make_table"] == everything["make_table"]
    assert not figures.keys() & {"make_table", "make_report"}
    assert not tables.keys() & {"make_figure", "make_report"}
    assert headline["train_autoencoder"] == headline["train_diffusion"] == 1 < everything["train_autoencoder"]


@documented("snakemake --rulegraph --forceall", says="the whole graph, for dot; also of a run that is finished")
def test_the_graph_of_a_finished_run_has_every_stage(places: Places, line: str) -> None:
    place = places.finished
    stages = {path.name.rpartition("-")[0] for path in (place.folder / "results/identities").iterdir()}
    graph = place.look(line).text
    assert re.search(r"^digraph \w+ \{$", graph, re.MULTILINE)
    assert set(re.findall(r'label = "(\w+)"', graph)) == stages | {"fetch_network", "all"}


@documented("snakemake -n -p", says="prints every command of a run in full")
def test_every_command_of_a_run_is_printed(places: Places, line: str) -> None:
    plan = places.fresh.look(line)
    launched = r"^Shell command: .*?python -m pipeline\.(?:base\.launch .* -- pipeline\.)?(\w+) "
    printed = re.findall(launched, plan.text, re.MULTILINE)
    assert printed
    assert {stage: printed.count(stage) for stage in printed} == plan.jobs


@documented(
    "snakemake --cores 2 --forcerun train_diffusion",
    says=("to make one stage again all the same", "makes a stage's jobs again with all that stands on them"),
)
def test_one_stage_is_made_again_with_what_stands_on_it(places: Places, line: str) -> None:
    assert places.finished.look(dry(line)).jobs == AFTER_DIFFUSION


@documented(
    "snakemake --unlock",
    says=(
        "it may say that the directory cannot be locked: `snakemake --unlock`, then the same command",
        "a killed one left its lock: then `snakemake --unlock`",
    ),
)
def test_a_killed_runs_lock_is_taken_away(places: Places, line: str) -> None:
    place = places.copy()
    report = place.path("results/store/reports/*/report.html")
    report.unlink()
    lock = place.folder / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(f"{report.relative_to(place.folder)}\n")
    assert "Directory cannot be locked" in place.type("snakemake --cores 2", expect=1).text
    place.type(line)
    assert not lock.exists()


@documented("snakemake --cores 2 page", says="the page, and what it needs")
def test_the_page_is_made_with_what_it_needs(places: Places, line: str) -> None:
    place = places.copy()
    for page in ("results/store/reports/*/report.html", "results/tiny/report.html"):
        place.path(page).unlink()
    place.path("results/store/figures/fig06-*/figure.png").unlink()
    assert place.type(line).jobs == {"make_figure": 1, "make_report": 1, "page": 1}
    assert "<html" in place.text("results/tiny/report.html")


@documented("snakemake --report report.html", says="with the workflow's graph, figures and tables")
def test_snakemakes_own_report_has_graph_figures_and_tables(places: Places, line: str) -> None:
    place = places.copy()
    place.type(line)
    report = place.text("report.html")
    for stage in ("prepare_dataset", "train_autoencoder", "make_report"):
        assert stage in report
    for path in (*place.folders("tables"), *place.folders("figures")):
        assert path.name in report


@documented(
    "snakemake --cores 2 --configfile mine.yaml",
    "snakemake -n --configfile mine.yaml",
    "snakemake --configfile FILE",
    says=(
        "Its two trainings are estimated",
        "what is left to do",
        "`config/demo.yaml` is the default; `snakemake --configfile FILE` takes another one in its place",
    ),
)
def test_a_config_of_ones_own_takes_the_place_of_the_demo(places: Places, line: str) -> None:
    plan = places.finished.look(dry(line).replace("FILE", "mine.yaml"))
    assert {stage: count for stage, count in plan.jobs.items() if stage in TRAININGS} == {
        "train_autoencoder": 1,
        "train_diffusion": 1,
    }
    assert "Preparing datasets.mine" in plan.text
    assert places.finished.look("snakemake -n").nothing_to_do


@documented(
    "snakemake --cores 8 --configfile mine.yaml --until prepare_dataset",
    says=("two uncompressed zips of PNGs and a manifest in `results/store/datasets`", "then prepare it alone"),
)
def test_a_dataset_is_prepared_alone(places: Places, line: str) -> None:
    place = places.copy()
    (place.folder / "data/real/broken.png").write_text("no image")
    assert place.type(line).jobs == {"prepare_dataset": 1}
    folder = place.path("results/store/datasets/mine-*")
    for name, count in (("train", IMAGES - VALIDATION), ("validation", VALIDATION)):
        with zipfile.ZipFile(folder / f"{name}.zip") as archive:
            images = [one for one in archive.infolist() if one.filename.endswith(".png")]
            assert len(images) == count
            assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["train"]["count"], manifest["validation"]["count"]) == (IMAGES - VALIDATION, VALIDATION)
    assert "broken.png" in json.dumps(manifest["skipped"])


@documented("snakemake -n --configfile config/paper.yaml", says="lists the jobs; needs no images, no networks, no GPU")
def test_the_papers_jobs_are_those_of_the_estimate(places: Places, line: str) -> None:
    assert without_networks(places.fresh.look(line).jobs) == without_networks(estimated())


@documented(
    f"{PAPER}/local",
    f"{PAPER}/local --resources gpu=4",
    says=("is for one machine with GPUs; `--resources gpu=N` says how many", "Four jobs with one GPU each"),
)
def test_the_local_profile_has_as_many_gpus_as_one_says(places: Places, line: str) -> None:
    run = places.fresh.look(line, expect=1)
    gpus = line.partition("gpu=")[2] or "1"
    assert re.search(rf'^Provided resources: gpu=Resource\("gpu", {gpus}\)$', run.text, re.MULTILINE)
    stops_at_the_raw_images(places, run.text, "data/ffhq", run.jobs)


@documented(f"{PAPER}/slurm", says=("`workflow/profiles/slurm` is for a Slurm cluster",))
def test_the_slurm_profile_sends_jobs_to_slurm(places: Places, line: str) -> None:
    run = places.fresh.look(line, expect=1)
    assert re.search(r"^SLURM run ID: ", run.text, re.MULTILINE)
    assert re.search(r"^Provided remote nodes: \d+$", run.text, re.MULTILINE)
    stops_at_the_raw_images(places, run.text, "data/ffhq", run.jobs)


@documented(
    "snakemake --configfile mine-256.yaml --workflow-profile workflow/profiles/local",
    says="The paper's model at 256 x 256 is this, as `mine-256.yaml`; it takes a GPU and days",
)
def test_the_ten_lines_plan_the_papers_model(places: Places, line: str) -> None:
    run = places.fresh.look(line, expect=1)
    assert "Provided resources: gpu=" in run.text
    assert run.jobs["train_autoencoder"] == run.jobs["train_diffusion"] == 1
    assert "error: datasets.mine.source.path: /path/to/images does not exist" in run.text


def stops_at_the_raw_images(places: Places, text: str, path: str, jobs: dict[str, int]) -> None:
    """The whole plan is there; the run ends before its first job, since the collections are not."""
    assert without_networks(jobs) == without_networks(estimated())
    assert f"{path} does not exist" in text
    assert not (places.fresh.folder / "results").exists()


@documented(
    "python workflow/collections/photographs.py /tmp/backgrounds/usr/share/backgrounds data/photographs",
    says="All tiles of every fifth photograph are for validation: none is on both sides of the split",
)
def test_photographs_of_packages_become_the_collection_of_the_transfer(places: Places, line: str) -> None:
    place = places.fresh_copy()
    photograph = np.zeros((96, 128, 3), np.uint8)
    photograph[:48, :64] = np.random.default_rng(0).integers(0, 256, (48, 64, 3))
    named = runpy.run_path(str(ROOT / "workflow/collections/photographs.py"))["PHOTOGRAPHS"]
    for folder, names in named.items():
        (place.folder / "backgrounds" / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(photograph).save(place.folder / "backgrounds" / folder / f"{name}.jpg")
    place.type(line.replace("/tmp/backgrounds/usr/share/", ""))
    validation = set(place.text("data/photographs/validation.txt").splitlines())
    tiles = {name for name in place.files("data/photographs") if name.endswith(".png")}
    chosen = {name.split("/")[0] for name in validation}
    assert len(chosen) == sum(map(len, named.values())) // 5
    assert validation == {name for name in tiles if name.split("/")[0] in chosen} < tiles
    assert place.type("bright fingerprint config/transfer.yaml").text
    (kept,) = (json.loads(file) for file in place.files("results/fingerprints").values())
    assert kept["images"] == {"all": len(tiles)}


@documented(
    "snakemake --cores 2 --configfile config/transfer.yaml",
    says="trains BRIGHT and the three others, with the settings of `config/demo-colour.yaml`",
)
def test_the_transfer_trains_four_autoencoders_and_one_of_them_otherwise(places: Places, line: str) -> None:
    jobs = places.fresh.look(dry(line)).jobs
    assert jobs["prepare_dataset"] == 1
    assert jobs["train_autoencoder"] == 4 + 1
    assert "train_diffusion" not in jobs


@documented("snakemake --cores 2 --configfile config/perceptual.yaml -- ablations", says="the four losses in one table")
def test_four_perceptual_losses_are_compared_and_nothing_else_differs(places: Places, line: str) -> None:
    jobs = places.fresh.look(dry(line)).jobs
    assert jobs["train_autoencoder"] == 4 and "train_diffusion" not in jobs
    models = read_config(ROOT / "config" / "perceptual.yaml").autoencoders.values()
    losses = {(one.losses.perceptual.network, one.losses.perceptual.distance) for one in models}
    assert losses == {("vgg16", "squared"), ("vgg16", "absolute"), ("lpips_vgg", "squared"), ("none", "squared")}
    assert len({one.model_dump_json(exclude={"losses"}) for one in models}) == 1
