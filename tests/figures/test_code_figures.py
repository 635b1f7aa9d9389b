"""Figures of codes (section 3.4), of bytes and of rates (section 5): the summaries' numbers in the right places."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.figures import codes as figures
from bright_pipeline.figures.common import parse_inputs
from bright_pipeline.make_figure import make_figure
from bright_pipeline.stages.figures import FigureJob
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection

NOISE = (0, 0.1, 0.4, 1.6)
DRAWING = {
    one.__name__: one
    for one in (figures.noise_robustness, figures.code_range, figures.table_size, figures.rate_quality, figures.spectra)
}


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


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


def codes(half_cells: bool, log2: int | None = None, megabytes: float = 0) -> dict[str, Any]:
    """Measured codes; PSNR falls and LPIPS rises with the noise."""
    channels = {"minimum": [0.1, -2.0], "maximum": [0.9, 3.0], "mean": [0.5, 0.25], "variance": [0.04, 1.0]}
    noise = [
        {"deviations": size, "half_cells": 8 * size if half_cells else None, "psnr": 24 - size, "lpips_alex": size / 9}
        for size in NOISE
    ]
    return {
        "kind": "codes",
        "traits": {"table_entries": f"2^{log2}"} if log2 else {},
        "values": {"codes.table_megabytes": {"number": megabytes}},
        "details": {
            "noise": noise,
            "codes": {"channels": channels},
            "spectrum": {"deviations": [2.0, 1.0, 0.5, 0.01], "empty_below": 0.05},
        },
    }


def job(figure: str) -> FigureJob:
    models = {"small": "bright-4x4x4-aaaaaa"} if figure == "rate_quality" else {}
    return FigureJob.model_validate({"figure": figure, "models": models})


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[str]]:
    """Arguments of each figure.

    Quality over rates is of two sizes of BRIGHT, the larger of two seeds, one VQGAN, and a model without a bound.
    """
    rates = []
    for name, seed, facts in [
        ("large", 0, measured("BRIGHT", "8x8x4", 1500, 25.0)),
        ("large", 1, measured("BRIGHT", "8x8x4", 1500, 27.0)),
        ("small", 0, measured("BRIGHT", "4x4x4", 400, 21.0)),
        ("vqgan", 0, measured("VQGAN", "8x8", 576, 22.0, "indices")),
        ("bare", 0, measured("BRIGHT", "8x8x4", 8192, 24.0, "float32", ablation="no tables")),
    ]:
        rates.append(f"reconstruction:{name}={written(tmp_path / f'{name}-{seed}.json', facts)}")
    speeds = {"large": 100, "bright-4x4x4-aaaaaa": 400, "vqgan": 50, "bare": 200}
    values = {name: {"decoding.images_per_second": {"number": rate}} for name, rate in speeds.items()}
    models = {name: {"kind": "decoding", "values": rate} for name, rate in values.items()}
    rates.append(f"decoding={written(tmp_path / 'decoding.json', {'models': models})}")
    ours, theirs, little = (
        f"codes:{name}={written(tmp_path / f'{name}.json', facts)}"
        for name, facts in [("ours", codes(True, 18, 4.0)), ("theirs", codes(False)), ("little", codes(True, 10, 0.04))]
    )
    quality = [
        f"reconstruction:{name}={written(tmp_path / f'{name}-quality.json', measured('BRIGHT', '8x8x4', 1, psnr))}"
        for name, psnr in (("ours", 24.5), ("little", 21.0))
    ]
    return {
        "rate_quality": rates,
        "noise_robustness": [ours, theirs],
        "code_range": [ours, theirs],
        "spectra": [ours, theirs],
        "table_size": [ours, little, *quality],
    }


def drawn(figure: str, inputs: dict[str, list[str]]) -> Any:
    """The axes of a figure."""
    return DRAWING[figure](job(figure), parse_inputs(inputs[figure])).axes


def test_each_family_is_a_curve_over_its_code_sizes(inputs: dict[str, list[str]], tmp_path: Path) -> None:
    axes = drawn("rate_quality", inputs)
    psnr_of_bits, lpips_of_bits, psnr_of_time, lpips_of_time = axes
    assert [axis.get_xlabel() for axis in axes] == [
        *["bits per image, logarithmic"] * 2,
        *["decoding an image (ms), logarithmic"] * 2,
    ]
    assert [axis.get_ylabel() for axis in axes] == ["PSNR (dB)", "LPIPS"] * 2
    assert all(axis.get_xscale() == "log" for axis in axes)
    (legend,) = psnr_of_bits.figure.legends
    families = ["BRIGHT", "VQGAN", "BRIGHT (no tables, no noise)"]
    names = ["small", "vqgan", "large", "bare"]  # of the points, by bits
    assert [text.get_text() for text in legend.get_texts()] == [*families, "code 4x4", "code 8x8", *names]
    bright, vqgan, bare = psnr_of_bits.get_lines()
    np.testing.assert_allclose(bright.get_xydata(), [(400, 21), (1500, 26)])
    np.testing.assert_allclose(vqgan.get_xydata(), [(576, 22)])
    np.testing.assert_allclose(bare.get_xydata(), [(8192, 24)])
    np.testing.assert_allclose(lpips_of_bits.get_lines()[0].get_xydata()[:, 1], [1 / 21, (1 / 25 + 1 / 27) / 2])
    np.testing.assert_allclose(psnr_of_time.get_lines()[0].get_xydata(), [(2.5, 21), (10, 26)])
    np.testing.assert_allclose(lpips_of_time.get_lines()[1].get_xydata(), [(20, 1 / 22)])
    # Several seeds have a bar of one deviation; markers stand for the size of the code.
    (bars,) = (found for found in psnr_of_bits.collections if isinstance(found, LineCollection))
    np.testing.assert_allclose(bars.get_segments()[-1], [(1500, 26 - 2**0.5), (1500, 26 + 2**0.5)])
    outlines = {}
    for point in (found for found in psnr_of_bits.collections if isinstance(found, PathCollection)):
        ((bits, _),) = point.get_offsets()
        outlines[bits] = point.get_paths()[0].vertices.tobytes()
    assert outlines.keys() == {400, 576, 1500, 8192}
    assert outlines[576] == outlines[1500] == outlines[8192] != outlines[400]
    # A curve goes from few bits to many, whatever decoding takes.
    speeds = json.loads((tmp_path / "decoding.json").read_text())
    speeds["models"]["bright-4x4x4-aaaaaa"]["values"]["decoding.images_per_second"]["number"] = 50
    written(tmp_path / "decoding.json", speeds)
    np.testing.assert_allclose(drawn("rate_quality", inputs)[2].get_lines()[0].get_xydata(), [(20, 21), (10, 26)])


def test_what_is_missing_gets_one_line(inputs: dict[str, list[str]], tmp_path: Path) -> None:
    rates = inputs["rate_quality"]
    with pytest.raises(InputError, match="'small' is none of the models measured \\(large, bright-4x4x4"):
        figures.rate_quality(job("rate_quality").model_copy(update={"models": {}}), parse_inputs(rates))
    written(tmp_path / "vqgan-0.json", {"method": "VQGAN", "code_size": "8x8"})
    with pytest.raises(InputError, match=r"vqgan-0\.json: kind: this key is missing"):
        drawn("rate_quality", inputs)
    with pytest.raises(InputError, match="reconstruction:little=PATH is missing"):
        drawn("table_size", {"table_size": inputs["table_size"][:3]})


def test_noise_is_drawn_in_deviations_for_all_and_in_half_cells_for_bright(inputs: dict[str, list[str]]) -> None:
    axes = drawn("noise_robustness", inputs)
    names = [[line.get_label() for line in axis.get_lines()] for axis in axes]
    assert names == [["ours", "theirs"]] * 2 + [["ours"]] * 2
    np.testing.assert_allclose(axes[0].get_lines()[1].get_xydata(), [(s, 24 - s) for s in NOISE])
    np.testing.assert_allclose(axes[3].get_lines()[0].get_xydata(), [(8 * s, s / 9) for s in NOISE])


def test_panels_of_lpips_say_that_its_network_is_missing(inputs: dict[str, list[str]]) -> None:
    for argument in {path for name in ("rate_quality", "noise_robustness", "table_size") for path in inputs[name]}:
        path = Path(argument.partition("=")[2])
        facts = json.loads(path.read_text())
        for numbers in (facts.get("values", {}), *facts.get("details", {}).get("noise", ())):
            numbers.pop("lpips_alex", None)
        written(path, facts)
    for figure in ("rate_quality", "noise_robustness", "table_size"):
        for axis, lacking in zip(drawn(figure, inputs), (False, True) * 2, strict=False):
            texts = [text.get_text() for text in axis.texts]
            assert ("LPIPS: network lpips_alex is missing" in texts) == lacking
            assert bool(axis.get_lines()) != lacking


def test_each_channel_has_its_range_and_its_deviation(inputs: dict[str, list[str]]) -> None:
    (axis,) = drawn("code_range", inputs)
    segments = [sorted(point[1] for point in lines.get_segments()[0]) for lines in axis.collections]
    assert segments[:4] == [[0.1, 0.9], pytest.approx([0.3, 0.7]), [-2, 3], pytest.approx([-0.75, 1.25])]


def test_bytes_grow_to_the_right(inputs: dict[str, list[str]]) -> None:
    axes = drawn("table_size", inputs)
    np.testing.assert_allclose(axes[0].get_lines()[0].get_xydata(), [(0.04, 21.0), (4.0, 24.5)])
    assert [text.get_text() for text in axes[1].texts] == ["$2^{10}$", "$2^{18}$"]


@pytest.mark.parametrize("figure", DRAWING)
def test_plots_are_written(figure: str, inputs: dict[str, list[str]], tmp_path: Path) -> None:
    """That two plots of equal inputs are equal is tested in test_figures.py."""
    png, pdf = tmp_path / "figure.png", tmp_path / "figure.pdf"
    make_figure(job(figure).model_dump_json(), png, inputs[figure], pdf=pdf)
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")


def test_spectra_are_drawn_by_rank_with_the_bound_of_empty_directions(inputs: dict[str, list[str]]) -> None:
    (axis,) = drawn("spectra", inputs)
    ours, theirs, bound = axis.get_lines()
    assert [ours.get_label(), theirs.get_label()] == ["ours", "theirs"]
    np.testing.assert_allclose(ours.get_xydata(), [(12.5, 2), (37.5, 1), (62.5, 0.5), (87.5, 0.01)])
    assert set(bound.get_ydata()) == {0.05}


def drawn_samples(
    lengths: dict[str, tuple[int, ...]], rows: list[tuple[str, int, str, float, float]], folder: Path
) -> list[Axes]:
    """The figure of samples: images, steps and a stage's images of each name; name, seed, method, PSNR and distance."""
    keys = ("images", "steps", "stage_images")
    of_names = {name: dict(zip(keys, (*of_name, 0), strict=False)) for name, of_name in lengths.items()}
    values = {"figure": "sample_quality", "lengths": of_names}
    arguments: list[str] = []
    for name, seed, method, psnr, distance in rows:
        decoder = written(folder / f"{name}-{seed}.json", measured(method, "8x8x4", 1500, psnr))
        numbers = {"efficientnet_lite0.frechet_distance": distance, "efficientnet_lite0.kernel_distance": distance / 9}
        score = {"kind": "generation", "values": {key: {"number": number} for key, number in numbers.items()}}
        scored = written(folder / f"{name}-{seed}-samples.json", score)
        arguments += [f"samples:{name}={scored}", f"reconstruction:{name}={decoder}"]
    return figures.sample_quality(FigureJob.model_validate(values), parse_inputs(arguments)).axes


def test_distances_of_samples_are_drawn_against_what_differs(tmp_path: Path) -> None:
    """Two lengths of diffusion on one model, the longer of two seeds, and a third model."""
    axes = drawn_samples(
        {"short": (9600, 350), "long": (9600, 700), "kl": (9600, 700)},
        [
            *(("short", 0, "BRIGHT", 24, 600), ("long", 0, "BRIGHT", 24, 500), ("long", 1, "BRIGHT", 26, 520)),
            ("kl", 0, "KL autoencoder", 23, 400),
        ],
        tmp_path,
    )
    assert [axis.get_xlabel() for axis in axes] == [
        "PSNR of reconstructions (dB)",
        "steps of the diffusion model, logarithmic",
    ] * 2
    assert [axis.get_ylabel() for axis in axes] == [f"{d} (EfficientNet-Lite0)" for d in ("FD", "FD", "KD", "KD")]
    bright, kl = (axes[1].get_lines()[0], axes[1].get_lines()[1])
    np.testing.assert_allclose(bright.get_xydata(), [(350, 600), (700, 510)])
    np.testing.assert_allclose(kl.get_xydata(), [(700, 400)])
    np.testing.assert_allclose(axes[2].get_lines()[0].get_xydata(), [(24, 600 / 9), (25, 510 / 9)])
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("BRIGHT", "KL autoencoder", "no decoder stage"),
        *("short", "long", "kl"),  # the names of the points 1, 2 and 3
    ]
    assert [(text.get_text(), text.xy) for text in axes[1].texts] == [
        ("1", (350, 600)),
        ("2", (700, 510)),
        ("3", (700, 400)),
    ]


def test_a_family_has_one_colour_and_its_decoder_stage_another_marker(tmp_path: Path) -> None:
    rows = [("plain", 24.0, 500), ("penalty", 24.3, 450), ("stage", 23.8, 380)]
    lengths = {"plain": (9600, 700), "penalty": (9600, 700), "stage": (9600, 700, 4800)}
    axis, _ = drawn_samples(lengths, [(name, 0, "BRIGHT", psnr, fd) for name, psnr, fd in rows], tmp_path)
    plain, stage = (container.lines[0] for container in axis.containers)
    assert plain.get_color() == stage.get_color()
    first, second, of_stage = (points.get_paths()[0].vertices.tobytes() for points in axis.collections)
    assert first == second != of_stage
    assert len(plain.get_xydata()) == 2 and stage.get_xydata().tolist() == [[23.8, 380]]
    (legend,) = axis.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("BRIGHT", "no decoder stage", "decoder stage"),
        *("plain", "penalty", "stage"),
    ]


def test_a_curve_over_one_length_has_the_usual_other_length(tmp_path: Path) -> None:
    """Longer trainings of the autoencoder and of the diffusion model are no points of one curve."""
    lengths = {"usual": (9600, 700), "long": (36000, 700), "steps-350": (9600, 350), "steps-1400": (9600, 1400)}
    rows = [("usual", 500), ("long", 450), ("steps-350", 600), ("steps-1400", 420)]
    psnr = {"long": 26.0}
    axes = drawn_samples(lengths, [(name, 0, "BRIGHT", psnr.get(name, 24.0), fd) for name, fd in rows], tmp_path)
    points = {axis.get_xlabel().split()[0]: axis.get_lines()[0].get_xydata().tolist() for axis in axes[:3]}
    assert points == {
        "PSNR": [[24, 500], [26, 450]],
        "training": [[9600, 500], [36000, 450]],
        "steps": [[350, 600], [700, 500], [1400, 420]],
    }
