"""The figure of quality against bits per image and decoding time: the summaries' numbers in the right places."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from pipeline.base.errors import InputError
from pipeline.figures.codes import rate_quality
from pipeline.figures.inputs import parse_inputs
from pipeline.make_figure import make_figure
from pipeline.stages.figures import FigureJob

JOB = FigureJob.model_validate({"figure": "rate_quality", "models": {"small": "bright-4x4x4-aaaaaa"}})


def summary(
    method: str, code_size: str, bits: float, psnr: float, counted_by: str = "noise", **traits: Any
) -> dict[str, Any]:
    numbers = {"psnr": psnr, "lpips_alex": 1 / psnr, "code_bits": bits}
    return {
        "kind": "reconstruction",
        "traits": {"method": method, "code_size": code_size} | traits,
        "values": {name: {"number": number} for name, number in numbers.items()},
        "details": {"code_bits_counted_by": counted_by},
    }


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Inputs: two sizes of BRIGHT, the larger of two seeds, one VQGAN, and a model whose code nothing bounds."""
    found = {
        "large": [summary("BRIGHT", "8x8x4", 1500, 25.0), summary("BRIGHT", "8x8x4", 1500, 27.0)],
        "small": [summary("BRIGHT", "4x4x4", 400, 21.0)],
        "vqgan": [summary("VQGAN", "8x8", 576, 22.0, "indices")],
        "bare": [summary("BRIGHT", "8x8x4", 8192, 24.0, "float32", ablation="no tables")],
    }
    arguments = []
    for name, summaries in found.items():
        for seed, facts in enumerate(summaries):
            (tmp_path / f"{name}-{seed}.json").write_text(json.dumps(facts))
            arguments.append(f"reconstruction:{name}={tmp_path / f'{name}-{seed}.json'}")
    rates = {"large": 100, "bright-4x4x4-aaaaaa": 400, "vqgan": 50, "bare": 200}
    speeds = {name: {"decoding.images_per_second": {"number": rate}} for name, rate in rates.items()}
    models = {name: {"kind": "decoding", "values": values} for name, values in speeds.items()}
    (tmp_path / "decoding.json").write_text(json.dumps({"models": models}))
    return [*arguments, f"decoding={tmp_path / 'decoding.json'}"]


def test_each_family_is_a_curve_over_its_code_sizes(given: list[str]) -> None:
    figure = rate_quality(JOB, parse_inputs(given))
    psnr_of_bits, lpips_of_bits, psnr_of_time, lpips_of_time = figure.axes
    assert [axis.get_xlabel() for axis in figure.axes] == ["bits per image"] * 2 + ["decoding an image (ms)"] * 2
    assert [axis.get_ylabel() for axis in figure.axes] == ["PSNR (dB)", "LPIPS"] * 2
    assert all(axis.get_xscale() == "log" for axis in figure.axes)
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["BRIGHT", "VQGAN", "BRIGHT (no tables, no noise)", "code 4x4", "code 8x8"]
    bright, vqgan, bare = psnr_of_bits.get_lines()
    np.testing.assert_allclose(bright.get_xydata(), [(400, 21), (1500, 26)])
    np.testing.assert_allclose(vqgan.get_xydata(), [(576, 22)])
    np.testing.assert_allclose(bare.get_xydata(), [(8192, 24)])
    np.testing.assert_allclose(lpips_of_bits.get_lines()[0].get_xydata()[:, 1], [1 / 21, (1 / 25 + 1 / 27) / 2])
    np.testing.assert_allclose(psnr_of_time.get_lines()[0].get_xydata(), [(2.5, 21), (10, 26)])
    np.testing.assert_allclose(lpips_of_time.get_lines()[1].get_xydata(), [(20, 1 / 22)])


def test_a_curve_goes_from_few_bits_to_many_whatever_decoding_takes(given: list[str], tmp_path: Path) -> None:
    speeds = json.loads((tmp_path / "decoding.json").read_text())
    speeds["models"]["bright-4x4x4-aaaaaa"]["values"]["decoding.images_per_second"]["number"] = 50
    (tmp_path / "decoding.json").write_text(json.dumps(speeds))
    psnr_of_time = rate_quality(JOB, parse_inputs(given)).axes[2]
    np.testing.assert_allclose(psnr_of_time.get_lines()[0].get_xydata(), [(20, 21), (10, 26)])


def test_points_tell_by_their_marker_the_size_of_their_code(given: list[str]) -> None:
    axis = rate_quality(JOB, parse_inputs(given)).axes[0]
    outlines = {}
    for point in (found for found in axis.collections if isinstance(found, PathCollection)):
        ((bits, _),) = point.get_offsets()
        outlines[bits] = point.get_paths()[0].vertices.tobytes()
    assert outlines.keys() == {400, 576, 1500, 8192}
    assert outlines[576] == outlines[1500] == outlines[8192] != outlines[400]


def test_several_seeds_have_a_bar_of_one_deviation(given: list[str]) -> None:
    axis = rate_quality(JOB, parse_inputs(given)).axes[0]
    (bars,) = (found for found in axis.collections if isinstance(found, LineCollection))
    np.testing.assert_allclose(bars.get_segments()[0], [(1500, 26 - 2**0.5), (1500, 26 + 2**0.5)])


def test_it_is_written_twice_alike(given: list[str], tmp_path: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png = tmp_path / turn / "figure.png"
        make_figure(JOB.model_dump_json(), png, given)
        made.append(png.read_bytes())
    assert made[0] == made[1] and made[0].startswith(b"\x89PNG")


def test_what_is_missing_gets_one_line(given: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'small' is none of the models measured \\(large, bright-4x4x4"):
        rate_quality(JOB.model_copy(update={"models": {}}), parse_inputs(given))
    (tmp_path / "vqgan-0.json").write_text(json.dumps({"method": "VQGAN", "code_size": "8x8"}))
    with pytest.raises(InputError, match=r"vqgan-0\.json: kind: this key is missing"):
        rate_quality(JOB, parse_inputs(given))
