"""The package as users install it: a wheel with the core of its dependencies, and an editable checkout with extras.

The wheel is used in folders with modules of the user that have common names, none of which can be imported.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path

import forkserver
import nbformat
import numpy as np
import pytest
import torch
from bright_pipeline import load_autoencoder
from bright_pipeline.commands.__main__ import commands
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs
from documented import PAGES, ROOT
from made_once import made_once
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from places import NO_NETWORK, Places
from tiny_workflow import Workflow, add_own_modules, copy_checkout

pytestmark = pytest.mark.slow

PROJECT = "bright-pipeline"
NOT_CORE = {"accelerate", "dvc", "lpips", "matplotlib", "pandas", "scipy", "snakemake", "tensorboard", "torchvision"}
# What people would type first in an empty folder; a command that is not here gets the demo's config.
ARGUMENTS = {
    "config": ["config/demo.yaml"],
    "decode": ["codes.npz", "decoded"],
    "encode": ["images"],
    "evaluate": ["--generated", "images", "--reference", "images"],
    "explore": [],
    "export": ["main", "exported"],
    "fetch_network": ["efficientnet_lite0", "--output", "network.safetensors"],
    "provenance": ["results/demo/tables/table2.md"],
    "sample": ["8", "new"],
    "share": [],
}
EXPORTED_IN_USE = """
import hashlib, sys
from bright_pipeline import load_autoencoder
model = load_autoencoder(sys.argv[1])
codes = model.encode(["picture.png"])
(image,) = model.decode(model.encode(["photo.jpg"], prepare=True))
print(hashlib.sha256(codes.numpy().tobytes()).hexdigest(), image.size, len(model.sample(2, seed=1, steps=2)))
"""
RELEASED_IN_USE = """
import sys, torch
from bright_pipeline import load_autoencoder
model = load_autoencoder(sys.argv[1])
height, width, channels = model.autoencoder.settings.code_size
print(len(model.decode(torch.rand(3, channels, height, width))))
"""


def needed_by(name: str) -> Iterator[Distribution]:
    """The installed packages that a package needs without extras, directly or not."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requires(name) or []]
    while waiting:
        one = waiting.pop()
        if canonicalize_name(one.name) in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(canonicalize_name(one.name))
        package = distribution(one.name)
        yield package
        waiting += [Requirement(line) for line in package.requires or []]


def link(packages: Iterable[Distribution], folder: Path) -> None:
    """Links in `folder` to the files of installed packages."""
    for package in packages:
        for name in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / name).exists():
                (folder / name).symlink_to(Path(str(package.locate_file(name))))


def python(folder: Path) -> Path:
    return folder / "bin" / "python"


def make_environment(folder: Path) -> None:
    """An environment with the wheel and the core alone, and beside it, in `kernel`, what a notebook needs too."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    link(needed_by(PROJECT), site)
    (folder / "kernel").mkdir()
    link([distribution("ipykernel"), *needed_by("ipykernel")], folder / "kernel")
    checkout = copy_checkout(folder / "checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input"]
    flags = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *flags, "--wheel-dir", folder, checkout], check=True)
    subprocess.run(["git", "check-ignore", "--quiet", "build/lib"], cwd=ROOT, check=True)  # which `pip wheel .` leaves
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python(folder), "install", "--no-deps", "--no-index", wheel], check=True)
    shutil.rmtree(checkout)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_once(tmp_path_factory, "installed", make_environment)
    here = f"import importlib.util; print([name for name in {sorted(NOT_CORE)} if importlib.util.find_spec(name)])"
    assert subprocess.run([python(folder), "-c", here], capture_output=True, text=True).stdout == "[]\n"
    return folder


@pytest.fixture
def bare() -> dict[str, str]:
    """The environment variables of a shell in which nothing of this project is set; threads wait asleep."""
    own = ("PYTHONPATH", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TRITON_INTERPRET", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in own} | NO_NETWORK


@pytest.fixture
def mine(own_folder: Path) -> Path:
    """The current folder, with modules of the user."""
    add_own_modules(own_folder)
    return own_folder


def test_every_command_of_the_core_succeeds_or_names_the_extra(installed, bare, mine, networks_folder) -> None:
    forks = forkserver.commands(str(python(installed)))  # of a process that has loaded what is installed
    (mine / "results").mkdir()
    (mine / "results" / "networks").symlink_to(networks_folder.resolve())
    demo = Jobs(read_config(Path("config/demo.yaml")))
    entries = {job.stage.name: job.entry for job in demo(planned).values() if job.entry}
    (mine / "images").mkdir()
    for index in range(4):
        Image.fromarray(np.full((32, 32, 3), index, np.uint8)).save(mine / "images" / f"{index}.png")

    def say(name: str) -> tuple[str, int, str]:
        by_hand = ["config/demo.yaml", entries[name]] if name in entries else ["--help"]
        of_people = commands()[name].startswith("bright_pipeline.commands.")
        words = ARGUMENTS.get(name, ["config/demo.yaml"] if of_people else by_hand)
        command = [(installed / "bin" if name == "prepare_dataset" else forks) / "bright", name, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=bare, cwd=mine)
        return name, done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(2) as pool:  # the embedded images are prepared first: later stages read them
        ended = [say("prepare_dataset"), *pool.map(say, sorted(commands().keys() - {"prepare_dataset"}))]
    texts = {name: text for name, _, text in ended}
    assert [name for name, code, _ in ended if name == "prepare_dataset" and code] == [], texts["prepare_dataset"]
    wrong = {name: text for name, text in texts.items() if "Traceback" in text}
    for name, code, text in ended:
        if code and name not in ("doctor", "verify"):  # these list all that is missing
            assert text.splitlines()[-1].startswith("error: "), f"{name}: {text}"
    assert not wrong, "\n".join(wrong.values())
    named = {name: extra for name in texts for extra in re.findall(rf"pip install '{PROJECT}\[(\w+)\]'", texts[name])}
    assert named == {
        **{"estimate": "metrics", "evaluate": "metrics"},
        **{"doctor": "metrics", "fetch_network": "metrics", "train_autoencoder": "workflow"},
    }
    assert not any("not installed" in text for name, text in texts.items() if name not in named)


def printed(installed: Path, environment: dict[str, str], *words: str | Path) -> list[str]:
    """The words that `python WORDS` prints, without a warning."""
    done = subprocess.run([python(installed), *words], capture_output=True, text=True, env=environment)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.split()


def test_a_script_encodes_with_an_exported_folder_to_the_bits_of_the_weights_file_decodes_and_samples(
    installed: Path, bare: dict[str, str], mine: Path, tiny_run: Workflow, exported: Path
) -> None:
    """A picture of the model's size, and a photograph of another one."""
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save("picture.png")
    Image.fromarray(np.zeros((20, 28, 3), np.uint8)).save("photo.jpg")
    weights = tiny_run.path("results/store/autoencoders/main-*/autoencoder.safetensors")
    codes = load_autoencoder(weights).encode([Path("picture.png")])
    Path("script.py").write_text(EXPORTED_IN_USE)
    found = printed(installed, bare | {"OMP_NUM_THREADS": str(torch.get_num_threads())}, "script.py", exported)
    assert found == [hashlib.sha256(codes.numpy().tobytes()).hexdigest(), "(32,", "32)", "2"]


def test_the_notebook_runs_from_top_to_bottom_and_shows_its_pictures(installed, bare, play, tmp_path, monkeypatch):
    add_own_modules(play.folder)
    kernel = tmp_path / "kernels" / "wheel" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    words = [str(python(installed)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": words, "display_name": "wheel", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    environment = bare | {"PYTHONPATH": str(installed / "kernel"), "BRIGHT_CONFIG": "config.yaml"}
    resources = {"metadata": {"path": str(play.folder)}}
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "first-look.ipynb", as_version=4)
    assert re.findall(r"\bbright_pipeline\.\w+", str(notebook)) == [], "public names alone"
    NotebookClient(notebook, timeout=300, kernel_name="wheel", resources=resources).execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


def test_each_model_of_a_release_decodes_with_the_core_alone(installed, bare, places, tmp_path) -> None:
    place = places.copy("public")
    assert "release/0.1.0: " in place.type("python tools/publication/release.py").text
    assert "exists, and nothing is replaced" in place.type("python tools/publication/release.py", expect=2).text
    release = place.folder / "release" / "0.1.0"
    model = "bright-fashion-mnist"
    made = [f"{model}-autoencoder.csv", f"{model}-diffusion.csv", f"{model}.html", f"{model}.zip"]
    assert sorted(path.name for path in release.iterdir()) == ["CHANGES.md", "SHA256SUMS", *made]
    place.type("cd release/0.1.0; sha256sum --strict -c SHA256SUMS")
    assert (release / "CHANGES.md").read_text() in (ROOT / "CHANGELOG.md").read_text()
    shutil.unpack_archive(release / f"{model}.zip", tmp_path)
    assert printed(installed, bare, "-c", RELEASED_IN_USE, tmp_path / model) == ["3"]


INSTALLS = r"(make setup EXTRAS=[\w,-]+|pip install [^`\n]*\.\[[^`\n]*?'?)(?=[`\s]|$)"
PROFILES = sorted((ROOT / "profiles").glob("*/config.yaml"))
LINES = [line for page in (*PAGES, *PROFILES) for line in re.findall(INSTALLS, page.read_text(encoding="utf-8"))]


def test_what_the_pages_install_leaves_the_checkout_in_place(places: Places) -> None:
    """One line of each form: without a network, extras make no difference."""
    forms = {re.split(r"[=[]", line)[0]: line for line in LINES}
    assert forms.keys() == {"make setup EXTRAS", "pip install --editable '."}
    place = places.copy("tracked")
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, place.folder)
    subprocess.run([sys.executable, "-m", "venv", place.folder / ".venv"], check=True)
    subprocess.run([python(place.folder / ".venv"), "-m", "pip", "uninstall", "-qy", "setuptools"], check=True)
    (site,) = (place.folder / ".venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # pip finds the other packages installed there
    (place.folder / ".venv" / ".run").write_text("\n")
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "off", "PYTHONPATH": ""}

    def type_(line: str) -> str:
        return place.type(f"export PATH=$PWD/.venv/bin:$PATH; {line}", **offline).text

    for line in forms.values():
        type_(line)
        found = type_("cd /; python -P -c 'import bright_pipeline; print(bright_pipeline.__file__)'").strip()
        assert Path(found).resolve() == place.folder.resolve() / "pipeline" / "bright_pipeline" / "__init__.py", line
    assert re.search(r"^\d+ results tracked", type_("bright share"), re.MULTILINE)
