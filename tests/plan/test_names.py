"""Renamed entries and new keys keep digests (promise 1); training seeds add replicas of models and samples."""

import json
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.config.root import load_config
from bright_pipeline.engine.jobs import Job, Stage, planned
from bright_pipeline.engine.shards import view
from bright_pipeline.evaluation.summary import Summary, Value, write_summary
from bright_pipeline.plan.publish import publish
from bright_pipeline.settings.fields import Section, added
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.evaluation import evaluation
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.generation import diffusion, samples
from bright_pipeline.stages.measurements import code_measurement, reconstruction
from bright_pipeline.stages.tables import tables
from finished_plan import TINY, make, tiny_plan, tiny_values
from pydantic import Field

pytestmark = pytest.mark.usefixtures("own_folder")


def rename(values: dict[str, Any], section: str, old: str, new: str) -> dict[str, Any]:
    """The config after renaming an entry of a section, or the run, everywhere."""
    key = section.removesuffix("s")
    if section == "run":
        return values | {"run": new}
    values[section] = {new if name == old else name: one for name, one in values[section].items()}
    for one in values[section].values():
        one.update({key: new for key in ("like", "snapshot_of") if one.get(key) == old})
    for other in ("autoencoders", "diffusions", "samples"):
        for one in values[other].values():
            one.update({key: new} if one.get(key) == old else {})
    for name, rows in values["tables"].items():
        if isinstance(rows, list) and section == "autoencoders":
            values["tables"][name] = [new if row == old else row for row in rows]
        elif isinstance(rows, dict) and section == "samples":
            rows["rows"] = [new if row == old else row for row in rows["rows"]]
    return values


ABOUT_MODELS = {
    "table2", "table3", "table4", "table7", "table8", "section34", "table_sizes", "equal_budget"
}  # fmt: skip
ABOUT_SAMPLES = {"table5", "table6", "text_10k", "noise_generation"}


@pytest.mark.parametrize(
    ("section", "old", "printed"),
    [
        ("run", "tiny", {"run.other"}),
        ("datasets", "tiny", {f"tables.{name}" for name in (*ABOUT_MODELS, *ABOUT_SAMPLES)}),
        ("autoencoders", "main", {
            *(f"tables.{name}" for name in ABOUT_MODELS),
            *(f"figures.{name}" for name in (
                "noise_robustness", "code_range", "spectra", "table_size", "rate_quality",
            )),
        }),
        ("diffusions", "main", set()),
        ("samples", "main", {f"tables.{name}" for name in ABOUT_SAMPLES}),
    ],
)  # fmt: skip
def test_a_renamed_entry_changes_only_what_prints_it_and_keeps_its_folders(section, old, printed) -> None:
    """Figures print methods; a name stands behind a method that several entries share."""
    before, renamed = tiny_plan()(planned), rename(tiny_values(), section, old, "other")
    after = tiny_plan(renamed)(planned)
    of_tables = {"tables.claims"} if any(entry.startswith("tables.") for entry in printed) else set()
    page = {"run.other" if section == "run" else "run.tiny"}
    assert {job.entry for key, job in after.items() if key not in before} == printed | of_tables | page
    make(before.values())
    found = tiny_plan(renamed)(planned)
    assert found.keys() == after.keys(), "whatever the store contains"
    assert all(job.complete == (key in before) for key, job in found.items())
    assert all(job.folder == before[key].folder for key, job in found.items() if key in before)


def test_the_model_behind_a_printed_name_is_in_the_digest() -> None:
    """Of three rows, the second is a twin of the first or of the third; both tables have the same two models."""
    found = []
    for twin in ("main", "without-noise"):
        values = tiny_values()
        values["autoencoders"] |= {"twin": {"like": twin}}
        values["tables"]["table2"] = ["main", "twin", "without-noise"]
        found.append(tiny_plan(values))
    for results, name in ((tables, "table2"), (figures, "fig06")):
        first, second = (jobs(results)[name] for jobs in found)
        assert {job.digest for job in first.upstream} == {job.digest for job in second.upstream}
        assert first.digest != second.digest


def test_samples_of_one_model_have_rows_that_can_be_told_apart() -> None:
    values = tiny_values()
    for rows, labels in (
        (["main"], ["BRIGHT (LDM, with noise)"]),
        (["main", "stopped"], ["BRIGHT (LDM, with noise), main", "BRIGHT (LDM, with noise), stopped"]),
    ):
        values["samples"] |= {"stopped": {"like": "main", "sampler": {"kind": "ddim", "steps": 2, "final_noise": 0.1}}}
        values["tables"]["noise_generation"] = {"rows": rows}
        table = tiny_plan(values)(tables)["noise_generation"]
        assert [row["label"] for row in table.settings["rows"]] == labels


class Filter(Section):
    """Settings of the first version."""

    width: int = 3


class LaterFilter(Filter):
    """The same settings in a later version: the defaults of new keys differ from the earlier behaviour."""

    kind: str = added("lanczos", "How it weighs.", before="box")
    edges: list[int] = added([1, 1], "What it adds.", before=[0, 0])


class Blur(Section):
    filter: Filter = Field(Filter())
    passes: int = 1


class LaterBlur(Blur):
    filter: LaterFilter = Field(LaterFilter())
    rounds: int = added(1, "How often.")


def blurred(settings: type[Section], **values: Any) -> Job:
    """A job with these settings, and nothing else."""
    jobs = Jobs(load_config(tiny_values()))
    return jobs.job(Stage("reconstruct", "blurs", settings), "blurs.one", values)


SAME = {"kind": "box", "edges": [0, 0]}


@pytest.mark.parametrize(
    ("filter_keys", "keys", "same"),
    [
        (SAME, {}, True),
        (SAME | {"width": 3}, {"rounds": 1, "passes": 1}, True),
        ({}, {}, False),
        *((keys, {}, False) for keys in ({"kind": "box"}, SAME | {"kind": "triangle"}, SAME | {"edges": [0, 1]})),
        (SAME, {"rounds": 2}, False),
        (SAME | {"width": 4}, {}, False),
    ],
)
def test_new_keys_keep_the_digest_while_they_mean_the_earlier_behaviour(filter_keys, keys, same) -> None:
    assert (blurred(LaterBlur, filter=filter_keys, **keys).digest == blurred(Blur).digest) == same
    settings = blurred(LaterBlur, filter=SAME).settings
    assert settings == {"filter": {"width": 3, **SAME}, "passes": 1, "rounds": 1}, "the command has all keys"


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
    assert seeded(0)(planned).keys() == alone(planned).keys()


def test_another_training_seed_is_the_seed_of_every_model_and_sample_set() -> None:
    values = tiny_values()
    for entry in (entry for section in ("autoencoders", "diffusions", "samples") for entry in values[section].values()):
        entry["seed"] = 3
    by_hand, replica, first = tiny_plan(values), seeded(0, 3).other_seeds[3], seeded(3, 0)
    for made, arguments in ((reconstruction, ["main"]), (evaluation, ["main", "efficientnet_lite0", 32])):
        assert len({jobs(made, *arguments).digest for jobs in (by_hand, replica, first)}) == 1
    assert first(tables)["table2"].names[0] == "main" and "main#0" in first(tables)["table2"].names


def test_a_jobs_seed_comes_from_the_root_seed_its_purpose_and_the_entrys_seed() -> None:
    values = tiny_values() | {"seed": 7}
    for section in ("autoencoders", "diffusions", "samples"):
        values[section]["main"]["seed"] = 3
    plan = tiny_plan(values)
    for made, drawn in ((autoencoder, "autoencoder"), (diffusion, "diffusion"), (samples, "samples")):
        assert plan(made, "main").settings["seed"] == seed_for(7, drawn, 3)
    assert plan(code_measurement, "main").settings["seed"] == seed_for(7, "code noise", 0)


def test_tables_get_every_seed_of_a_row_with_its_weights_and_counts_once() -> None:
    plan = seeded(0, 1)
    made, alone = plan(tables), tiny_plan()(tables)
    assert {"main", "main#1", "gaussian#1"} < set(made["table5"].names)
    assert made["table5"].settings["training_seeds"] == made["table7"].settings["training_seeds"] == [0, 1]
    assert made["table3"].settings["training_seeds"] == [0], "counts have no others"
    counts, before = ([job.stage.name for job in one["table7"].upstream].count("complexity") for one in (made, alone))
    assert counts == before
    assert made["table3"].digest == alone["table3"].digest, "nothing was trained for it"
    weights = made["table5"].settings["provenance"]["weights"]
    for name, jobs in (("main", plan), ("main#1", plan.other_seeds[1])):
        trained = (jobs(autoencoder, "main"), jobs(diffusion, "main"))
        assert weights[name] == [f"{job.stage.folder}/{job.name}" for job in trained]
    assert weights.keys() == {"main", "main#1", "gaussian", "gaussian#1"}, "real images have none"
    both = made["table7"].settings["provenance"]["weights"]
    assert both.keys() == {"main", "main#1"}, "counts of a model do not hide its weights"


def test_metrics_and_histories_of_each_seed_are_published() -> None:
    plan = seeded(0, 1)
    names = {Path(place).name for place in plan(view) if "histories" in place}
    assert {"autoencoder-main.csv", "autoencoder-main-seed1.csv", "diffusion-main-seed1.csv"} <= names
    for jobs, psnr in ((plan, 23.5), (plan.other_seeds[1], 24.5)):
        measured = Summary(kind="reconstruction", values={"psnr": Value(number=psnr)})
        write_summary(jobs(reconstruction, "main").path("summary.json"), measured)
    publish(plan, str(TINY))
    metrics = json.loads(Path("results/tiny/metrics.json").read_text())
    assert metrics == {
        "reconstruction": {"main": {"psnr": 23.5}},
        "seeds": {"1": {"reconstruction": {"main": {"psnr": 24.5}}}},
    }
