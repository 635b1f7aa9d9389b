"""Figures of codes (section 3.4) and of bytes (section 5): the numbers of the summaries in the right places."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.figures.codes import code_range, noise_robustness, table_size
from pipeline.figures.inputs import parse_inputs
from pipeline.make_figure import make_figure
from pipeline.stages.figures import FigureJob


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


@pytest.mark.parametrize("figure", ["noise_robustness", "code_range", "table_size"])
def test_they_are_written_twice_alike(figure: str, inputs: dict[str, list[str]], tmp_path: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png, pdf = tmp_path / turn / "figure.png", tmp_path / turn / "figure.pdf"
        make_figure(json.dumps({"figure": figure}), png, inputs[figure], pdf=pdf)
        made.append((png.read_bytes(), pdf.read_bytes()))
    assert made[0] == made[1] and made[0][0].startswith(b"\x89PNG")


def test_a_size_without_quality_gets_one_line(inputs: dict[str, list[str]]) -> None:
    with pytest.raises(InputError, match="reconstruction:small=PATH is missing"):
        table_size(job("table_size"), parse_inputs(inputs["table_size"][:3]))
