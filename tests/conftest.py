"""Fixtures that the test folders share: metric networks that can be fetched here, tiny models, tiny images."""

import gc
import os
import signal
from functools import cache

os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks here are small, and as many processes as cores run
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads wait asleep, where a test has several

from bright_pipeline.base.process import kernel_choice

os.environ.update(kernel_choice())  # as in stages; libraries read the choice when they are imported

from collections.abc import Iterator
from pathlib import Path

if not Path("/proc/driver/nvidia").exists():  # Triton's kernels run in its interpreter, on CPU tensors;
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read on import of Triton, also by torch's compiler

from typing import Any

import numpy as np
import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.process import collect_garbage_rarely, keep_freed_memory
from bright_pipeline.data import fingerprint
from bright_pipeline.data.archive import ArchiveWriter, image_name
from bright_pipeline.models.metric_networks.fetching import fetch
from bright_pipeline.models.metric_networks.manifest import fetchable, manifest, network_path
from filelock import FileLock
from hypothesis import HealthCheck, settings

keep_freed_memory()  # as stages do
collect_garbage_rarely()
os.fsync = lambda file: None  # no test cuts the power

# No test is timed, and temporary folders may hold several examples.
settings.register_profile("tests", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("tests")

REPOSITORY = Path(__file__).parents[1]

TINY = yaml.safe_load((REPOSITORY / "tests" / "tiny_models.yaml").read_text(encoding="utf-8"))

pytest_plugins = ["require_all"]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first, so that mistakes show early; in several processes the longest, so that all end together.

    Tests that share a fixture of their module stay in one process.
    """

    def length(item: pytest.Item) -> tuple[bool, ...]:
        in_a_run = item.path.parent.name in ("cluster", "workflow")
        return tuple(map(bool, (item.get_closest_marker("slow"), in_a_run, item.get_closest_marker("xdist_group"))))

    for item in items:
        made = item._fixtureinfo.name2fixturedefs.values()
        if any(definitions[-1].scope == "module" for definitions in made):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
        if {"tiny_run", "browser", "cluster"} & set(item.fixturenames):
            item.add_marker("slow")
    items.sort(key=length, reverse="PYTEST_XDIST_WORKER" in os.environ)


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection."""
    gc.collect()
    gc.freeze()


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, merged section by section."""
    sections = {key: merged(base[key], value) for key, value in changes.items() if isinstance(base.get(key), dict)}
    return base | changes | sections


@pytest.fixture(scope="session", autouse=True)
def do_nothing_twice() -> None:
    """Almost every plan here is of the tiny config, and would unpack its images. LPIPS replaces what it draws."""
    from forkserver.drawn import draw_no_weights  # imports torch, which xdist's own process does not need

    draw_no_weights()
    count = fingerprint.image_counts
    once = cache(count)
    fingerprint.image_counts = lambda source, where: (once if source.kind == "embedded" else count)(source, where)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one: results are relative to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changeable(settings: dict[str, Any]) -> Any:
    """A fixture: a function that returns these settings with changes, section by section."""
    return pytest.fixture(scope="session")(lambda: lambda **changes: merged(settings, changes))


tiny_autoencoder, tiny_diffusion, tiny_stylegan2, tiny_imagebart = (
    changeable(TINY[name]) for name in ("autoencoder", "diffusion", "stylegan2", "imagebart")
)


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 14 gray 32 x 32 images: smooth noise."""
    path = tmp_path_factory.mktemp("images") / "train.zip"
    generator = np.random.default_rng(0)
    with ArchiveWriter(path, channels=1) as archive:
        for index in range(14):
            coarse = generator.integers(0, 256, (8, 8), np.uint8)
            archive.add(image_name(index), np.kron(coarse, np.ones((4, 4), np.uint8)))
    return path


@pytest.fixture(scope="session")
def networks_folder() -> Path:
    """The networks folder (BRIGHT_NETWORKS, else results/networks), with the networks of the package index.

    Fetched files stay for the next session. Without network access, tests that need the files are skipped.
    """
    folder = Path(os.environ.get("BRIGHT_NETWORKS", REPOSITORY / "results" / "networks"))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for name in filter(fetchable, manifest()):
            path = network_path(name, folder)
            if not path.is_file():
                try:
                    fetch(name, path)
                except InputError as error:
                    pytest.skip(str(error))
    return folder


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """Reset what a training sets for the whole process: accelerate's state and the handler of SIGTERM."""
    from accelerate.state import AcceleratorState

    handler = signal.getsignal(signal.SIGTERM)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    signal.signal(signal.SIGTERM, handler)
