"""The end of a run says what its numbers mean beside those of finished runs, and what to change first."""

from typing import Any

import pytest
from bright_pipeline.config.root import load_config
from bright_pipeline.plan.advice import FEWEST_IMAGES, FEWEST_SEEN, REFERENCES, advice
from bright_pipeline.stages.common import Jobs
from documented import ROOT
from finished_plan import tiny_values
from page_numbers import read_table

pytestmark = pytest.mark.usefixtures("own_folder")


def run(images: int = 48, train: int = 5000) -> Jobs:
    values = tiny_values()
    values["autoencoders"]["main"]["training"]["images"] = images
    values["datasets"]["tiny"] |= {"limit": None, "split": {"rule": "last", "validation": 10_000 - train}}
    return Jobs(load_config(values))


def said(jobs: Jobs, lpips: float = 0.3, psnr: float = 15.0, **others: Any) -> str:
    return " ".join(advice(jobs, {"reconstruction": {"main": {"lpips_alex": lpips, "psnr": psnr}}} | others))


def test_a_short_training_is_blurry_and_undertrained() -> None:
    text = said(run())
    assert "main: LPIPS 0.300, PSNR 15.0 dB; reference runs: 0.007 and 27.5 dB on clothes" in text
    assert "It is blurry, worse than each." in text
    assert "saw 9,600 images or more, and it 48: first raise autoencoders.main.training.images." in text
    assert "few" not in text and "code_size" not in text


def test_a_long_training_that_is_blurry_needs_a_larger_code_and_one_of_few_images_a_trained_model() -> None:
    assert "larger code: autoencoders.main.code_size, which is 4x4x2." in said(run(FEWEST_SEEN))
    assert "1,000 training images are few" in said(run(FEWEST_SEEN, 1000))


@pytest.mark.parametrize(
    ("lpips", "psnr", "word"), [(0.005, 30.0, "as good as they are"), (0.03, 21.0, "between them")]
)
def test_a_good_run_is_called_good_and_no_change_is_proposed(lpips: float, psnr: float, word: str) -> None:
    text = said(run(FEWEST_SEEN), lpips, psnr)
    assert text.endswith(f"It is {word}.")


def test_samples_like_a_gaussians_and_samples_near_training_images_are_named() -> None:
    def of(main: float) -> dict[str, Any]:
        return {name: {"net": {"32": {"frechet_distance": fd}}} for name, fd in (("main", main), ("gaussian", 900.0))}

    text = said(run(FEWEST_SEEN), 0.005, 30.0, generation=of(950.0), neighbours={"main": {"ratio": 0.2}})
    assert "samples.main: no better than codes of a Gaussian (Fréchet distance 950)" in text
    assert "samples.main: memorised? Its distance to training images is 0.20 of validation's." in text
    text = said(run(FEWEST_SEEN), 0.005, 30.0, generation=of(500.0), neighbours={"main": {"ratio": 1.1}})
    assert text.endswith("It is as good as they are."), "neither is said"
    assert advice(run(), {}) == []


def test_the_references_are_the_numbers_of_the_pages() -> None:
    for page, of in (("transfer", "photographs"), ("colour", "drawings")):
        row = read_table("equal_budget", ROOT / "docs" / f"{page}.md").rows[0]
        found = [float(row[key].split(" ")[0]) for key in ("LPIPS ↓", "PSNR (dB) ↑")]
        assert found == list(REFERENCES[of])
    assert f"{FEWEST_IMAGES:,}".replace(",", "") in (ROOT / "config" / "transfer.yaml").read_text()
