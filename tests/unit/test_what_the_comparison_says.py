"""What docs/comparison.md says of the ablations in words holds in its tables."""

import pytest
from page_tables import page_table

QUALITY = {"LPIPS ↓": -1, "SSIM ↑": 1, "PSNR (dB) ↑": 1, "LPIPS-VGG ↓": -1}
"""The metrics of reconstruction, and whether a larger number is the better one."""
DISTANCE = "FD (EfficientNet-Lite0) of samples ↓"
ABLATIONS = {row["Changed"]: row for row in page_table("comparison.md", "ablations")}
WHOLE = ABLATIONS["(the first row)"]


def interval(row: dict[str, str], name: str) -> tuple[float, float]:
    """Mean less and plus the deviation over the seeds."""
    mean, deviation = map(float, row[name].split(" ± "))
    return mean - deviation, mean + deviation


def meet(row: dict[str, str], other: dict[str, str], name: str) -> bool:
    """Whether the intervals of two rows have a number in common."""
    (low, high), (other_low, other_high) = interval(row, name), interval(other, name)
    return low <= other_high and other_low <= high


def test_noise_of_a_whole_cell_brings_the_distance_to_where_the_other_families_are() -> None:
    row = ABLATIONS["code_noise_cells 1.0"]
    bright, *others = page_table("comparison.md", "latent_diffusion")
    assert bright["Method"] == "BRIGHT" and len(others) == 3
    assert all(meet(row, family, DISTANCE) for family in others)
    assert not any(meet(bright, family, DISTANCE) for family in others)
    assert not meet(row, WHOLE, DISTANCE)
    assert all(meet(row, WHOLE, name) for name in QUALITY)


def test_without_noise_the_distance_is_no_larger() -> None:
    row = ABLATIONS["code_noise none"]
    assert sum(interval(row, DISTANCE)) <= sum(interval(WHOLE, DISTANCE))


@pytest.mark.parametrize("name", QUALITY)
def test_without_tables_and_with_one_resolution_reconstruction_is_worse(name: str) -> None:
    without = ABLATIONS["features mlp"]
    one = ABLATIONS["tables.resolutions 1, tables.coarsest_resolution 32"]
    assert all(
        QUALITY[name] * sum(interval(row, name)) < QUALITY[name] * sum(interval(WHOLE, name)) for row in (without, one)
    )
    assert meet(without, WHOLE, name) and not meet(one, WHOLE, name)


@pytest.mark.parametrize("name", [*QUALITY, DISTANCE])
@pytest.mark.parametrize("changed", ["tables.coordinates false", "tables.entries_log2 10", "decoder.style_width 0"])
def test_what_costs_nothing_is_within_the_intervals(changed: str, name: str) -> None:
    assert meet(ABLATIONS[changed], WHOLE, name)
