"""Renamed entries, and new keys whose value means the earlier behaviour, keep the digests (promise 1)."""

from pathlib import Path
from typing import Any

import pytest
from finished_plan import make, new_jobs, tiny_plan, tiny_values
from pydantic import Field

from pipeline.config.root import load_config
from pipeline.plan.shards import planned
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion, UNet
from pipeline.settings.fields import Section, added
from pipeline.stages.common import Jobs, Stage
from pipeline.stages.figures import figures
from pipeline.stages.tables import tables


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are relative to the current folder."""
    monkeypatch.chdir(tmp_path)


def rename(values: dict[str, Any], section: str, old: str, new: str) -> dict[str, Any]:
    """The config with an entry of a section, or the run, renamed everywhere."""
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
                "fig06", "curves_autoencoders", "noise_robustness", "code_range", "table_size", "rate_quality"
            )),
        }),
        ("diffusions", "main", {"figures.curves_diffusion"}),
        ("samples", "main", {*(f"tables.{name}" for name in ABOUT_SAMPLES), "figures.fig07", "figures.fig08"}),
    ],
)  # fmt: skip
def test_a_name_changes_only_the_tables_figures_and_page_that_print_it(
    section: str, old: str, printed: set[str]
) -> None:
    moved = {job.entry for job in new_jobs(rename(tiny_values(), section, old, "other"))}
    of_tables = {"tables.claims"} if any(entry.startswith("tables.") for entry in printed) else set()
    page = {"run.other" if section == "run" else "run.tiny"}
    assert moved == printed | of_tables | page


@pytest.mark.parametrize("section", ["run", "datasets", "autoencoders", "diffusions", "samples"])
def test_results_keep_their_folders_when_an_entry_is_renamed(section: str) -> None:
    old, name = tiny_plan()(planned), "main" if section != "datasets" else "tiny"
    before = tiny_plan(rename(tiny_values(), section, name, "other"))(planned)
    make(old.values())
    after = tiny_plan(rename(tiny_values(), section, name, "other"))(planned)
    assert after.keys() == before.keys(), "whatever the store contains"
    for key, job in after.items():
        assert job.complete == (key in old)
        if key in old:
            assert job.folder == old[key].folder


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


class Filter(Section):
    """Settings of a first version."""

    width: int = 3


class LaterFilter(Filter):
    """The same in a later version, whose new keys have defaults other than the earlier behaviour."""

    kind: str = added("lanczos", before="box", description="How it weighs.")
    edges: list[int] = added([1, 1], before=[0, 0], description="What it adds.")


class Blur(Section):
    filter: Filter = Field(Filter())
    passes: int = 1


class LaterBlur(Blur):
    filter: LaterFilter = Field(LaterFilter())
    rounds: int = added(1, before=1, description="How often.")


def blurred(settings: type[Section], **values: Any) -> str:
    """The digest of a job with these settings, and nothing else."""
    jobs = Jobs(load_config(tiny_values()))
    return jobs.job(Stage("reconstruct", "blurs", settings), "blurs.one", values).digest


NEUTRAL = {"kind": "box", "edges": [0, 0]}


def test_a_new_key_with_the_earlier_behaviour_keeps_the_digest() -> None:
    before = blurred(Blur)
    assert blurred(LaterBlur, filter=NEUTRAL) == before
    assert blurred(LaterBlur, filter=NEUTRAL | {"width": 3}, rounds=1, passes=1) == before
    jobs = Jobs(load_config(tiny_values()))
    job = jobs.job(Stage("reconstruct", "blurs", LaterBlur), "blurs.one", {"filter": NEUTRAL})
    assert job.settings == {"filter": {"width": 3, **NEUTRAL}, "passes": 1, "rounds": 1}, "the command has all keys"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"filter": {"kind": "box"}},
        {"filter": {"edges": [0, 0]}},
        {"filter": NEUTRAL | {"kind": "triangle"}},
        {"filter": NEUTRAL | {"edges": [0, 1]}},
        {"filter": NEUTRAL, "rounds": 2},
        {"filter": NEUTRAL | {"width": 4}},
    ],
)
def test_another_value_changes_the_digest(values: dict[str, Any]) -> None:
    assert blurred(LaterBlur, **values) != blurred(Blur)


class LaterAutoencoder(Autoencoder):
    padding: str = added("zeros", before="reflect", description="Of convolutions.")


class LaterUNet(UNet):
    padding: str = added("zeros", before="reflect", description="Of convolutions.")


class LaterDiffusion(Diffusion):
    unet: LaterUNet = Field(LaterUNet())


def test_nor_does_it_change_what_depends_on_an_architecture_alone() -> None:
    """Counts, timings, and imported checkpoints, with all images that are generated from those."""
    values = {"dataset": "tiny", "code_size": "64x64x4"}
    before = Autoencoder.model_validate(values).architecture()
    assert LaterAutoencoder.model_validate(values | {"padding": "reflect"}).architecture() == before
    assert LaterAutoencoder.model_validate(values).architecture() != before
    unet = Diffusion(autoencoder="main").architecture()
    later = {"autoencoder": "main", "unet": {"padding": "reflect"}}
    assert LaterDiffusion.model_validate(later).architecture() == unet
    assert LaterDiffusion(autoencoder="main").architecture() != unet
