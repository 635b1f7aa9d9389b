"""Any image set can be scored: folders and zips, once per network, going on where it was killed."""

import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.base.summary import Summary, read_summary
from pipeline.commands.evaluate import evaluate
from pipeline.data.sources import RawSequence
from pipeline.evaluation.feature_files import read_features
from pipeline.evaluation.metrics import feature_summary
from pipeline.stages.evaluation import EvaluationJob

SPACE = "efficientnet_lite0"
QUICK = '{"micro_batch": 8, "shard": 8, "networks": ["efficientnet_lite0", "clip"]}'
FEATURES = Path("results/store/features")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks_folder: Path) -> None:
    """Results are relative to the current folder."""
    monkeypatch.chdir(tmp_path)
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


def summary_of(name: str) -> Summary:
    return read_summary(Path("results", "evaluations", name, f"summary-{SPACE}.json"))


def stored(name: str, *images: Image.Image) -> list[RawSequence]:
    """These images as a folder and as a zip."""
    Path(name).mkdir()
    for index, image in enumerate(images):
        image.save(Path(name, f"{index}.png"))
    return [RawSequence(Path(name)), RawSequence(zipped(Path(name)))]


def test_a_folder_is_read_as_a_zip_of_its_images() -> None:
    folder = pictures("some", 5, 0)
    one, other = RawSequence(folder), RawSequence(zipped(folder))
    assert (len(one), one.channels, one.resolution) == (5, 3, 32)
    assert one.names == other.names
    np.testing.assert_array_equal(one.tensor([4, 0]), other.tensor([4, 0]))


def test_how_the_first_image_is_stored_decides_on_the_channels() -> None:
    """Not what it shows: old photographs are gray, and so is a black one."""
    gray, gray_in_rgb = Image.new("L", (8, 8), 7), Image.new("RGB", (8, 8), (7, 7, 7))
    colour = Image.new("RGB", (8, 8), (7, 8, 9))
    for images in stored("mixed", gray, gray_in_rgb, colour):
        assert images.channels == 1 and images.tensor([0, 1]).unique().tolist() == [7]
        with pytest.raises(InputError, match=r"2\.png: in colour, but the first image is gray"):
            images.read(2)
    for images in stored("photographs", gray_in_rgb, colour):
        assert images.channels == 3 and images.read(1)[0, 0].tolist() == [7, 8, 9]


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
    evaluate(pictures("theirs", 12, 0), pictures("real", 14, 1), "StyleGAN2", "ffhq256", count=11, settings=QUICK)
    printed = capsys.readouterr().out
    for part in (
        "theirs (11 images) against real (14 images)",
        "FD (EfficientNet-Lite0)",
        "skipped: network clip is missing (CLIP-FID)",
    ):
        assert part in printed
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
    assert summary_of("two").numbers == of_stored_features("two", "real")


def of_stored_features(*names: str) -> dict[str, float]:
    """The metrics of two sets from their stored features."""
    made, real = (read_features(sorted(next(FEATURES.glob(f"{name}-*")).glob("*.npz"))) for name in names)
    job = {"sample_kind": "files", "method": "", "space": SPACE, "reference": ""}
    return feature_summary(EvaluationJob.model_validate(job), made, real).numbers


def test_other_images_under_the_same_names_are_scored_anew() -> None:
    real, theirs = pictures("real", 14, 1), pictures("theirs", 12, 0)
    evaluate(theirs, real, settings=QUICK)
    first = summary_of("theirs")
    with Image.open(theirs / "003.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(theirs / "003.png")
    evaluate(theirs, real, settings=QUICK)
    assert summary_of("theirs").numbers != first.numbers


def test_without_any_network_it_says_which_file_to_put_where() -> None:
    with pytest.raises(InputError, match=r"network clip is missing .* put ViT-B-32\.pt"):
        evaluate(pictures("a", 4, 0), pictures("b", 4, 1), settings='{"networks": ["clip"]}')


def test_more_images_than_there_are_is_one_line() -> None:
    with pytest.raises(InputError, match="a: 4 images, not 5"):
        evaluate(pictures("a", 4, 0), pictures("b", 4, 1), count=5, settings=QUICK)


@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on_where_it_was() -> None:
    """SIGKILL after the second range of features: what is there stays, the rest and the values are the same."""
    pictures("theirs", 40, 0, size=64)
    pictures("real", 40, 1, size=64)
    command = [sys.executable, "-m", "pipeline.commands.evaluate", "--generated", "theirs", "--reference", "real"]
    command += ["--settings", QUICK]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(kept := list(FEATURES.rglob("features-*.npz"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not Path("results", "evaluations").exists()
    kept = list(FEATURES.rglob("features-*.npz"))
    assert 2 <= len(kept) < 10
    written = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in kept}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in kept} == written
    assert len(list(FEATURES.rglob("features-*.npz"))) == 10
    resumed = summary_of("theirs")
    FEATURES.parent.rename("results/before")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert summary_of("theirs") == resumed
