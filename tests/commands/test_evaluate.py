"""Any image set can be scored: folders and zips, once per network, with one-line errors."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.evaluate import evaluate
from bright_pipeline.data.sources import RawSequence
from bright_pipeline.evaluation.feature_files import read_features
from bright_pipeline.evaluation.metrics import feature_summary
from bright_pipeline.evaluation.summary import Summary, read_summary
from bright_pipeline.stages.evaluation import EvaluationJob
from PIL import Image

SPACE = "efficientnet_lite0"
QUICK = '{"micro_batch": 8, "shard": 8, "networks": ["efficientnet_lite0", "clip"]}'
FEATURES = Path("results/store/features")


@pytest.fixture(autouse=True)
def _networks(own_folder: Path, networks_folder: Path) -> None:
    Path("results").mkdir()
    Path("results", "networks").symlink_to(networks_folder.resolve())


def pictures(name: str, count: int, seed: int, size: int = 32) -> Path:
    """A folder of smooth random pictures."""
    rng = np.random.default_rng(seed)
    Path(name).mkdir()
    for index in range(count):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(size // 4, 0).repeat(size // 4, 1)).save(Path(name, f"{index:03d}.png"))
    return Path(name)


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for image in sorted(folder.iterdir()):
            archive.write(image, image.name)
    return path


def test_how_the_first_image_is_stored_decides_on_the_channels() -> None:
    """Not what it shows: old photographs are gray, and so is a black one."""
    gray, gray_in_rgb = Image.new("L", (8, 8), 7), Image.new("RGB", (8, 8), (7, 7, 7))
    colour, folder = Image.new("RGB", (8, 8), (7, 8, 9)), Path("mixed")
    folder.mkdir()
    for index, image in enumerate((gray, gray_in_rgb, colour)):
        image.save(folder / f"{index}.png")
    for path in (folder, zipped(folder)):
        images = RawSequence(path)
        assert (len(images), images.channels, images.resolution) == (3, 1, 8)
        assert images.tensor([0, 1]).unique().tolist() == [7]
        with pytest.raises(InputError, match=r"2\.png: in colour, but the first image is gray"):
            images.read(2)
    (folder / "0.png").unlink()
    images = RawSequence(folder)
    assert images.channels == 3 and images.read(1)[0, 0].tolist() == [7, 8, 9]


def summary_of(name: str) -> Summary:
    return read_summary(Path("results", "evaluations", name, f"summary-{SPACE}.json"))


def test_images_of_two_sizes_or_not_square_or_damaged_are_refused_by_name() -> None:
    folder = pictures("some", 2, 0)
    Image.new("RGB", (64, 64)).save(folder / "001.png")
    with pytest.raises(InputError, match=r"some: 001\.png: 64x64, but the first image is 32x32; all images must"):
        RawSequence(folder).tensor()
    (folder / "001.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"some: 001\.png: not an image"):
        RawSequence(folder).tensor()
    Image.new("RGB", (64, 32)).save(folder / "000.png")
    with pytest.raises(InputError, match=r"some: 000\.png: 64x32; images must be square"):
        RawSequence(folder)
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty: contains no images"):
        RawSequence(Path("empty"))
    with pytest.raises(InputError, match="images: nowhere does not exist"):
        RawSequence(Path("nowhere"))


def test_metrics_protocol_and_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    theirs, real = pictures("theirs", 12, 0), pictures("real", 14, 1)
    with pytest.raises(InputError, match="theirs: 12 images, not 13"):
        evaluate(theirs, real, count=13, settings=QUICK)
    with pytest.raises(InputError, match=r"network clip is missing .* put ViT-B-32\.pt"):
        evaluate(theirs, real, settings='{"networks": ["clip"]}')
    evaluate(theirs, real, "StyleGAN2", "ffhq256", count=11, settings=QUICK)
    printed = capsys.readouterr().out
    assert "theirs (11 images) against real (14 images)" in printed and "FD (EfficientNet-Lite0)" in printed
    assert "skipped: network clip is missing (CLIP-FID)" in printed
    summary = summary_of("theirs")
    assert (summary.traits["method"], summary.traits["sample_kind"]) == ("StyleGAN2", "files")
    assert summary.details == {"dataset": "ffhq256"}
    assert (summary.protocol["count"], summary.protocol["reference_count"]) == (11, 14)
    assert summary.protocol["reference_sha256"] and summary.protocol["network_sha256"]
    assert summary.values[f"{SPACE}.frechet_distance"].number > 0
    assert all(value.interval is not None for value in summary.values.values())


def test_a_second_set_takes_the_references_features_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pictures("real", 14, 1)
    evaluate(pictures("one", 12, 0), real, settings=QUICK)
    kept = {path: path.stat().st_mtime_ns for path in FEATURES.rglob("features-*.npz")}
    evaluate(pictures("two", 12, 2), real, settings=QUICK)
    assert {path.parent.name.split("-")[0] for path in set(FEATURES.rglob("features-*.npz")) - kept.keys()} == {"two"}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    zipped(real)
    evaluate(Path("two"), Path("real.zip"), settings=QUICK)
    two, features = (read_features(sorted(next(FEATURES.glob(f"{name}-*")).glob("*.npz"))) for name in ("two", "real"))
    job = {"sample_kind": "files", "method": "", "space": SPACE, "reference": ""}
    assert summary_of("two").numbers == feature_summary(EvaluationJob.model_validate(job), two, features).numbers


def test_a_missing_extra_is_one_line_from_python_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)  # as if scipy were not installed
    for name in ("frechet", "metrics"):
        monkeypatch.delitem(sys.modules, f"bright_pipeline.evaluation.{name}")
    images = pictures("images", 12, 0)
    with pytest.raises(InputError, match=r"^scipy is not installed: pip install 'bright-pipeline\[metrics\]'$"):
        evaluate(images, images, settings=QUICK)
