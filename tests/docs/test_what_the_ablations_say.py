"""What docs/ablations.md and bottlenecks.md say holds in their tables and records."""

import math
import re
from csv import DictReader
from statistics import fmean, stdev

import pytest
import yaml
from bright_pipeline.tables.differences import welch
from page_numbers import (
    BITS,
    DISTANCE,
    PSNR,
    QUALITY,
    ROOT,
    STUDIES,
    best,
    differs,
    mean,
    of_seeds,
    overlaid,
    page_table,
)

ABLATIONS = {row["Changed"]: row for row in page_table("ablations.md", "ablations")}
WHOLE = ABLATIONS["(the first row)"]
TEXT = (ROOT / "docs" / "ablations.md").read_text("utf-8")
PROSE = " ".join(re.sub("<!-- (table|figure) .*?<!-- end -->", "", TEXT, flags=re.DOTALL).split())
"""What is written by hand, on one line."""


def beyond(row: dict[str, str], name: str) -> int:
    """Where an ablation's number lies: 1 above the first row's, beyond Welch's interval, -1 below, 0 within."""
    found = welch(of_seeds(row, name), of_seeds(WHOLE, name))
    return 0 if abs(found.number) < found.half() else int(math.copysign(1, found.number))


LOWER = {
    "key penalty 30": (58, 26),
    "noise of a whole cell": (51, 27),
    "finest resolution 8": (39, 27),
    "finest resolution 16": (32, 28),
}
"""The difference in FD of what lowers it beyond the interval, and half of that interval."""


def test_four_changes_lower_the_distance_beyond_their_intervals_and_leave_reconstruction() -> None:
    for label, shown in (LOWER | {"noise before tiling": (4, 27), "smoothness penalty": (11, 31)}).items():
        row = ABLATIONS[label]
        assert differs(row, WHOLE, DISTANCE, 0) == shown and mean(row, DISTANCE) < mean(WHOLE, DISTANCE), label
        assert "{} ± {}".format(*shown) in PROSE, label
        assert (mean(row, BITS) < mean(WHOLE, BITS)) == (label != "smoothness penalty")
    changes = {label: beyond(row, DISTANCE) for label, row in ABLATIONS.items()}
    assert {label: change for label, change in changes.items() if change} == dict.fromkeys(LOWER, -1)
    assert not any(beyond(ABLATIONS[label], name) for label in LOWER for name in QUALITY)


def test_one_resolution_and_an_mlp_cost_reconstruction_and_only_the_first_after_the_correction() -> None:
    mlp, one, plain = (ABLATIONS[label] for label in ("without tables", "one resolution", "queries without (x, y)"))
    worse = {name: -larger for name, larger in QUALITY.items()}
    assert [row for row in ABLATIONS.values() if {name: beyond(row, name) for name in QUALITY} == worse] == [mlp, one]
    for row, said in ((mlp, "with the MLP"), (one, "with one resolution")):
        assert "{} ± {} dB {}".format(*differs(row, WHOLE, PSNR, 1), said) in PROSE
    assert "raise PSNR by {} ± {} dB".format(*differs(plain, WHOLE, PSNR, 1)) in PROSE
    assert {name: beyond(plain, name) for name in (*QUALITY, DISTANCE) if beyond(plain, name)} == {PSNR: 1}
    ends, of_bright = re.findall(r"(\d\d\.\d), (\d\d\.\d), (\d\d\.\d), (\d\d\.\d) and (\d\d\.\d) dB", PROSE)
    for shown, row in ((ends, mlp), (of_bright, WHOLE)):
        seeds = list(map(float, shown))
        assert (fmean(seeds), stdev(seeds)) == pytest.approx(tuple(map(float, row[PSNR].split(" ± "))), abs=0.05)
    assert max(ends) < min(of_bright)


def test_the_corrected_sentences_of_the_ablations_are_those_of_the_text() -> None:
    block = TEXT.partition("<!-- end -->")[0]
    assert "for 91 comparisons" in block and round(0.05 * 91) == 5
    assert re.findall(r"^- (.*: worse in [A-Z]+)", block, re.M) == [
        f"one resolution: worse in {name}" for name in ("SSIM", "PSNR")
    ]
    assert block.count(": no significant difference from the first row.") == len(ABLATIONS) - 2


def test_no_metric_changes_where_the_page_shows_no_effect() -> None:
    labels = ("small tables", "without modulation", "attention at 8 x 8", "without noise")
    names = [name for name in WHOLE if " ± " in WHOLE[name] and name != BITS]
    assert {*QUALITY, DISTANCE} < set(names)
    assert not [(label, name) for label in labels for name in names if beyond(ABLATIONS[label], name)]


def test_bits_and_decoding_times_of_the_code_sizes_are_as_the_page_says() -> None:
    sizes = {(row["Method"], row["Code size"].split("x")[0]): row for row in page_table("ablations.md", "equal_budget")}
    families = ("VQGAN", "RQ-VAE", "KL autoencoder")
    for bits, codes in ((576, ("8", "4")), (2304, ("16", "8"))):
        rows = [sizes[at] for at in zip(families[:2], codes, strict=True)]
        assert [mean(row, BITS) for row in rows] == [bits, bits] and mean(rows[0], PSNR) > mean(rows[1], PSNR)
        assert re.search(rf"with {bits:,} bits.* {{}} ± {{}} dB".format(*differs(*rows, PSNR, 1)), PROSE)
    pairs = {code: (sizes["BRIGHT", code], sizes["KL autoencoder", code]) for code in ("4", "8", "16")}
    assert [code for code, pair in pairs.items() if welch(*(of_seeds(row, PSNR) for row in pair)).p < 0.05] == ["4"]
    small, small_kl = pairs["4"]
    more = round(100 * (mean(small, BITS) / mean(small_kl, BITS) - 1))
    assert "has {} ± {} dB more, and {} % more bits".format(*differs(small, small_kl, PSNR, 1), more) in PROSE
    assert mean(small, PSNR) > mean(small_kl, PSNR)
    spread = float(sizes["RQ-VAE", "16"][PSNR].split(" ± ")[1])
    assert f"seeds vary widely at 16x16 (± {spread:.1f} dB)" in PROSE
    (searched,) = (row for row in page_table("comparison.md", "equal_budget") if "weight 0.3" in row["Method"])
    assert f"has {mean(searched, PSNR):.1f} dB with {mean(searched, BITS):.0f} bits" in PROSE
    speeds = {at: [float(n) for n in re.findall(r"[\d.]+", row["Decoded images/s ↑"])] for at, row in sizes.items()}
    for code in ("8", "16"):
        assert all(speeds["BRIGHT", code][1] > speeds[family, code][2] for family in families)
    assert all(speeds["BRIGHT", "4"][2] < speeds[family, "4"][1] for family in families)
    slower = [speeds[family, "8"][0] / speeds[family, "16"][0] for family in families]
    assert f"take {min(slower):.1f} to {max(slower):.1f} times as long for 16x16" in PROSE
    assert speeds["BRIGHT", "8"][1] < speeds["BRIGHT", "16"][2], "the slowest and the fastest round"


def test_two_ablations_have_the_best_rate_of_their_own_search_which_is_brights() -> None:
    models, found = overlaid("ablations").autoencoders, best("ablations", "parts")
    grid = STUDIES["ablations", "parts"].grid.learning_rate
    assert list(found) == ["without-tables", "one-resolution"]
    for entry in found:
        rate = models[entry].training.learning_rate
        assert found[entry] == {"learning_rate": rate} and rate == models["bright"].training.learning_rate
        assert min(grid) < rate < max(grid)


def record_of(run: str) -> dict[str, dict[str, float]]:
    """The numbers of a search or run that a page's csv file records, by entry."""
    lines = (ROOT / "docs" / "csv" / f"{run}.csv").read_text(encoding="utf-8").splitlines()
    return {row.pop("entry"): {key: float(value) for key, value in row.items()} for row in DictReader(lines)}


def test_the_record_of_bottlenecks_has_every_setting_of_its_config() -> None:
    config = overlaid("bottlenecks")
    rows = config.tables_or_default.latent_diffusion
    assert list(record_of("bottlenecks")) == rows.autoencoders == rows.samples
    assert list(record_of("bottlenecks-diffusion")) == config.tables_or_default.table6.rows
    assert [config.autoencoder_of(config.samples[name]) for name in rows.samples] == rows.autoencoders
    assert {config.datasets[model.dataset].split.tuning for model in config.autoencoders.values()} == {1000}


def test_what_the_page_says_of_bottlenecks_holds_in_the_record() -> None:
    record = record_of("bottlenecks")
    text = (ROOT / "docs" / "bottlenecks.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^\| (?:BRIGHT|VQGAN|RQ-VAE|KL a).*?\| (\d+\.\d) \| (\d+\.\d) \| (\S+) \| (\S+) \| (\d+) \|$", text, re.M
    )
    columns = ("fd", "rfd", "psnr", "lpips", "bits_per_image")
    numbers = [tuple(row[column] for column in columns) for row in record.values()]
    assert len(shown) == 14 and all(tuple(map(float, row)) in numbers for row in shown)
    before = {name: record[name.rpartition("-stage-")[0]] for name in record if "-stage-" in name}
    gains = {name: base["fd"] - record[name]["fd"] for name, base in before.items()}
    losses = {name: base["psnr"] - record[name]["psnr"] for name, base in before.items()}
    searched = [name for name in before if not name.startswith("penalty")]
    strong = [round(gains[name]) for name in searched if name.endswith("4")]
    assert (min(strong), max(strong)) == (17, 105)
    assert min((name for name in searched if name[-1] in "24"), key=gains.__getitem__) == "kl-weight-1-stage-2"
    assert round(max(losses[name] for name in searched if name.endswith("4")), 1) == 1.5
    assert round(max(losses[name] for name in searched if name.endswith("2")), 1) == 0.3
    assert all(record[name]["fd"] > record[f"{name[:-1]}4"]["fd"] for name in searched if name.endswith("6"))
    longer = {name: record[name.replace("long", "4")] for name in searched if name.endswith("long")}
    assert [round(row["fd"] - record[name]["fd"]) for name, row in longer.items()] == [21, 11]
    assert all(record[name]["psnr"] > row["psnr"] for name, row in longer.items())
    assert all(record[name]["lpips"] < row["lpips"] for name, row in longer.items())
    lowest = {
        family: min(row["fd"] for name, row in record.items() if name.startswith(family))
        for family in ("key", "vqgan", "rqvae", "kl")
    }
    assert {family: round(fd) for family, fd in lowest.items()} == {"kl": 354, "rqvae": 398, "vqgan": 408, "key": 380}
    assert min(row["fd"] for name, row in record.items() if name.startswith("width")) == 512.9
    for name in ("coarse-features", "bright"):
        assert f"{record[name]['fd'] / record[name]['rfd']:.2f}" in text


def test_the_diffusion_models_of_the_page_are_those_of_the_record_and_one_choice_is_good_for_all() -> None:
    record = record_of("bottlenecks") | record_of("bottlenecks-diffusion")
    text = (ROOT / "docs" / "bottlenecks.md").read_text("utf-8")
    bases, settings = ("key-penalty-30", "kl-weight-03", "vqgan", "rqvae"), ("rate-4", "rate-8", "first-batch", "noise")
    for setting in ("rate-1", None, *settings):
        found = [record[base if setting is None else f"{base}-{setting}"]["fd"] for base in bases]
        assert f"| {' | '.join(map(str, found))} |" in text, setting
    for base in bases:
        distances = [record[base]["fd"], *(record[f"{base}-{setting}"]["fd"] for setting in settings)]
        assert record[f"{base}-rate-4"]["fd"] < min(distances) + 5
    changes = {base: record[f"{base}-stage-4"]["fd"] - record[f"{base}-stage-4-rate-4"]["fd"] for base in bases}
    assert round(changes.pop("key-penalty-30")) == 17 and max(map(abs, changes.values())) < 5


def test_longer_trainings_leave_the_gap_that_the_page_states() -> None:
    record = record_of("lengths")
    config = yaml.safe_load((ROOT / "config" / "lengths.yaml").read_text(encoding="utf-8"))
    assert list(record) == config["figures"]["sample_quality"]
    entries, steps = (
        ("bright", "bright-stage", "kl-stage"),
        ("-350-steps", "", *(f"-{n}-steps" for n in (1400, 2800, 5600))),
    )
    bright, stage, kl = ([record[f"{entry}{length}"]["fd"] for length in steps] for entry in entries)
    for found in (bright, stage, kl):
        assert f"| {' | '.join(map(str, found))} |" in TEXT and found == sorted(found, reverse=True)
    gaps = [ours - theirs for ours, theirs in zip(stage, kl, strict=True)]
    assert (round(min(gaps)), round(max(gaps))) == (34, 45)
    assert kl[1] > stage[3] > stage[4] > kl[2]
    assert [round(bright[at] - stage[at]) for at in (0, 4)] == [157, 72]
    images = [[record[f"{entry}{length}"] for length in ("-2400", "", "-36000")] for entry in entries]
    for rows in images:
        cells = [f"{row['fd']}, {row['psnr']:.2f} dB" for row in rows]
        assert f"| {' | '.join(cells)} |" in TEXT
    pairs = list(zip(*images[1:], strict=True))
    assert [round(ours["fd"] - theirs["fd"]) for ours, theirs in pairs] == [119, 38, 45]
    assert [round(ours["psnr"] - theirs["psnr"], 1) for ours, theirs in pairs] == [-1.0, -0.8, 0.6]
