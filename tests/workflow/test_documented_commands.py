"""Every command in README.md and docs/ is run: as it stands, dry, or it is on a list with the reason why not.

They run in a copy of the checkout whose config/demo.yaml is the tiny config, with the tiny run's results.
"""

import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from documented import PAGES, block_lines, inline_lines
from PIL import Image
from tiny_workflow import REPOSITORY, TINY, Workflow, copy_checkout

pytestmark = pytest.mark.slow

NOT_RUN = {
    r"source \.venv": "the tests run in that environment already",
    r"(python3 -m )?pip ": "takes packages from an index; the extras that it names are checked below",
    r"dvc |gto |git (add|commit|push)|bright share": (
        "needs commits and a remote: tests/workflow/test_sharing.py and tests/unit/test_dvc_yaml.py run these"
    ),
    r"snakemake .*--software-deployment-method apptainer": "needs Apptainer and the container's image",
    r"bright import_weights": "needs another program's checkpoint: tests/unit/test_import_weights.py",
    r"git (clone|checkout|submodule)|cd tiny-cuda-nn|export TCNN|nvcc|python -c|python -m pytest -m gpu": (
        "building tiny-cuda-nn takes its repository, a CUDA compiler and a GPU"
    ),
}
# What has to be put into a line before it can be run here, and what makes it dry.
FILLED_IN = (
    (r"^((?:\w+=\S+ )*)make ", r"\1make -n "),
    (r"^(snakemake (?!-n).*(?:--workflow-profile|--configfile (?:FILE|mine)).*)$", r"\1 -n"),
    (r"^(snakemake -n .*--configfile \S+|snakemake .*--configfile (?!.*--until).* -n)$", r"\1 --quiet"),
    (r"(--until prepare_dataset) -n$", r"\1"),
    (r"^(snakemake .*--forcerun \w+)$", r"\1 -n"),
    (r"^(tensorboard .*)$", r"\1 --inspect"),
    (r"\b(CONFIG|FILE)(\.yaml|\.\.\.)?", "config/demo.yaml"),
    (r"--cores N\b", "--cores 2"),
    (r"\bSTAGE\b", "dump_codes"),
    (r"\bfetch_network NAME\b(.*)NAME", r"fetch_network clip\1clip"),
    (r"results/demo/", "results/tiny/"),
    (r"results/store/reconstructions/\S+", "RECONSTRUCTIONS"),
    (r"main=summary-inception\.json main=summary-clip\.json", "main=SUMMARY"),
    (r"/data/stylegan2-ffhq\.zip", "data/generated.zip"),
    (r"/data/ffhq256", "data/real"),
)
# Exit codes other than 0: what the page says of the command, where raw images or a network are missing.
TOLD = {
    r"bright doctor config/paper\.yaml": (1, "does not exist"),
    r"bright fetch_network (?!efficientnet_lite0)": (2, r"error: network \w+ is missing \(.*\): put .* into"),
}
NOWHERE = "http://127.0.0.1:9"
NO_NETWORK = dict.fromkeys(("https_proxy", "http_proxy", "PIP_INDEX_URL"), NOWHERE) | {"PIP_RETRIES": "0"}


def documented() -> dict[str, str]:
    """Each command once -> the pages that have it."""
    pages: dict[str, list[str]] = {}
    for page in PAGES:
        for line in [*block_lines(page), *filter(is_whole, inline_lines(page))]:
            pages.setdefault(line, []).append(str(page.relative_to(REPOSITORY)))
    return {line: ", ".join(dict.fromkeys(found)) for line, found in pages.items()}


def is_whole(line: str) -> bool:
    """Whether a command in a sentence is one to type, and not a module's name alone."""
    return re.fullmatch(r"bright \w+|(python -m pipeline|bright STAGE CONFIG).*", line) is None


def reason(line: str) -> str | None:
    """Why a command is not run; None: it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, line)), None)


RUN = [line for line in documented() if reason(line) is None]


@pytest.fixture(scope="module")
def checkout(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """The copy, with a collection of one's own, images of another program, and no way to a network."""
    folder = copy_checkout(tmp_path_factory.mktemp("documented") / "checkout")
    shutil.copy(TINY, folder / "config" / "demo.yaml")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    results = shutil.copytree(tiny_run.folder / "results", folder / "results", symlinks=True)
    (results / "networks").unlink()
    shutil.copytree(tiny_run.folder / "results" / "networks", results / "networks")
    write_images(folder / "data" / "real", 24)
    write_images(folder / "data" / "generated", 24)
    with zipfile.ZipFile(folder / "data" / "generated.zip", "w") as archive:
        for path in sorted((folder / "data" / "generated").iterdir()):
            archive.write(path, path.name)
    text = (REPOSITORY / "config" / "small.yaml").read_text().replace("/path/to/images", "data/real")
    (folder / "mine.yaml").write_text(text.replace("validation: 50", "validation: 4"))
    shutil.copy(folder / "mine.yaml", folder / "mine-256.yaml")
    yield Workflow(folder, folder)


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    for index in range(count):
        Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{index:03d}.png")


def runnable(line: str, folder: Path) -> str:
    """The line as it is run here."""
    for pattern, text in FILLED_IN:
        line = re.sub(pattern, text, line)
    (reconstructions, *_) = (folder / "results" / "store" / "reconstructions").iterdir()
    (summary, *_) = (folder / "results" / "tiny" / "summaries").glob("score_features-main-*.json")
    return line.replace("RECONSTRUCTIONS", str(reconstructions)).replace("SUMMARY", str(summary))


@pytest.mark.parametrize("line", RUN)
def test_the_command_does_what_the_page_says(checkout: Workflow, line: str) -> None:
    kept = {path: path.read_bytes() for path in checkout.folder.glob("mine*.yaml")}
    expect, told = next((code for pattern, code in TOLD.items() if re.search(pattern, line)), (0, ""))
    done = checkout.call("bash", "-euc", runnable(line, checkout.folder), expect=expect, **NO_NETWORK)
    assert re.search(told, done.text)
    assert "Traceback" not in done.text
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_every_reason_not_to_run_a_command_is_needed(pattern: str) -> None:
    assert any(re.match(pattern, line) for line in documented())


def test_most_commands_are_run() -> None:
    assert len(RUN) > 40


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        name for line in documented() for found in re.findall(r"\.\[([\w,-]+)\]", line) for name in found.split(",")
    }
    assert named
    assert named <= extras.keys()
