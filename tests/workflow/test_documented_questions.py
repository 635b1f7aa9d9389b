"""What the pages say of commands that only read and answer: they write nothing, and what they print is so."""

import json
import re
import shutil
import time

import pytest
import yaml
from documented import ROOT, shown_output
from typed import IMAGES, VALIDATION, Place, Places, documented

pytestmark = pytest.mark.slow

TRAININGS = ("autoencoders.main", "autoencoders.without-noise", "diffusions.main")


@documented("bright", says="all commands, a line each")
def test_bright_alone_lists_all_commands(places: Places, line: str) -> None:
    modules = [*(ROOT / "pipeline").glob("[a-z]*.py"), *(ROOT / "pipeline" / "commands").glob("[a-z]*.py")]
    listed = re.findall(r"^  (\w+) +\S", places.fresh.look(line).text, re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in modules)


@documented("bright gpu-check --only retrieval --only sampling", says="runs some of them")
def test_some_of_a_cards_checks_are_run(places: Places, line: str) -> None:
    place = places.fresh_copy()
    told = place.type(line).text
    assert re.search(r"^right +retrieval  separable", told, re.MULTILINE)
    assert "bf16 / fp32" in told
    (written,) = (place.folder / "results" / "gpu-check").glob("*.json")
    assert {one["check"] for one in json.loads(written.read_text())["findings"]} == {"retrieval", "sampling"}


@documented(
    "bright config mine.yaml",
    "bright config mine-256.yaml",
    "bright config FILE",
    "bright config CONFIG.yaml",
    says=(
        "one line: OK, or what is wrong and what would be right",
        "checks a file: one line that says OK, or one that names what is wrong",
        "`bright config CONFIG.yaml` shows the line alone",
    ),
)
def test_a_config_is_right_or_one_line_says_what_is_wrong(places: Places, line: str) -> None:
    place = places.copy()
    name = line.split()[-1]
    if name in ("FILE", "CONFIG.yaml"):
        line, name = line.replace(name, "config/paper.yaml"), "config/paper.yaml"
    (right,) = place.type(line).text.splitlines() or [""]
    assert right.startswith(f"{name}: OK, run {name.split('/')[-1].removesuffix('.yaml')}: ")
    path = place.folder / name
    path.write_text(path.read_text().replace("rule: hash", "rule: hush").replace("rule: last", "rule: hush"))
    (wrong,) = place.type(line, expect=2).text.splitlines()
    assert re.search(r"error: .*split\.rule: Input should be 'last', 'list', 'hash' or 'source' \(got 'hush'\)", wrong)


@documented(
    "bright estimate mine.yaml",
    says=("how long its trainings will take here", "Its two trainings are estimated at 12 minutes on a CPU"),
)
def test_the_trainings_of_ones_own_config_are_estimated(places: Places, line: str) -> None:
    told = places.finished.look(line).text
    rows = re.findall(r"^(train_\w+) +1 +([\d.]+) +operations counted", told, re.MULTILINE)
    assert [stage for stage, _ in rows] == ["train_autoencoder", "train_diffusion"]
    assert 60 * sum(float(hours) for _, hours in rows) == pytest.approx(12, abs=1)
    assert f"{IMAGES - VALIDATION} images for training, {VALIDATION} for validation" in told


@documented("bright estimate CONFIG", says="finished jobs' records tell of themselves")
def test_the_estimate_of_a_finished_run_is_what_it_took(places: Places, line: str) -> None:
    told = places.finished.look(line.replace("CONFIG", "config/demo.yaml")).text
    known = {path.name.rpartition("-")[2] for path in (places.finished.folder / "results/store").glob("*/*")}
    paths = (places.finished.folder / "results/records").glob("*.json")
    records = [json.loads(path.read_text()) for path in paths if known & set(path.stem.split("-"))]
    assert len(re.findall(r"^\w+ +0 / \d+ .*measured$", told, re.MULTILINE)) > 10
    assert "Nothing is missing." in told
    (whole,) = re.findall(r"^total +0 / \d+ +0\.00 / ([\d.]+) ", told, re.MULTILINE)
    assert float(whole) == pytest.approx(sum(record["seconds"] for record in records) / 3600, rel=0.5)


@documented("bright estimate --help", says="other devices: `bright estimate --help`")
def test_the_help_of_the_estimate_names_devices(places: Places, line: str) -> None:
    told = places.fresh.look(line).text
    assert all(option in told for option in ("--device", "--tflops", "--gpus", "a100", "h100", "cpu"))


@documented("bright cost --help", says="With `--device` it names what does not fit that card")
def test_the_help_of_the_cost_names_cards_and_says_that_no_gpu_is_needed(places: Places, line: str) -> None:
    told = " ".join(places.fresh.look(line).text.split())
    assert all(word in told for word in ("--device", "rtx4090", "a100-40gb", "a GPU that is not there"))


@documented(
    "bright status CONFIG",
    says=(
        "shows what runs and where, how far each training is, images per second and the time left, what failed and why",
        "jobs that failed, or that gave no sign of life for a minute",
    ),
)
def test_the_status_tells_of_jobs_that_run_failed_and_fell_silent(places: Places, line: str) -> None:
    place = places.copy()
    now = time.time()
    running = {"host": "node7", "rate": 2.0, "left_s": 7500.0, "done": 3}
    broken(place, "train_diffusion", state="running", updated_at=now, **running)
    broken(place, "train_autoencoder", state="running", updated_at=now - 61)
    broken(place, "make_report", state="failed", error="the disk is full")
    told = place.type(line.replace("CONFIG", "config/demo.yaml")).text
    for name in TRAININGS:
        assert re.search(rf"^{re.escape(name)} ", told, re.MULTILINE)
    (row,) = re.findall(r"^diffusions.main .*", told, re.MULTILINE)
    assert re.search(r" running +3 of 6 \(50%\) +16 .*2:0[45]:\d\d .*node7", row)
    assert "no sign of life" in told
    assert "the disk is full" in told


def broken(place: Place, stage: str, **facts: str | float) -> None:
    """The last result of a stage is gone, and the record of its job has these facts."""
    made = {path.name.rpartition("-")[2]: path for path in (place.folder / "results/store").glob("*/*")}
    records = (place.folder / "results/records").glob(f"{stage}-*.json")
    digest, record = max((path.stem[-12:], path) for path in records if path.stem[-12:] in made)
    record.write_text(json.dumps(json.loads(record.read_text()) | facts))
    shutil.rmtree(made[digest])


@documented("bright doctor", says="On the machine that this was written on, for the demo")
def test_the_doctor_says_of_the_demo_what_the_page_shows(places: Places, line: str) -> None:
    told = places.fresh.look(line).text.splitlines()
    shown = shown_output(ROOT / "docs" / "reference.md", line)
    assert rows(told) == rows(shown)
    assert told[-1] == shown[-1]
    assert [entry for entry in told if entry.startswith("left out: ")] == [
        entry for entry in shown if entry.startswith("left out: ")
    ]


def rows(lines: list[str]) -> list[tuple[str, ...]]:
    """Titles and first columns of the doctor's tables; what the machine decides stands in the others."""
    return [tuple(re.split(r" {2,}", line)[:1]) for line in lines if re.match(r"[\w-]", line) and ": " not in line]


@documented(
    "bright doctor config/paper.yaml",
    says=(
        "says before a run what is here, what is missing, which metrics that costs and what to do",
        "exit code 0 if so, 1 if not",
    ),
)
def test_the_doctor_says_what_stops_the_papers_run(places: Places, line: str) -> None:
    told = places.fresh.look(line, expect=1).text
    for network, missing, file in (
        ("inception", "FID", "weights-inception-2015-12-05-6726825d.pth"),
        ("clip", "CLIP-FID", "ViT-B-32.pt"),
        ("vgg16", "precision, recall, F1", "vgg16-397923af.pth"),
    ):
        assert re.search(rf"^{network} +missing, see below +{missing}", told, re.MULTILINE)
        assert re.search(rf"left out: network {network} is missing \({missing}.*\): put {file} .*into", told)
    assert "stops a run: datasets.ffhq256.source.path: data/ffhq does not exist" in told
    assert told.splitlines()[-1] == "A run of paper.yaml can't go through."


@documented("bright complexity", says="the counts of Tables 3, 7 and 8, beside the published ones")
def test_the_counts_stand_beside_the_published_ones(places: Places, line: str) -> None:
    told = places.fresh.look(line).text
    found = re.findall(r"^(table[378]) .*\(([\d.]+)\) +[\d.]+ \(([\d.]+)\) +([\d.]+) \(([\d.]+)\)", told, re.MULTILINE)
    assert {table for table, *_ in found} == {"table3", "table7", "table8"}
    printed = {size for _, size, *_ in found}
    assert printed == {"21.2", "42.9", "11.4", "30.5", "3.7"}
    for _, _, _, counted, published in found:
        assert float(counted) == pytest.approx(float(published), abs=0.01)


@documented(
    "bright provenance results/store/reconstructions/main-8acebf32d015",
    says="as YAML, the settings, the code and the inputs of that result and of everything behind it",
)
def test_a_digest_is_expanded_back_to_the_images(places: Places, line: str) -> None:
    place = places.finished
    folder = place.path("results/store/reconstructions/main-*").relative_to(place.folder)
    told = yaml.safe_load(place.look(line.replace(line.split()[-1], str(folder))).text) or {}
    digest = folder.name.rpartition("-")[2]
    assert told[digest]["folder"] == str(folder)
    assert {one["stage"] for one in told.values()} == {"reconstruct", "prepare_dataset", "train_autoencoder"}
    for one in told.values():
        assert len(one["code"]) == 64
        assert one["settings"]
        assert {source.split()[0] for source in one["inputs"]} <= told.keys()


@documented(
    "bright provenance --differences results/store/reconstructions/main-8acebf32d015"
    " results/store/reconstructions/kl-51d0a7c2be90",
    says="In what two results differ, and what is behind them",
)
def test_two_results_are_compared_with_what_is_behind_them(places: Places, line: str) -> None:
    place = places.finished
    folders = [place.path(f"results/store/reconstructions/{name}-*") for name in ("main", "without-noise")]
    command = " ".join([*line.split()[:-2], *(str(folder.relative_to(place.folder)) for folder in folders)])
    told = yaml.safe_load(place.look(command).text) or {}
    trainings = [keys for name, keys in told.items() if name.startswith("train_autoencoder ")]
    assert [keys["settings.autoencoder.code_noise"] for keys in trainings] == [["after_tiling", "none"]]
    assert not [key for keys in told.values() for key in keys if key.startswith("libraries.")], "one environment"
    alone = yaml.safe_load(place.look(f"bright provenance {folders[0].relative_to(place.folder)}").text)
    assert {"torch", "numpy", "python"} <= set.intersection(*(set(one["libraries"]) for one in alone.values()))


@documented("tensorboard --logdir results/work", says="shows the curves while a training runs")
def test_tensorboard_finds_the_curves(places: Places, line: str) -> None:
    told = places.finished.look(f"{line} --inspect").text
    found = re.findall(r"^(results/work/train_\w+)-\w+/tensorboard$", told, re.MULTILINE)
    assert sorted(set(found)) == ["results/work/train_autoencoder", "results/work/train_diffusion"]
    assert {"l2", "perceptual", "loss"} <= set(told.split())


@documented(
    "bright STAGE --help", says="lists the options of the long form (`python -m pipeline.reconstruct` is the same)"
)
def test_a_stage_lists_the_options_of_its_long_form(places: Places, line: str) -> None:
    told, long = (
        places.fresh.look(text).text
        for text in (line.replace("STAGE", "make_table"), "python -m pipeline.make_table --help")
    )
    assert "--markdown" in told
    assert told.partition("\n\n")[2] == long.partition("\n\n")[2]


@documented(
    "bright accept --help",
    "bright doctor --help",
    "bright evaluate --help",
    "bright make_report --help",
    says=(
        "if you know that it is harmless: `bright accept --help`",
        "by hand",
        "bright evaluate --help",
        "bright doctor --help",
    ),
)
def test_help_has_the_options(places: Places, line: str) -> None:
    options = {
        "accept": ("CONFIG", "--key", "--dry-run"),
        "doctor": ("--networks", "exit code 1 if it can't"),
        "evaluate": ("--generated", "--reference", "--settings"),
        "make_report": ("settings", "NAME=PATH"),
    }
    told = " ".join(places.fresh.look(line).text.split())
    for option in options[line.split()[1]]:
        assert option.lower() in told.lower()


@documented(
    "python -m pipeline.base.launch --gpus 2 -- pipeline.train_autoencoder --help",
    says=("by hand it takes any stage", "A machine without GPUs runs as many processes on its CPU"),
)
def test_the_launcher_starts_a_process_for_each_gpu(places: Places, line: str) -> None:
    told = places.fresh.look(line).text
    assert told.count("Usage: python -m pipeline.train_autoencoder") == 2


@documented('python -c "import torch; print(torch.version.cuda)"', says="prints a version, not `None`")
def test_torch_says_its_cuda(places: Places, line: str) -> None:
    assert re.fullmatch(r"(None|\d+\.\d+)\n", places.fresh.look(line).text)
