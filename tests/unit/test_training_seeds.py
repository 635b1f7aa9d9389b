"""Several training seeds: replicas of the tables' models and samples, and the numbers of each."""

import json
from pathlib import Path
from typing import Any

import pytest
from finished_plan import TINY, tiny_plan, tiny_values

from pipeline.base.errors import InputError
from pipeline.base.seeds import seed_for
from pipeline.base.summary import Summary, Value, write_summary
from pipeline.plan.publish import publish
from pipeline.plan.shards import planned
from pipeline.plan.view import view
from pipeline.stages.autoencoders import autoencoder, code_measurement, reconstruction
from pipeline.stages.common import Jobs
from pipeline.stages.evaluation import evaluation
from pipeline.stages.generation import diffusion, samples
from pipeline.stages.tables import tables

pytestmark = pytest.mark.usefixtures("own_folder")

NETWORK = "efficientnet_lite0"


def seeded(*seeds: int, **changes: Any) -> Jobs:
    return tiny_plan(tiny_values() | {"training_seeds": list(seeds)} | changes)


def test_the_first_seed_has_the_jobs_of_a_run_with_one_seed() -> None:
    alone, several = tiny_plan(), seeded(0, 1, 2)
    new = several(planned).keys() - alone(planned).keys()
    moved = [alone(planned)[key] for key in alone(planned).keys() - several(planned).keys()]
    assert {job.stage.name for job in moved} == {"make_table", "make_figure", "make_report"}
    of_seeds = {"figures.rate_quality"}  # whose bars are over seeds
    assert {job.entry for job in moved if job.stage.name == "make_figure"} == of_seeds
    made = [stage for stage, _ in new]
    # Two further seeds of two autoencoders, of one diffusion model, and of three sample sets.
    assert [made.count(stage) for stage in ("train_autoencoder", "train_diffusion", "generate")] == [4, 2, 6]
    assert made.count("make_figure") == len(of_seeds)
    assert not {"prepare_dataset", "complexity", "nearest_neighbours"} & set(made)


def test_one_explicit_seed_is_the_same_run_as_the_default() -> None:
    assert seeded(0)(planned).keys() == tiny_plan()(planned).keys()


def test_another_training_seed_is_the_seed_of_every_model_and_sample_set() -> None:
    values = tiny_values()
    for section in ("autoencoders", "diffusions", "samples"):
        for entry in values[section].values():
            entry["seed"] = 3
    by_hand, replica = tiny_plan(values), seeded(0, 3).other_seeds[3]
    assert replica(reconstruction, "main").digest == by_hand(reconstruction, "main").digest
    assert replica(evaluation, "main", NETWORK, 32).digest == by_hand(evaluation, "main", NETWORK, 32).digest


def test_a_jobs_seed_comes_from_the_root_seed_its_purpose_and_the_entrys_seed() -> None:
    values = tiny_values() | {"seed": 7}
    for section in ("autoencoders", "diffusions", "samples"):
        values[section]["main"]["seed"] = 3
    plan = tiny_plan(values)
    for make, drawn in ((autoencoder, "autoencoder"), (diffusion, "diffusion"), (samples, "samples")):
        assert plan(make, "main").settings["seed"] == seed_for(7, drawn, 3)
    assert plan(code_measurement, "main").settings["seed"] == seed_for(7, "code noise", 0)


def test_the_first_of_the_seeds_has_no_name() -> None:
    assert seeded(3, 0)(reconstruction, "main").digest == seeded(0, 3).other_seeds[3](reconstruction, "main").digest
    assert seeded(3, 0)(tables)["table2"].names[:1] == ("main",)
    assert "main#0" in seeded(3, 0)(tables)["table2"].names


def test_tables_get_every_seed_of_a_row_and_counts_once() -> None:
    made = seeded(0, 1, 2)(tables)
    assert {"main", "main#1", "main#2", "gaussian#1"} < set(made["table5"].names)
    assert made["table5"].settings["training_seeds"] == [0, 1, 2]
    counts = [job.stage.name for job in made["table7"].upstream].count("complexity")
    assert counts == [job.stage.name for job in tiny_plan()(tables)["table7"].upstream].count("complexity")
    assert made["table3"].digest == tiny_plan()(tables)["table3"].digest, "nothing was trained for it"


def test_a_table_names_the_weights_of_each_seed() -> None:
    plan = seeded(0, 1)
    weights = plan(tables)["table5"].settings["provenance"]["weights"]
    for name, jobs in (("main", plan), ("main#1", plan.other_seeds[1])):
        trained = (jobs(autoencoder, "main"), jobs(diffusion, "main"))
        assert weights[name] == [f"{job.stage.folder}/{job.name}" for job in trained]
    assert weights.keys() == {"main", "main#1", "gaussian", "gaussian#1"}, "real images have none"
    both = plan(tables)["table7"].settings["provenance"]["weights"]
    assert both.keys() == {"main", "main#1"}, "counts of a model do not hide its weights"


def test_metrics_have_the_numbers_of_each_seed() -> None:
    plan = seeded(0, 1)
    for jobs, psnr in ((plan, 23.5), (plan.other_seeds[1], 24.5)):
        measured = Summary(kind="reconstruction", values={"psnr": Value(number=psnr)})
        write_summary(jobs(reconstruction, "main").path("summary.json"), measured)
    publish(plan, str(TINY))
    metrics = json.loads(Path("results/tiny/metrics.json").read_text())
    assert metrics == {
        "reconstruction": {"main": {"psnr": 23.5}},
        "seeds": {"1": {"reconstruction": {"main": {"psnr": 24.5}}}},
    }


def test_histories_of_all_seeds_are_published() -> None:
    plan = seeded(0, 1)
    names = {Path(place).name for place in plan(view) if "histories" in place}
    assert {"autoencoder-main.csv", "autoencoder-main-seed1.csv", "diffusion-main-seed1.csv"} <= names


@pytest.mark.parametrize(("seeds", "message"), [([], "at least 1 item"), ([0, 1, 1], "must be distinct")])
def test_wrong_seeds_get_one_line(seeds: list[int], message: str) -> None:
    with pytest.raises(InputError) as error:
        seeded(*seeds)
    assert "training_seeds" in str(error.value) and message in str(error.value) and "\n" not in str(error.value)
