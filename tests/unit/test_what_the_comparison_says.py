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


BRIGHT, *REST = (row for row in page_table("comparison.md", "equal_budget") if "without adversarial" in row["Method"])
OTHERS, OTHERWISE = REST[:3], REST[3:]
"""The other families with the one loss, with four channels in a group of normalization and with one."""


@pytest.mark.parametrize("name", QUALITY)
def test_the_other_normalization_betters_lpips_and_psnr_and_costs_the_rest(name: str) -> None:
    assert all("norm_groups 32" in row["Changed"] for row in OTHERWISE)
    for row, otherwise in zip(OTHERS, OTHERWISE, strict=True):
        gained = QUALITY[name] * (mean(otherwise, name) - mean(row, name))
        assert (gained > 0) == (name in AT_LEVEL)


@pytest.mark.parametrize("name", sorted(AT_LEVEL))
@pytest.mark.parametrize("others", [OTHERS, OTHERWISE], ids=["four channels a group", "one"])
def test_bright_meets_the_best_in_lpips_and_psnr(others: list[dict[str, str]], name: str) -> None:
    assert meet(BRIGHT, ranked([BRIGHT, *others], name)[0], name)


@pytest.mark.parametrize("name", sorted(QUALITY.keys() - AT_LEVEL))
def test_the_kl_autoencoder_and_rqvae_lead_in_the_rest(name: str) -> None:
    first, second, *_ = (row["Method"] for row in ranked([BRIGHT, *OTHERS], name))
    assert first.startswith("KL autoencoder") and second.startswith("RQ-VAE")


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


@pytest.mark.parametrize("name", QUALITY)
def test_in_the_demo_bright_leads_in_lpips_and_psnr_and_the_kl_autoencoder_in_the_rest(name: str) -> None:
    rows = page_table("other-systems.md", "equal_budget")
    assert len(rows) == 4 and ranked(rows, name)[0]["Method"] == ("BRIGHT" if name in AT_LEVEL else "KL autoencoder")


def test_in_the_demo_brights_samples_are_the_last_of_latent_diffusion_and_ahead_of_the_other_systems() -> None:
    name = "FD (EfficientNet-Lite0) ↓"
    distances = {row["Method"]: mean(row, name) for row in page_table("other-systems.md", "table5")}
    latent = {method: distance for method, distance in distances.items() if "LDM" in method}
    assert len(latent) == 4 and max(latent.values()) == latent["BRIGHT (LDM)"]
    assert all(distances[system] > latent["BRIGHT (LDM)"] for system in ("DDPM", "StyleGAN2", "ImageBART"))


def test_on_photographs_bright_leads_by_6_db_and_half_of_the_lpips() -> None:
    rows = page_table("transfer.md", "equal_budget")
    assert len(rows) == 4
    first, second = ranked(rows, "PSNR (dB) ↑")[:2]
    assert first["Method"] == "BRIGHT" and mean(first, "PSNR (dB) ↑") > mean(second, "PSNR (dB) ↑") + 6
    assert all(ranked(rows, name)[0] is first for name in QUALITY)
    assert mean(first, "LPIPS ↓") < mean(ranked(rows, "LPIPS ↓")[1], "LPIPS ↓") / 2


def test_on_photographs_the_other_normalization_costs_the_kl_autoencoder_all_four() -> None:
    row, otherwise = page_table("transfer.md", "ablations")
    assert "network.norm_groups 32" in otherwise["Changed"]
    assert all(ranked([row, otherwise], name)[0] is row for name in QUALITY)


def test_in_colour_bright_leads_in_reconstruction_and_its_samples_are_the_last() -> None:
    rows, latent = (page_table("colour.md", name) for name in ("equal_budget", "latent_diffusion"))
    assert len(rows) == len(latent) == 4
    assert all(ranked(rows, name)[0]["Method"] == "BRIGHT" for name in QUALITY)
    assert min(latent, key=lambda row: mean(row, "rFD (EfficientNet-Lite0) ↓"))["Method"] == "BRIGHT"
    assert max(latent, key=lambda row: mean(row, DISTANCE))["Method"] == "BRIGHT"
