"""The plan: the jobs that a config needs, and the digests that each of its keys changes (promise 1)."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.shards import view
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages import all_stages
from bright_pipeline.stages import evaluation as sets
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset, split_count
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.generation import diffusion, samples
from bright_pipeline.stages.measurements import codes, paper_config
from bright_pipeline.stages.page import page
from bright_pipeline.stages.tables import tables
from finished_plan import TINY, new_jobs, tiny_plan, tiny_values, with_key

pytestmark = pytest.mark.usefixtures("own_folder")

ROOT = Path(__file__).parents[2]
PLAN = """
import json, sys
from pathlib import Path
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs
print(json.dumps(sorted(Jobs(read_config(Path(sys.argv[1])))(planned))))
"""


def digests(checkout: Path, folder: Path, **environment: str) -> list[list[str]]:
    """The stages and digests of the jobs that a checkout's code plans for the tiny config, in another process."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "pipeline"), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    command = [sys.executable, "-P", "-c", PLAN, str(TINY)]
    return json.loads(subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True).stdout)


AFTER_SAMPLES = {"extract_features", "score_features", "nearest_neighbours", "make_table", "make_figure", "make_report"}
RECONSTRUCTION_DISTANCE = {"extract_features", "score_features"}
AFTER_DIFFUSION = {"train_diffusion", "generate", "explore_codes", *AFTER_SAMPLES}
OF_CODES = {"reconstruct", "dump_codes", "explore_codes", "measure_codes"}
AFTER_AUTOENCODER = {"train_autoencoder", "take_snapshot", *OF_CODES, *AFTER_DIFFUSION}


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("seed", 1, all_stages().keys() - {
            "prepare_dataset", "complexity", "measure_decoding", "measure_storage", "train_generator", "import_weights",
            "make_study"
        }),
        ("diffusions.main.training.learning_rate", 2e-3, AFTER_DIFFUSION),
        ("diffusions.main.seed", 1, AFTER_DIFFUSION),
        ("samples.main.sampler.steps", 3, {"generate", "explore_codes", *AFTER_SAMPLES}),
        ("autoencoders.main.training.learning_rate", 1e-3, AFTER_AUTOENCODER),
        ("autoencoders.main.execution.cpu_threads", 2, AFTER_AUTOENCODER),
        ("datasets.tiny.filter", "box", all_stages().keys() - {
            "complexity", "measure_decoding", "measure_storage", "train_generator", "import_weights", "make_study"
        }),
        ("evaluation.neighbours.count", 5, {"nearest_neighbours", "make_figure", "make_report"}),
        ("tables.table2", ["main", "without-noise"], {
            "make_table", "make_figure", "make_report", *RECONSTRUCTION_DISTANCE
        }),
        ("evaluation.reference_count", 20, {"score_features", "make_table", "make_report"}),
        ("evaluation.micro_batch", 16, AFTER_AUTOENCODER - {"train_autoencoder", "take_snapshot"}),
        ("autoencoders.main.execution.gpus", 4, set()),
        ("autoencoders.main.execution.validate_every", 0, set()),  # its inputs only monitor the training
        ("diffusions.main.execution.gpus", 0, set()),
        *((f"autoencoders.main.execution.{key}", 7, set()) for key in ("log_every", "save_every_s", "previews")),
        *((key, 7, set()) for key in ("samples.main.shard", "evaluation.shard", "evaluation.memory_gb")),
        ("datasets.tiny.license", "unknown", set()),
    ],
)  # fmt: skip
def test_a_changed_key_moves_the_stages_that_depend_on_it(key: str, value: object, stages: set[str]) -> None:
    assert {job.stage.name for job in new_jobs(with_key(key, value))} == stages


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_digests_depend_neither_on_the_folder_nor_on_the_process(tmp_path: Path, hash_seed: str) -> None:
    (tmp_path / "other").mkdir()
    jobs = tiny_plan()(planned)
    assert digests(ROOT, tmp_path / "other", PYTHONHASHSEED=hash_seed) == sorted(map(list, jobs))
    for (stage, digest), job in jobs.items():
        assert job.folder.parent.name == all_stages()[stage].folder
        assert job.folder.name == f"{job.label}-{digest}" and re.fullmatch(r"[0-9a-f]{12}", digest)


# The next release has one more key in each of these sections.
SECTIONS = {
    "dataset.py": r"class Dataset\(Section\):",
    "autoencoder.py": r"class AutoencoderTraining\(Section\):",
    "first_stage.py": r"class FirstStageNetwork\(Section\):",
    "diffusion.py": r"class UNet\(Section\):",
    "evaluation.py": r"class Evaluation\(Section\):",
}


def test_a_next_release_finds_results_unless_a_new_key_changes_the_behaviour(tmp_path: Path) -> None:
    checkout = tmp_path / "next"
    for name in ("pipeline", "config"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = digests(checkout, tmp_path)
    assert len(before) > 40
    paths = {checkout / "pipeline" / "bright_pipeline" / "settings" / file: line for file, line in SECTIONS.items()}
    for path, line in paths.items():
        head, docstring, body = re.split(rf'({line}\n.*?"""\n\n)', path.read_text(), maxsplit=1, flags=re.DOTALL)
        key = '    toy: int = added(1, "A toy.", before=1)\n'
        path.write_text(f"from bright_pipeline.settings.fields import added\n{head}{docstring}{key}{body}")
    assert digests(checkout, tmp_path) == before
    for path in paths:
        path.write_text(path.read_text().replace("toy: int = added(1,", "toy: int = added(2,"))
    after = digests(checkout, tmp_path)
    assert {stage for stage, _ in after} == {stage for stage, _ in before}
    assert not {digest for stage, digest in after if stage.startswith("train")} & {digest for _, digest in before}


def paths(job: Job, name: str) -> list[str]:
    """The files of one of a job's inputs."""
    return [path_of(source) for source in job.inputs[name]]


def test_two_runs_on_a_dataset_share_it_its_features_and_the_models_they_both_have() -> None:
    other = with_key("autoencoders.main.seed", 1) | {"run": "other"}
    other["autoencoders"]["without-noise"]["seed"] = 0
    first, second = tiny_plan(), tiny_plan(other)
    assert first(dataset, "tiny").folder == second(dataset, "tiny").folder
    assert first(autoencoder, "without-noise").folder == second(autoencoder, "without-noise").folder
    assert first(autoencoder, "main").folder != second(autoencoder, "main").folder
    (shared,) = {
        tuple(paths(jobs(sets.evaluation, name, "clip", 32), "reference"))
        for jobs in (first, second)
        for name in ("main", "gaussian", "real")
    }
    assert first(sets.evaluation, "main", "clip", 32).digest != second(sets.evaluation, "main", "clip", 32).digest
    assert paths(first(sets.reconstruction_distance, "main", "clip"), "reference") == list(shared)


@pytest.mark.parametrize(
    ("split", "limit", "train", "validation"),
    [
        ({"rule": "last", "validation": 32}, 160, 128, 32),
        ({"rule": "hash", "validation": 500}, None, 9500, 500),
        ({"rule": "list", "list": "names.txt"}, 200, 200, 200),
    ],
)
def test_splits_are_counted_without_opening_an_image_or_are_one_range(split, limit, train, validation) -> None:
    config = with_key("datasets.tiny.split", split)
    config["datasets"]["tiny"]["limit"] = limit
    jobs = tiny_plan(config)
    assert [jobs(split_count, "tiny", name) for name in ("train", "validation")] == [train, validation]
    config = with_key("datasets.tiny.source", {"kind": "folder", "path": "nowhere"})
    features = tiny_plan(config)(sets.split_features, "tiny", "train", "clip")
    assert features.files == ("features-000000-1000000000.npz",)


def test_the_config_and_the_networks_decide_the_spaces_of_metrics() -> None:
    assert tiny_plan()(sets.spaces, "vgg16") == ("vgg16",)
    assert tiny_plan(with_key("evaluation.precision_recall", "paper_repository"))(sets.spaces, "vgg16") == (
        "vgg16_paper",
    )
    assert tiny_plan()(sets.spaces, "inception") == ("inception", "inception_clean")
    assert sets.distance_spaces(tiny_plan(), ["main"]) == ["efficientnet_lite0"]
    jobs = tiny_plan(with_key("evaluation.networks", ["inception", "clip"]))
    assert sets.distance_spaces(jobs, ["main"]) == []
    for space in ("inception", "inception_clean"):
        job = jobs(sets.reconstruction_distance, "main", space)
        job.folder.mkdir(parents=True)
        Path(job.path("summary.json")).touch()
    jobs.store.forget()
    assert sets.distance_spaces(jobs, ["main"]) == ["inception", "inception_clean"]


def test_one_job_counts_the_models_of_a_table_and_then_the_papers_in_their_order() -> None:
    config = tiny_values() | {"tables": {"table3": ["main"]}, "figures": {}}
    assert {stage for stage, _ in tiny_plan(config)(planned)} == {"complexity", "make_table", "make_report"}
    jobs = tiny_plan()
    paper = paper_config().tables_or_default
    for name in ("table3", "table7", "table8", "equal_budget"):
        made = jobs(tables)[name]
        (counting,) = (job for job in made.upstream if job.stage.name == "complexity")
        assert counting.entry == f"tables.{name}"
        first, *others = (one["entry"] for one in counting.settings["models"].values())
        assert first == "autoencoders.main" and all(entry.endswith(" of paper.yaml") for entry in others)
        shown = made.settings["rows"] + made.settings["counted"]
        assert {row["model"] for row in shown} == counting.settings["models"].keys()
        if name != "equal_budget":
            assert [row["name"] for row in made.settings["counted"]] == [
                f"paper: {row}" for row in getattr(paper, name)
            ]


def test_counts_depend_on_the_architecture_and_a_new_row_counts_its_own_table_again() -> None:
    plans = []
    for name in ("small", "renamed"):
        values = with_key(f"autoencoders.{name}", {"like": "main", "tables": {"entries_log2": 5}, "seed": len(name)})
        values["tables"]["table3"] = [name]
        plans.append({key for key in tiny_plan(values)(planned) if key[0] == "complexity"})
    assert plans[0] == plans[1] and len(plans[0]) == 4
    values["tables"]["table3"] = ["main", "renamed"]
    new = [job.entry for job in new_jobs(values) if job.stage.name in ("complexity", "make_table")]
    assert sorted(new) == ["tables.claims", "tables.table3", "tables.table3"]


def test_ablations_have_rows_of_autoencoders_and_the_samples_of_their_codes_for_every_seed() -> None:
    values = tiny_values() | {"training_seeds": [0, 7]}
    values["autoencoders"]["bare"] = {"like": "main", "features": "mlp", "tables": {"coordinates": False}, "seed": 3}
    values["tables"] = {"ablations": {"autoencoders": ["main", "bare"], "samples": ["main"]}}
    made = tiny_plan(values)(tables)["ablations"]
    changed = {row["name"]: row["variant"] for row in made.settings["rows"]}
    assert changed == {"main": "(the first row)", "bare": "tables.coordinates false, features mlp"}
    scored = [job for job in made.upstream if job.stage.name == "score_features"]
    kinds = sorted(job.settings["kind"] for job in scored)
    assert kinds.count("reconstruction_distance") == 2 * kinds.count("generation") > 0, "one row has samples"
    assert {"main#7", "bare#7"} <= {name for name in made.names if "#" in name}
    assert sum(job.stage.name == "reconstruct" for job in made.upstream) == 4


def test_rows_of_one_identity_state_differences_and_latent_diffusion_has_no_counts() -> None:
    values = tiny_values()
    values["autoencoders"]["slower"] = {"like": "main", "training": {"learning_rate": 1.0e-3}, "label": "low rate"}
    rows = ["main", "without-noise", "slower"]
    values["tables"] = {"equal_budget": rows, "latent_diffusion": {"autoencoders": rows, "samples": ["main"]}}
    plan = tiny_plan(values)(tables)
    for table in ("equal_budget", "latent_diffusion"):
        variants = [(row.get("variant"), row.get("variant_label")) for row in plan[table].settings["rows"]]
        assert variants == [(None, None), (None, None), ("training.learning_rate 0.001", "low rate")]
    made = plan["latent_diffusion"].upstream
    assert {job.stage.name for job in made} == {"reconstruct", "score_features"}
    assert {job.settings.get("kind") for job in made} - {None} == {"generation", "reconstruction_distance"}


def test_quality_is_drawn_against_bits_for_every_seed_and_all_models_of_the_figure_are_timed() -> None:
    values = tiny_values() | {"training_seeds": [0, 7]}
    values["figures"] = {"rate_quality": ["without-noise", "main"]}
    made = tiny_plan(values)(figures)["rate_quality"]
    assert made.names == (*["reconstruction:without-noise"] * 2, *["reconstruction:main"] * 2, "decoding")
    (timed,) = (job for job in made.upstream if job.stage.name == "measure_decoding")
    assert set(made.settings["models"].values()) == timed.settings["models"].keys()
    assert tiny_plan()(figures)["rate_quality"].names == ("reconstruction:main", "decoding"), "rows of equal_budget"


def test_distances_of_samples_are_drawn_for_every_seed_with_the_lengths_of_both_trainings() -> None:
    values = tiny_values() | {"training_seeds": [0, 7]}
    values["tables"] = {"latent_diffusion": {"autoencoders": ["main"], "samples": ["main"]}}
    made = tiny_plan(values)(figures)["sample_quality"]
    assert made.names == ("samples:main", "reconstruction:main") * 2
    steps = values["diffusions"]["main"]["training"]["steps"]
    images = values["autoencoders"]["main"]["training"]["images"]
    assert made.settings["lengths"] == {"main": {"images": images, "steps": steps, "stage_images": 0}}


def test_the_explorer_samples_codes_of_the_shown_diffusion_model_or_is_off() -> None:
    def explored(values: dict[str, Any]) -> Job:
        return next(job for job in tiny_plan(values)(page).upstream if job.stage.name == "explore_codes")

    values = tiny_values()
    assert "diffusion" in explored(values).inputs and explored(values).settings["sampler"]["steps"] == 2
    assert "decoder" not in explored(values).inputs, "samples are decoded by main itself"
    off = explored(values | {"figures": {"explorer": False}})
    assert "diffusion" not in off.inputs and off.settings["codes"] == 0


def test_the_demos_explorer_decodes_with_the_decoder_of_its_samples_in_the_range_of_training_codes() -> None:
    plan = Jobs(read_config(ROOT / "config" / "demo.yaml"))
    (named,) = [name for name in plan(page).names if name.startswith("explorer:")]
    job = next(job for job in plan(page).upstream if job.stage.name == "explore_codes")
    read = {name: given.job for name, (given,) in job.inputs.items()}
    assert named == "explorer:main-stage" and read["decoder"] is plan(autoencoder, "main-stage")
    assert read["autoencoder"] is plan(autoencoder, "main") and read["statistics"] is plan(codes, "main")
    assert read["diffusion"] is plan(diffusion, "main")


def test_the_page_reads_the_training_images_near_its_samples() -> None:
    made = tiny_plan()(page)
    assert made.inputs["data"][made.names.index("train")].content == "train.zip"
    assert {"samples", "neighbours", "neighbours_summary"} < set(made.names)


def test_figures_are_drawn_where_the_tables_have_their_samples() -> None:
    """Figures 12 and 13 where Table 6 has other samples than Table 5, figure 14 where it has samples of LDM."""
    one = tiny_plan()(figures).keys()
    assert {"fig07", "fig08", "fig09", "fig10", "fig11", "interpolation", "resolutions", "groups"} <= one
    two = tiny_plan(with_key("tables.table6", {"rows": ["gaussian"]}))(figures)
    assert two.keys() - one == {"fig12", "fig13"}
    assert two["fig12"].upstream[0].entry == "samples.gaussian"
    config = with_key("samples.ldm", {"kind": "files", "path": "ldm", "dataset": "tiny", "method": "LDM", "count": 32})
    config["tables"]["table6"] = {"rows": ["main", "ldm"]}
    three = tiny_plan(config)(figures)
    assert three.keys() - one == {"fig14"}
    assert [job.entry for job in three["fig14"].upstream] == ["samples.ldm"]
    values = with_key("autoencoders.main.features", "mlp")
    values["tables"]["table_sizes"] = []
    made = tiny_plan(values)(figures).keys()
    assert "fig06" in made and not {"fig05b", "interpolation", "resolutions", "groups", "table_size"} & made


def test_a_figures_function_and_the_number_of_paged_samples_are_in_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny_plan()(figures)
    monkeypatch.setitem(FIGURES, "fig10", replace(FIGURES["fig10"], draw="images:comparison"))
    after = tiny_plan()(figures)
    assert {name for name in after if after[name].digest != before[name].digest} == {"fig10"}
    before = tiny_plan()(planned)
    monkeypatch.setattr("bright_pipeline.stages.page.SAMPLES", 20)
    assert {stage for stage, _ in tiny_plan()(planned).keys() - before.keys()} == {"make_report"}


def test_a_run_has_the_tables_with_rows_and_claims_read_all_of_the_paper() -> None:
    values = tiny_values() | {"tables": {"table3": ["main"], "table4": [], "section34": [], "claims": True}}
    jobs = tiny_plan(values)
    assert list(jobs(tables)) == ["table3", "claims"]
    assert {place for place in jobs(view) if place.endswith(".csv") and "/tables/" in place} == {
        "results/tiny/tables/table3.csv",
        "results/tiny/tables/claims.csv",
    }
    paper = [name for name, table in TABLES.items() if table.in_paper]
    assert list(jobs(tables)["claims"].names) == paper and len(paper) == 8


def test_samples_are_drawn_in_the_precision_in_which_their_model_trains(own_folder: Path) -> None:
    """Unless the config says another one; a model of 32 bits keeps the digest of its samples."""

    def drawn(trained: str | None, said: str | None) -> tuple[str, str]:
        values = tiny_values()
        values["diffusions"]["main"] |= {"execution": {"precision": trained}} if trained else {}
        values["samples"]["main"] |= {"precision": said} if said else {}
        job = tiny_plan(values)(samples, "main")
        return job.settings["samples"]["precision"], str(job.numerical.get("samples", {}).get("precision"))

    assert drawn(None, None) == drawn("tf32", None) == drawn("bf16", "fp32") == ("fp32", "None")
    assert drawn("bf16", None) == drawn("fp32", "bf16") == ("bf16", "bf16") and drawn("fp16", None)[0] == "fp16"
