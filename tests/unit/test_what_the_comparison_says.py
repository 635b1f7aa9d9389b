"""What docs/comparison.md, other-systems.md, transfer.md and colour.md say in words holds in their tables."""

import pytest
from page_tables import page_table

QUALITY = {"LPIPS ↓": -1, "SSIM ↑": 1, "PSNR (dB) ↑": 1, "LPIPS-VGG ↓": -1}
"""The metrics of reconstruction, and whether a larger number is the better one."""
AT_LEVEL = {"LPIPS ↓", "PSNR (dB) ↑"}
DISTANCE = "FD (EfficientNet-Lite0) of samples ↓"
ABLATIONS = {row["Changed"]: row for row in page_table("comparison.md", "ablations")}
WHOLE = ABLATIONS["(the first row)"]


def interval(row: dict[str, str], name: str) -> tuple[float, float]:
    """Mean less and plus the deviation over the seeds."""
    mean, deviation = map(float, row[name].split(" ± "))
    return mean - deviation, mean + deviation


def mean(row: dict[str, str], name: str) -> float:
    """Over seeds or images: what stands before the spread."""
    return float(row[name].split(" ")[0])


def ranked(rows: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The best first, by the mean."""
    return sorted(rows, key=lambda row: -QUALITY[name] * mean(row, name))


def meet(row: dict[str, str], other: dict[str, str], name: str) -> bool:
    """Whether the intervals of two rows have a number in common."""
    (low, high), (other_low, other_high) = interval(row, name), interval(other, name)
    return low <= other_high and other_low <= high


@pytest.mark.parametrize("name", QUALITY)
def test_with_one_loss_bright_meets_the_best_in_lpips_and_psnr_and_kl_leads_in_the_rest(name: str) -> None:
    """The other families have four channels in a group of normalization, then one."""
    rows = page_table("comparison.md", "equal_budget")
    bright, *rest = (row for row in rows if "without adversarial" in row["Method"])
    others, otherwise = rest[:3], rest[3:]
    assert all("norm_groups 32" in row["Changed"] for row in otherwise)
    for four, one in zip(others, otherwise, strict=True):
        assert (QUALITY[name] * (mean(one, name) - mean(four, name)) > 0) == (name in AT_LEVEL)
    if name in AT_LEVEL:
        assert all(meet(bright, ranked([bright, *block], name)[0], name) for block in (others, otherwise))
    else:
        first, second, *_ = (row["Method"] for row in ranked([bright, *others], name))
        assert first.startswith("KL autoencoder") and second.startswith("RQ-VAE")


def test_noise_of_a_whole_cell_brings_the_distance_to_where_the_other_families_are() -> None:
    row = ABLATIONS["code_noise_cells 1.0"]
    bright, *others = page_table("comparison.md", "latent_diffusion")
    assert bright["Method"] == "BRIGHT" and len(others) == 3
    assert all(meet(row, family, DISTANCE) for family in others)
    assert not any(meet(bright, family, DISTANCE) for family in others)
    assert not meet(row, WHOLE, DISTANCE)
    assert all(meet(row, WHOLE, name) for name in QUALITY)
    row = ABLATIONS["code_noise none"]
    assert sum(interval(row, DISTANCE)) <= sum(interval(WHOLE, DISTANCE))


@pytest.mark.parametrize("name", QUALITY)
def test_without_tables_and_with_one_resolution_reconstruction_is_worse(name: str) -> None:
    without = ABLATIONS["features mlp"]
    one = ABLATIONS["tables.resolutions 1, tables.coarsest_resolution 32"]
    assert WHOLE is ranked([without, one, WHOLE], name)[0]
    assert meet(without, WHOLE, name) and not meet(one, WHOLE, name)


@pytest.mark.parametrize("name", [*QUALITY, DISTANCE])
@pytest.mark.parametrize("changed", ["tables.coordinates false", "tables.entries_log2 10", "decoder.style_width 0"])
def test_what_costs_nothing_is_within_the_intervals(changed: str, name: str) -> None:
    assert meet(ABLATIONS[changed], WHOLE, name)


def test_in_the_demo_bright_and_kl_lead_and_brights_samples_are_the_last_of_latent_diffusion() -> None:
    rows = page_table("other-systems.md", "equal_budget")
    leaders = {name: "BRIGHT" if name in AT_LEVEL else "KL autoencoder" for name in QUALITY}
    assert len(rows) == 4 and {name: ranked(rows, name)[0]["Method"] for name in QUALITY} == leaders
    name = "FD (EfficientNet-Lite0) ↓"
    distances = {row["Method"]: mean(row, name) for row in page_table("other-systems.md", "table5")}
    latent = {method: distance for method, distance in distances.items() if "LDM" in method}
    assert len(latent) == 4 and max(latent.values()) == latent["BRIGHT (LDM)"]
    assert all(distances[system] > latent["BRIGHT (LDM)"] for system in ("DDPM", "StyleGAN2", "ImageBART"))


def test_on_photographs_bright_leads_by_6_db_and_the_other_normalization_costs_kl_all_four() -> None:
    rows = page_table("transfer.md", "equal_budget")
    assert len(rows) == 4
    first, second = ranked(rows, "PSNR (dB) ↑")[:2]
    assert first["Method"] == "BRIGHT" and mean(first, "PSNR (dB) ↑") > mean(second, "PSNR (dB) ↑") + 6
    assert all(ranked(rows, name)[0] is first for name in QUALITY)
    assert mean(first, "LPIPS ↓") < mean(ranked(rows, "LPIPS ↓")[1], "LPIPS ↓") / 2
    row, otherwise = page_table("transfer.md", "ablations")
    assert "network.norm_groups 32" in otherwise["Changed"]
    assert all(ranked([row, otherwise], name)[0] is row for name in QUALITY)


def test_in_colour_bright_leads_in_reconstruction_and_its_samples_are_the_last() -> None:
    rows, latent = (page_table("colour.md", name) for name in ("equal_budget", "latent_diffusion"))
    assert len(rows) == len(latent) == 4
    assert all(ranked(rows, name)[0]["Method"] == "BRIGHT" for name in QUALITY)
    assert min(latent, key=lambda row: mean(row, "rFD (EfficientNet-Lite0) ↓"))["Method"] == "BRIGHT"
    assert max(latent, key=lambda row: mean(row, DISTANCE))["Method"] == "BRIGHT"
