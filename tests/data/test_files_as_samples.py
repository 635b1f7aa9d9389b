"""Images that another program made, as a sample set: copied as they are, known by their content."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.run import unfinished
from bright_pipeline.generate import generate_shard
from bright_pipeline.plan.checks import obstacles
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.generation import samples
from bright_pipeline.stages.tables import tables
from finished_plan import tiny_plan, tiny_values
from PIL import Image
from small_collections import encoded

COUNT = 12
FOLDER = Path("theirs")


@pytest.fixture(autouse=True)
def pictures(own_folder: Path) -> None:
    """Twelve pictures in sub-folders of `theirs`, and the same in a zip."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile("theirs.zip", "w") as archive:
        for index in range(COUNT):
            path = FOLDER / f"{index % 2}" / f"seed{index:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
            archive.write(path, path.relative_to(FOLDER))


def sample_set(**changes: Any) -> dict[str, Any]:
    return {"kind": "files", "path": "theirs", "dataset": "tiny", "method": "StyleGAN2", "count": COUNT} | changes


def shard(name: str, first: int = 0, last: int = COUNT, channels: int = 3, **changes: Any) -> Path:
    job = {"samples": sample_set(**changes), "resolution": 32, "channels": channels}
    generate_shard(json.dumps(job), first, last, Path(name))
    return Path(name)


def test_a_folder_and_a_zip_of_the_same_images_are_one_set_in_the_order_of_names() -> None:
    whole = ImageArchive(shard("folder.zip"))
    expected = [np.asarray(Image.open(path)) for path in sorted(FOLDER.rglob("*.png"))]
    np.testing.assert_array_equal(whole.tensor().permute(0, 2, 3, 1), expected)
    parts = ImageArchive([shard("a.zip", 0, 3, path="theirs.zip"), shard("b.zip", 3, 12, path="theirs.zip")])
    np.testing.assert_array_equal(parts.tensor(), whole.tensor())
    assert parts.names == whole.names
    assert ImageArchive(shard("gray.zip", channels=1)).channels == 1


@pytest.mark.parametrize(
    ("content", "count", "told"),
    [
        (None, 13, "theirs: 12 images, where the sample set needs 13"),
        (encoded(Image.new("RGB", (32, 16))), 12, r"theirs: 0/seed0002\.png: 32x16, the dataset tiny is 32x32"),
        (b"no image", 12, r"0/seed0002\.png: not an image in a known format"),
    ],
)
def test_too_few_images_or_bad_ones_are_refused_by_name(content: bytes | None, count: int, told: str) -> None:
    if content is not None:
        (FOLDER / "0" / "seed0002.png").write_bytes(content)
    with pytest.raises(InputError, match=told):
        shard("a.zip", 0, count, count=count)
    assert not Path("a.zip").exists()


def plan_of(seeds: tuple[int, ...] = (0,), **changes: Any) -> Jobs:
    values = tiny_values()
    values["samples"]["theirs"] = sample_set(**changes)
    values["tables"]["table5"]["rows"].append("theirs")
    values["tables"]["table5"]["count"] = COUNT
    return tiny_plan(values | {"training_seeds": list(seeds)})


def test_their_content_decides_and_not_where_they_lie() -> None:
    plan = plan_of()
    digest = plan(samples, "theirs").digest
    plan.fingerprints.keep()
    shutil.move("theirs", "elsewhere")
    assert plan_of(path="elsewhere")(samples, "theirs").digest == digest
    assert plan_of()(samples, "theirs").digest == digest, "by the fingerprint that was kept"
    Image.new("RGB", (32, 32)).save(Path("elsewhere", "0", "seed0002.png"))
    assert plan_of(path="elsewhere")(samples, "theirs").digest != digest


def test_they_become_one_measured_row_under_their_methods_name() -> None:
    plan = plan_of(seeds=(0, 1))
    (job,) = (job for job in plan(planned).values() if job.settings.get("method") == "StyleGAN2")
    assert (job.stage.name, job.settings["sample_kind"], job.settings["count"]) == ("score_features", "files", COUNT)
    assert job in plan(tables)["table5"].upstream
    names = plan(tables)["table5"].names
    assert (names.count("theirs"), names.count("theirs#1"), names.count("main#1")) == (1, 0, 1)


def test_too_few_files_stop_a_plan_and_missing_ones_a_run() -> None:
    with pytest.raises(InputError, match=r"samples\.theirs\.count: at most 12, the images in theirs, not 50"):
        _ = plan_of(count=50)(planned)
    shutil.rmtree(FOLDER)
    plan = plan_of()
    (line,) = obstacles(plan, unfinished(plan))
    assert line.startswith("samples.theirs.path: theirs does not exist")
