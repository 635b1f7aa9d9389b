"""A study by the workflow itself: its trials are trained and measured once, and its record is a table and a figure."""

import pandas as pd
import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

RATES = {
    "autoencoders": ["without-noise"],
    "grid": {"learning_rate": [1e-4, 1e-2]},
    "images": 16,
    "tuning": 16,
}


def test_a_study_trains_its_trials_once_and_chooses_the_one_with_the_lowest_loss(play: Workflow) -> None:
    play.configure(lambda config: config.update(studies={"rates": RATES}))
    made = play.run("study_rates", "results/tiny/figures/studies.png").jobs
    of_the_study = {"prepare_dataset": 1, "train_autoencoder": 2, "reconstruct": 2, "make_study": 1, "make_figure": 1}
    assert made == of_the_study | {"study_rates": 1, "publish": 1}
    record = pd.read_csv(play.folder / "results" / "tiny" / "tables" / "study_rates.csv")
    assert sorted(record["learning_rate"]) == [1e-4, 1e-2]
    assert record["loss"][0] == record["loss"].min() and list(record["best"]) == [True, False]
    assert play.run("-n", "study_rates").nothing_to_do

    play.configure(lambda config: config["studies"]["rates"]["grid"].update(learning_rate=[1e-4, 1e-2, 1e-1]))
    again = play.run("-n", "study_rates").jobs
    assert again == {"train_autoencoder": 1, "reconstruct": 1, "make_study": 1, "study_rates": 1}, "one trial more"
