"""What docs/comparison.md, other-systems.md, transfer.md and colour.md say holds in their tables.

What the configs train with is what the studies found: their records are in docs/comparison.md and docs/csv.
"""

import re

import pytest
from bright_pipeline.config.root import read_config
from page_numbers import (
    BITS,
    DISTANCE,
    LPIPS,
    PSNR,
    QUALITY,
    ROOT,
    SEARCHED,
    STUDIES,
    best,
    chosen,
    differs,
    mean,
    page_table,
    ranked,
    significant,
    trials_of,
    tried,
)

COMPARED = page_table("comparison.md", "latent_diffusion")


def test_brights_samples_are_second_and_at_better_reconstruction_kls_are_as_close() -> None:
    ours, vqgan, rqvae, kl, kl_half, published, penalty, *_ = COMPARED
    words = "BRIGHT (key penalty 30, decoder stage)", "KL autoencoder (weight 0.3, decoder stage)"
    assert (ours["Method"], kl["Method"]) == words
    kernel = DISTANCE.replace("FD", "KD")
    assert (differs(ours, kl, DISTANCE, 0), differs(ours, kl, kernel, 3)) == ((35, 7), (0.063, 0.025))
    assert min(COMPARED, key=lambda row: mean(row, DISTANCE)) is kl
    assert [mean(row, DISTANCE) - mean(ours, DISTANCE) > 0 for row in (vqgan, rqvae, kl_half)] == [True, False, False]
    assert [round(mean(row, PSNR), 1) for row in (ours, kl)] == [23.8, 23.8]
    assert differs(ours, kl, LPIPS, 4) == pytest.approx((0.0025, 0.0021), abs=0.0001)
    assert (mean(kl, BITS), mean(ours, BITS), mean(published, BITS)) == (591, 800, 1530)
    assert [round(mean(row, DISTANCE)) for row in (kl_half, ours)] == [379, 382]
    assert differs(kl_half, ours, PSNR, 1) == (0.6, 0.3)
    assert [differs(ours, row, PSNR, 1) for row in (vqgan, rqvae)] == [(1.7, 0.5), (1.6, 0.9)]
    assert [round(mean(row, DISTANCE)) for row in (published, penalty)] == [506, 455]
    assert differs(ours, penalty, PSNR, 1) == pytest.approx((0.5, 0.4), abs=0.05)
    assert max(COMPARED, key=lambda row: mean(row, DISTANCE)) is published


def test_the_generated_differences_name_the_rows_that_differ_significantly() -> None:
    block = (ROOT / "docs/comparison.md").read_text("utf-8").partition("<!-- table latent_diffusion -->")[2]
    cells = re.findall(r"^\| (.+?) 8x8\S* +\| (\S+) \[", block, re.M)
    first, *others = COMPARED
    assert [method for method, _ in cells] == [row["Method"] for row in others]
    assert [method for method, number in cells if "**" not in number] == [
        "VQGAN (decoder stage)",
        "RQ-VAE (decoder stage)",
        "KL autoencoder (weight 0.3, decoder stage with half the noise)",
    ]
    for (_, number), row in zip(cells, others, strict=True):
        above = mean(row, DISTANCE) - mean(first, DISTANCE)
        assert float(number.strip("*").replace("−", "-")) == pytest.approx(above, abs=0.11)


def test_tolerant_codes_with_empty_directions_go_with_lower_distances() -> None:
    bright, penalty, _, _, kl, weight = page_table("comparison.md", "section34")
    tolerance = "Noise for −1 dB, in deviations ↑"
    shown = [round(mean(row, tolerance), 2) for row in (penalty, bright, weight, kl)]
    assert shown == [0.39, 0.21, 0.37, 0.19]
    assert [mean(row, "Principal directions above 0.05") for row in (weight, penalty)] == [159, 247]
    distances = {row["Method"]: mean(row, DISTANCE) for row in COMPARED}
    before, after = ([distances[row["Method"]] for row in rows] for rows in ((bright, kl), (penalty, weight)))
    assert [round(a - b) for a, b in zip(before, after, strict=True)] == [51, 22]
    assert before[1] < before[0] and after[1] < after[0]


def test_with_one_loss_bright_and_kl_differ_in_lpips_vgg_alone_and_brights_decoder_is_smaller() -> None:
    bright, vqgan, rqvae, kl, _, _, smaller, *_ = page_table("comparison.md", "equal_budget")
    assert significant(bright, kl) == ["LPIPS-VGG ↓"]
    assert differs(bright, kl, "LPIPS-VGG ↓", 3) == pytest.approx((0.013, 0.007), abs=0.001)
    counts = ("Decoding GFLOPs (paper rule)", "Decoding GFLOPs (true count)")
    assert [mean(bright, name) / mean(kl, name) for name in counts] == pytest.approx([0.535, 0.561], abs=0.001)
    speed = "Decoded images/s ↑"
    assert mean(bright, speed) / mean(kl, speed) == pytest.approx(1, abs=0.02)
    assert "24 channels" in smaller["Method"] and not significant(bright, smaller)
    assert mean(smaller, counts[1]) / mean(bright, counts[1]) == pytest.approx(1, abs=0.01)
    assert [mean(row, BITS) for row in (bright, kl, rqvae, vqgan)] == [1530, 1831, 2304, 576]


def test_one_channel_in_a_group_improves_lpips_and_costs_ssim_and_lpips_vgg() -> None:
    _, *four, _, _, _, _, _, _, _, vqgan, rqvae, kl = page_table("comparison.md", "equal_budget")
    changes = {"LPIPS ↓": (4, 0.0014, 0.0009), "SSIM ↑": (3, 0.035, 0.009), "LPIPS-VGG ↓": (3, 0.012, 0.005)}
    for name, (digits, number, half) in changes.items():
        assert differs(four[2], kl, name, digits) == pytest.approx((number, half), abs=1.1 * 10**-digits)
        for before, after in zip(four[:3], (vqgan, rqvae, kl), strict=True):
            assert "32 groups" in after["Method"]
            assert (QUALITY[name] * (mean(after, name) - mean(before, name)) > 0) == (name == LPIPS)


def test_in_the_demo_brights_reconstruction_leads_and_its_samples_are_the_last_of_staged_decoders() -> None:
    ours, published, *others = page_table("other-systems.md", "equal_budget")
    kl, *weights = others[2:]
    assert all(ranked([ours, *others], name)[0] is ours for name in QUALITY)
    assert all(ranked(others, name)[0] is kl for name in QUALITY) and mean(published, BITS) == 1530
    assert [mean(row, BITS) for row in (*weights, ours)] == [970, 565, 805]
    words = "weight 0.01", "weight 0.03"
    assert [row["Method"] for row in (kl, *weights)] == ["KL autoencoder", *(f"KL autoencoder ({w})" for w in words)]
    staged, before, vqgan, rqvae, *of_kl = latent = page_table("other-systems.md", "latent_diffusion")
    assert ["decoder stage" in row["Method"] for row in latent] == [row is not before for row in latent]
    assert [round(mean(row, DISTANCE)) for row in (before, staged)] == [405, 336]
    lower = [round(mean(staged, DISTANCE) - mean(row, DISTANCE)) for row in (vqgan, rqvae, *of_kl)]
    assert (min(lower), max(lower)) == (42, 51) and abs(lower[2] - lower[3]) <= 3
    better = [round(mean(staged, PSNR) - mean(row, PSNR), 1) for row in (*of_kl, vqgan, rqvae)]
    assert min(better[:2]) == 0.9 and better[2:] == [2.4, 2.4]
    differences = (
        (ROOT / "docs/other-systems.md").read_text("utf-8").partition("| Difference from")[2].partition("<")[0]
    )
    assert differences.count("**") == 2 * 2 * 5, "each is significant"
    systems = {
        row["Method"]: mean(row, "FD (EfficientNet-Lite0) ↓") for row in page_table("other-systems.md", "table5")
    }
    assert systems["BRIGHT (LDM, key penalty 30, decoder stage)"] == mean(staged, DISTANCE)
    assert all(systems[name] > mean(staged, DISTANCE) for name in ("DDPM", "StyleGAN2", "ImageBART"))


def test_the_demos_other_families_weigh_the_perceptual_loss_a_fifth_of_the_comparisons() -> None:
    every, comparison = (read_config(ROOT / "config" / f"{name}.yaml") for name in ("demo-all", "comparison"))
    assert (
        comparison.autoencoders["kl"].losses.perceptual_weight == 5 * every.autoencoders["kl"].losses.perceptual_weight
    )


def test_on_photographs_bright_leads_in_psnr_and_its_samples_are_no_better() -> None:
    (bright, vqgan, rqvae, kl, penalty, weight), latent = (
        page_table("transfer.md", name) for name in ("equal_budget", "latent_diffusion")
    )
    others = [vqgan, rqvae, kl]
    assert all(ranked([bright, *others], name)[0] is bright for name in QUALITY)
    assert [differs(bright, row, PSNR, 1) for row in (kl, rqvae, vqgan)] == [(4.0, 2.5), (4.0, 2.5), (5.5, 2.7)]
    assert [significant(bright, row) for row in others] == [list(QUALITY), [PSNR], [PSNR]]
    assert [differs(*rows, PSNR, 1) for rows in ((penalty, bright), (weight, kl))] == [(1.3, 3.2), (0.6, 2.4)]
    for row, before in ((penalty, bright), (weight, kl)):
        assert mean(row, BITS) / mean(before, BITS) == pytest.approx(0.51, abs=0.005)
    assert mean(penalty, PSNR) < mean(bright, PSNR) and mean(weight, PSNR) > mean(kl, PSNR)
    staged, *_, published = latent
    reconstructed = "rFD (EfficientNet-Lite0) ↓"
    assert [round(mean(row, DISTANCE)) for row in latent] == [896, 823, 739, 744, 777]
    assert [differs(published, row, DISTANCE, 0) for row in latent[:4]] == [(119, 142), (46, 49), (38, 54), (32, 52)]
    assert differs(staged, published, reconstructed, 0) == (180, 231)
    differences = (ROOT / "docs/transfer.md").read_text("utf-8").partition("| Difference from")[2].partition("<")[0]
    assert differences.count("would be significant") == 8 and "**" not in differences


def test_on_photographs_the_codes_fill_and_tolerate_what_the_page_says() -> None:
    bright, penalty, *others = page_table("transfer.md", "section34")
    directions, tolerance = "Principal directions above 0.05", "Noise for −1 dB, in deviations ↑"
    assert [mean(row, directions) for row in (bright, penalty)] == [249, 256]
    assert {mean(row, directions) for row in others} >= {81, 133}
    assert all(81 <= mean(row, directions) <= 133 and 0.58 <= mean(row, tolerance) <= 0.9 for row in others)
    assert [round(mean(row, tolerance), 2) for row in (bright, penalty)] == [0.31, 0.55]
    rates = best("transfer", "rates")
    falls = {family: chosen(family, 9600)["learning_rate"] / rates[family]["learning_rate"] for family in rates}
    assert falls == {"bright": 4, "vqgan": 8, "rqvae": 2, "kl": 2}
    grid = STUDIES["transfer", "rates"].grid.learning_rate
    assert all(min(grid) < rate["learning_rate"] < max(grid) for rate in rates.values())


def test_in_colour_bright_leads_in_reconstruction_and_its_samples_are_the_last() -> None:
    (bright, vqgan, rqvae, kl, penalty, _), latent = (
        page_table("colour.md", name) for name in ("equal_budget", "latent_diffusion")
    )
    assert all(ranked([bright, vqgan, rqvae, kl], name)[0] is bright for name in QUALITY)
    assert ranked([vqgan, rqvae, kl], "PSNR (dB) ↑")[0] is kl
    leads = {
        "PSNR (dB) ↑": (1.8, 1.4),
        "SSIM ↑": (0.087, 0.041),
        "LPIPS-VGG ↓": (0.085, 0.052),
        "LPIPS ↓": (0.023, 0.025),
    }
    for name, lead in leads.items():
        assert differs(bright, kl, name, 1 if "PSNR" in name else 3) == lead
    assert differs(bright, penalty, "PSNR (dB) ↑", 1) == pytest.approx((0.9, 1.6), abs=0.11)  # of rounded numbers
    assert mean(penalty, "Bits per image ↓") / mean(bright, "Bits per image ↓") == pytest.approx(0.53, abs=0.01)
    first, *others, published = latent
    assert [row["Method"].partition(" (")[0] for row in latent] == [
        "BRIGHT",
        "VQGAN",
        "RQ-VAE",
        "KL autoencoder",
        "BRIGHT",
    ]
    assert all(mean(row, DISTANCE) < mean(first, DISTANCE) < mean(published, DISTANCE) for row in others)
    distances = [differs(first, row, DISTANCE, 0) for row in (*others, published)]
    assert distances == [(101, 146), (112, 75), (86, 77), (48, 43)]


def test_in_colour_the_others_learn_best_at_lower_rates() -> None:
    rates = {
        family: best("demo-colour", "rates")[family]["learning_rate"] for family in ("bright", "vqgan", "rqvae", "kl")
    }
    clothes = {family: chosen(family, 9600)["learning_rate"] for family in rates}
    assert {family: clothes[family] / rates[family] for family in rates} == {
        "bright": 1,
        "vqgan": 2,
        "rqvae": 4,
        "kl": 8,
    }
    loss = {
        (row["autoencoder"], *tried(row, STUDIES["demo-colour", "rates"]).values()): float(row["loss"])
        for row in trials_of("demo-colour", "rates")
    }
    for family in ("rqvae", "kl"):
        at_best, before = best("demo-colour", "rates")[family], chosen(family, 9600)
        lower, higher = (
            loss[family, *(rates[key] for key in SEARCHED if key in at_best)] for rates in (at_best, before)
        )
        assert lower / higher == pytest.approx(0.71, abs=0.02)


@pytest.mark.parametrize(("run", "name"), STUDIES)
def test_the_record_has_every_trial_of_the_grid_for_each_family_and_the_best_has_its_lowest_loss(
    run: str, name: str
) -> None:
    study = STUDIES[run, name]
    for autoencoder in study.autoencoders:
        rows = [row for row in trials_of(run, name) if row["autoencoder"] == autoencoder]
        trials, grid = [tried(row, study) for row in rows], list(study.grid.combinations())
        assert len(trials) == len(grid) and all(trial in trials for trial in grid)
        found = [float(row["loss"]) for row in rows if row["best"] in ("best", "True")]
        assert found == [min(float(row["loss"]) for row in rows)]


@pytest.mark.parametrize("name", ["comparison", "demo", "demo-all", "demo-colour", "transfer"])
def test_every_family_is_trained_with_the_settings_that_were_best_for_it(name: str) -> None:
    """A decoder stage has a quarter of the rate of the training that it continues."""
    autoencoders = read_config(ROOT / "config" / f"{name}.yaml").autoencoders
    for entry, model in autoencoders.items():
        first = model if model.decoder_stage is None else autoencoders[model.initial_weights.entry]
        expected = chosen(model.family, first.training.images) | best("comparison", "groups").get(entry, {})
        if (name, "rates") in STUDIES and name != "comparison":
            expected |= best(name, "rates")[model.family]
        expected["learning_rate"] /= 1 if first is model else 4
        assert {key: getattr(model.training, key) for key in SEARCHED} == expected, entry
