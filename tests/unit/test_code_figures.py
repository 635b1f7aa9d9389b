"""Figures of codes (section 3.4), of bytes and of rates (section 5): the summaries' numbers in the right places."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from pipeline.base.errors import InputError
from pipeline.figures.codes import code_range, noise_robustness, rate_quality, table_size
from pipeline.figures.inputs import parse_inputs
from pipeline.make_figure import make_figure
from pipeline.stages.figures import FigureJob

JOB = FigureJob.model_validate({"figure": "rate_quality", "models": {"small": "bright-4x4x4-aaaaaa"}})


def measured(
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
        "large": [measured("BRIGHT", "8x8x4", 1500, 25.0), measured("BRIGHT", "8x8x4", 1500, 27.0)],
        "small": [measured("BRIGHT", "4x4x4", 400, 21.0)],
        "vqgan": [measured("VQGAN", "8x8", 576, 22.0, "indices")],
        "bare": [measured("BRIGHT", "8x8x4", 8192, 24.0, "float32", ablation="no tables")],
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


def test_what_is_missing_gets_one_line(given: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'small' is none of the models measured \\(large, bright-4x4x4"):
        rate_quality(JOB.model_copy(update={"models": {}}), parse_inputs(given))
    (tmp_path / "vqgan-0.json").write_text(json.dumps({"method": "VQGAN", "code_size": "8x8"}))
    with pytest.raises(InputError, match=r"vqgan-0\.json: kind: this key is missing"):
        rate_quality(JOB, parse_inputs(given))


def curve(half_cells: bool) -> list[dict[str, Any]]:
    """PSNR falls and LPIPS rises with the noise."""
    return [
        {"deviations": size, "half_cells": 8 * size if half_cells else None, "psnr": 24 - size, "lpips_alex": size / 9}
        for size in (0, 0.1, 0.4, 1.6)
    ]


def summary(half_cells: bool, log2: int | None = None, megabytes: float = 0) -> dict[str, Any]:
    channels = {"minimum": [0.1, -2.0], "maximum": [0.9, 3.0], "mean": [0.5, 0.25], "variance": [0.04, 1.0]}
    return {
        "kind": "codes",
        "traits": {"table_entries": f"2^{log2}"} if log2 else {},
        "values": {"codes.table_megabytes": {"number": megabytes}},
        "details": {"noise": curve(half_cells), "codes": {"channels": channels}},
    }


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[str]]:
    """Arguments of each figure."""

    def written(name: str, values: dict[str, Any]) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(values))
        return path

    ours, theirs = written("ours", summary(True, 18, 4.0)), written("theirs", summary(False))
    small = written("small", summary(True, 10, 0.04))
    quality = {
        name: written(
            f"{name}-quality",
            {"kind": "reconstruction", "values": {"psnr": {"number": psnr}, "lpips_alex": {"number": 1 / psnr}}},
        )
        for name, psnr in (("ours", 24.5), ("small", 21.0))
    }
    compared = [f"codes:ours={ours}", f"codes:theirs={theirs}"]
    sizes = [f"codes:{name}={path}" for name, path in (("ours", ours), ("small", small))]
    return {
        "noise_robustness": compared,
        "code_range": compared,
        "table_size": [*sizes, *(f"reconstruction:{name}={path}" for name, path in quality.items())],
    }


def job(figure: str) -> FigureJob:
    return FigureJob.model_validate({"figure": figure, "title": "demo"})


def test_noise_is_drawn_in_deviations_for_all_and_in_half_cells_for_bright(inputs: dict[str, list[str]]) -> None:
    axes = noise_robustness(job("noise_robustness"), parse_inputs(inputs["noise_robustness"])).axes
    assert [[line.get_label() for line in axis.get_lines()] for axis in axes] == [["ours", "theirs"]] * 2 + [
        ["ours"]
    ] * 2
    np.testing.assert_allclose(axes[0].get_lines()[1].get_xydata(), [(s, 24 - s) for s in (0, 0.1, 0.4, 1.6)])
    np.testing.assert_allclose(axes[3].get_lines()[0].get_xydata(), [(8 * s, s / 9) for s in (0, 0.1, 0.4, 1.6)])


def test_each_channel_has_its_range_and_its_deviation(inputs: dict[str, list[str]]) -> None:
    (axis,) = code_range(job("code_range"), parse_inputs(inputs["code_range"])).axes
    segments = [sorted(point[1] for point in lines.get_segments()[0]) for lines in axis.collections]
    assert segments[:4] == [[0.1, 0.9], pytest.approx([0.3, 0.7]), [-2, 3], pytest.approx([-0.75, 1.25])]


def test_bytes_grow_to_the_right(inputs: dict[str, list[str]]) -> None:
    axes = table_size(job("table_size"), parse_inputs(inputs["table_size"])).axes
    np.testing.assert_allclose(axes[0].get_lines()[0].get_xydata(), [(0.04, 21.0), (4.0, 24.5)])
    assert [text.get_text() for text in axes[1].texts] == ["$2^{10}$", "$2^{18}$"]


@pytest.mark.parametrize("figure", ["noise_robustness", "code_range", "table_size", "rate_quality"])
def test_plots_are_written_twice_alike(
    figure: str, inputs: dict[str, list[str]], given: list[str], tmp_path: Path
) -> None:
    settings = JOB if figure == "rate_quality" else job(figure)
    made = []
    for turn in ("first", "second"):
        png, pdf = tmp_path / turn / "figure.png", tmp_path / turn / "figure.pdf"
        make_figure(settings.model_dump_json(), png, (inputs | {"rate_quality": given})[figure], pdf=pdf)
        made.append((png.read_bytes(), pdf.read_bytes()))
    assert made[0] == made[1] and made[0][0].startswith(b"\x89PNG")


def test_a_size_without_quality_gets_one_line(inputs: dict[str, list[str]]) -> None:
    with pytest.raises(InputError, match="reconstruction:small=PATH is missing"):
        table_size(job("table_size"), parse_inputs(inputs["table_size"][:3]))
