"""A study: the same trials for each autoencoder, on images of their own, and the best by the loss they share."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import load_config
from bright_pipeline.engine.jobs import closure
from bright_pipeline.figures.common import parse_inputs
from bright_pipeline.figures.curves import studies as draw
from bright_pipeline.stages.autoencoders import TRAIN_AUTOENCODER
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import PREPARE_DATASET, dataset
from bright_pipeline.stages.figures import FigureJob
from bright_pipeline.stages.tables import StudyJob, study
from bright_pipeline.tables.render import to_csv, to_latex, to_markdown
from bright_pipeline.tables.studies import build_study
from finished_plan import tiny_values

GRID = {"learning_rate": [1e-3, 1e-2], "betas": [[0.5, 0.9], [0.0, 0.99]]}


@pytest.fixture
def values():
    values = tiny_values()
    values["autoencoders"] |= {
        "plain": {"like": "without-noise"},
        "heavier": {"like": "plain", "losses": {"l2_weight": 30}},
        "small": {"like": "without-noise", "code_size": "4x4x1"},
    }
    rates = {"autoencoders": ["plain", "small"], "grid": GRID, "images": 16, "tuning": 20, "seeds": [0, 5]}
    values["studies"] = {"rates": rates}
    return values


def test_each_autoencoder_has_the_same_trials_on_images_without_validation_images_and_nothing_else_differs(values):
    config = load_config(values)
    jobs = Jobs(config)
    needed = closure([jobs(study, "rates")])
    trained = [job for job in needed if job.stage is TRAIN_AUTOENCODER]
    assert len(trained) == 2 * 4 * 2  # autoencoders, combinations, seeds
    expected = config.autoencoders["plain"].training.model_dump(mode="json") | {"images": 16}
    seen = {}
    for job in trained:
        settings = job.settings["autoencoder"]
        training = settings["training"]
        trial = (training.pop("learning_rate"), tuple(training.pop("betas")), job.settings["seed"])
        seen.setdefault(str(settings["code_size"]), []).append(trial)
        assert training == {key: value for key, value in expected.items() if key in training}
    plain, small = map(sorted, seen.values())
    assert plain == small
    assert {trial[:2] for trial in plain} == set(product((1e-3, 1e-2), ((0.5, 0.9), (0.0, 0.99))))
    assert len({seed for *_, seed in plain}) == 2
    (data,) = [job for job in needed if job.stage is PREPARE_DATASET]
    assert data.settings["split"]["tuning"] == 20
    assert data.digest != jobs(dataset, "tiny").digest


def test_families_with_one_loss_of_l2_and_lpips_are_compared_whatever_else_they_have(values):
    network = {"multipliers": [1, 1, 1, 1], "attention_resolutions": []}
    kl = {"family": "kl", "dataset": "tiny", "code_size": "4x4x2", "network": network, "training": {"batch": 8}}
    equal = {"l2_weight": 20, "l1_weight": 0, "perceptual_weight": 5, "adversarial": {"kind": "none"}}
    values["autoencoders"]["kl"] = kl | {"losses": equal | {"perceptual": {"network": "lpips_alex"}}}
    values["studies"]["rates"]["autoencoders"] = ["plain", "kl"]
    assert load_config(values).studies["rates"].autoencoders == ["plain", "kl"]


LOSSES = {"l2_weight": 20.0, "perceptual_weight": 5.0, "perceptual": "lpips_alex"}


@pytest.fixture
def measured(tmp_path):
    """Metrics of three images of two trials of two autoencoders, with two seeds."""
    random, named = np.random.default_rng(0), {}
    for entry, number, seed in product(("plain", "small"), (0, 1), (0, 5)):
        path = named[f"{entry}.{number}#{seed}"] = tmp_path / f"{entry}{number}{seed}.csv"
        frame = pd.DataFrame(random.uniform(0.1, 0.4, (3, 3)), columns=["lpips_alex", "lpips_vgg", "ssim"])
        frame["psnr"] = random.uniform(15, 25, 3)
        frame.to_csv(path, index=False)
    return named


@pytest.fixture
def job():
    trials = [
        {"entry": entry, "number": number, "changes": {"learning_rate": rate, "betas": [0.5, 0.9]}}
        for entry in ("plain", "small")
        for number, rate in enumerate((1e-3, 1e-2))
    ]
    return StudyJob(name="rates", table="study_rates", trials=trials, images=16, tuning=3, **LOSSES)


def test_the_loss_is_that_of_equation_5_over_the_tuning_images_and_the_lowest_comes_first(job, measured):
    found = build_study(job, list(measured.items())).frame
    expected = {}
    for name, path in measured.items():
        errors = [20 * (10 ** (-row.psnr / 20) * 2) ** 2 + 5 * row.lpips_alex for row in pd.read_csv(path).itertuples()]
        expected.setdefault(name.partition("#")[0], []).append(sum(errors) / len(errors))
    for row in found.itertuples():
        both = expected[f"{row.autoencoder}.{row.trial}"]
        assert row.loss == pytest.approx(sum(both) / 2, rel=1e-12)
        assert row.loss_std == pytest.approx(abs(both[0] - both[1]) / 2**0.5, rel=1e-9)
        best = min(sum(expected[f"{row.autoencoder}.{number}"]) for number in (0, 1))
        assert row.best == (sum(both) == best)
    assert list(found["autoencoder"]) == ["plain", "plain", "small", "small"]
    assert list(found["best"]) == [True, False, True, False]


def test_the_record_says_what_was_searched_and_on_what(job, measured):
    table = build_study(job, list(measured.items()))
    text = to_markdown(table)
    for told in ("| plain", "| best", "0.001", "2 trials of 16 training images with 2 training seeds", "3 images that"):
        assert told in text
    assert "Loss: 20 L2 + 5 lpips_alex" in text
    assert r"\begin{tabular}{llllr" in to_latex(table), "four columns of words: autoencoder, two keys, its choice"
    assert len(to_csv(table).splitlines()) == 5


def test_a_metric_without_its_network_is_missing_and_the_loss_needs_its_own(job, measured):
    for path in measured.values():
        pd.read_csv(path).drop(columns="lpips_vgg").to_csv(path, index=False)
    text = to_markdown(build_study(job, list(measured.items())))
    assert "LPIPS-VGG ↓" not in text and "missing: LPIPS-VGG: network lpips_vgg is missing" in text
    with pytest.raises(InputError, match="the columns psnr, ssim, lpips_vgg is needed"):
        build_study(job.model_copy(update={"perceptual": "lpips_vgg"}), list(measured.items()))


def test_a_trial_without_metrics_and_a_file_of_something_else_are_named(job, measured, tmp_path):
    lacking = {name: path for name, path in measured.items() if not name.startswith("small.1")}
    with pytest.raises(InputError, match=r"study rates: no metrics of small\.1"):
        build_study(job, list(lacking.items()))
    (tmp_path / "plain00.csv").write_text("image\n1\n")
    with pytest.raises(InputError, match=r"plain00\.csv: a csv with the columns psnr"):
        build_study(job, list(measured.items()))


def drawn(folder, columns, **studies):
    """The figure and its panels by title, of studies given as rows of their tables."""
    for name, rows in studies.items():
        pd.DataFrame(rows, columns=columns[name]).to_csv(folder / f"{name}.csv", index=False)
    inputs = parse_inputs([f"study:{name}={folder / f'{name}.csv'}" for name in studies])
    figure = draw(FigureJob(figure="studies"), inputs)
    return figure, {axis.get_title(): axis for axis in figure.axes if axis.get_visible()}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_colour_says_the_same_in_every_panel(tmp_path):
    """Whichever trial was the best of an autoencoder, and stands first in the record."""
    rows = [("plain", 0, 0.001, 0.5, 1.0), ("plain", 1, 0.01, 0.5, 2.0), ("plain", 2, 0.001, 0.9, 3.0)]
    rows += [("small", 2, 0.001, 0.9, 1.0), ("small", 0, 0.001, 0.5, 2.0), ("small", 1, 0.01, 0.5, 3.0)]
    columns = ["autoencoder", "trial", "learning_rate", "betas", "loss"]
    figure, panels = drawn(tmp_path, {"rates": columns}, rates=rows)
    lines = {name: {line.get_label(): line for line in axis.get_lines()} for name, axis in panels.items()}
    assert [*lines["plain"]["0.5"].get_xdata()] == [1e-3, 1e-2] and [*lines["small"]["0.5"].get_ydata()] == [2.0, 3.0]
    first, second = ({label: line.get_color() for label, line in one.items()} for one in lines.values())
    assert first == second and len(set(first.values())) == 2
    assert legend(figure) == ["0.5", "0.9"]


def test_a_study_of_fewer_keys_keeps_its_lines_beside_one_of_more(tmp_path):
    """Each line joins the trials of its own study that differ in the rate alone."""
    grid = enumerate(product((1e-3, 1e-2), (0.5, 0.9)))
    searched = [("plain", number, rate, betas, 1.0) for number, (rate, betas) in grid]
    columns = {"rates": ["autoencoder", "trial", "learning_rate", "betas", "loss"], **across("learning_rate")}
    longer = [("plain", 0, 1e-3, 1.0), ("plain", 1, 1e-2, 1.0)]
    figure, panels = drawn(tmp_path, columns, rates=searched, longer=longer)
    first, second = (
        [(line.get_label(), len(line.get_xdata())) for line in axis.get_lines()] for axis in panels.values()
    )
    assert first == [("0.5", 2), ("0.9", 2)] and second == [("as in the config", 2)]
    assert legend(figure) == ["0.5", "0.9"] and figure.legends[0].get_title().get_text() == "betas"


def across(*keys):
    """Columns of studies of one key each: `longer`, and those named by their keys."""
    return {name: ["autoencoder", "trial", key, "loss"] for name, key in zip(("longer", *keys[1:]), keys, strict=True)}


def test_panels_of_one_study_have_one_scale_of_losses_and_each_study_its_own(tmp_path):
    def trials(*losses):
        found = [("plain", number, 10.0**-number, loss) for number, loss in enumerate(losses)]
        return found + [("small", number, rate, 2 * loss) for _, number, rate, loss in found]

    columns = dict.fromkeys(("rates", "longer"), across("learning_rate")["longer"])
    _, panels = drawn(tmp_path, columns, rates=trials(1.0, 9.0), longer=trials(0.4, 0.5))
    limits = {title: axis.get_ylim() for title, axis in panels.items()}
    assert limits["rates: plain"] == limits["rates: small"] and limits["longer: plain"] == limits["longer: small"]
    assert limits["rates: plain"][0] < 1.0 and limits["rates: plain"][1] > 18
    assert limits["longer: plain"][0] < 0.4 and 1.0 < limits["longer: plain"][1] < 1.1


def test_a_study_of_the_encoders_rate_is_drawn_across_that_rate(tmp_path):
    """Beside one of the decoder's, which keeps its own."""
    columns = across("learning_rate", "encoder_learning_rate", "betas")
    rows = [("plain", number, value, 1.0) for number, value in enumerate((1e-3, 1e-2))]
    _, panels = drawn(tmp_path, columns, **dict.fromkeys(columns, rows))
    axes = [(axis.get_xlabel(), axis.get_xscale(), *axis.get_lines()[0].get_xdata()) for axis in panels.values()]
    rates = [(f"{name}, logarithmic", "log", 1e-3, 1e-2) for name in ("learning rate", "encoder learning rate")]
    assert axes == [*rates, ("trial", "linear", 0, 1)]
