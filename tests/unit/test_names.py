"""Renamed entries, and new keys whose value means the earlier behaviour, keep the digests (promise 1)."""

from typing import Any

import pytest
from finished_plan import make, tiny_plan, tiny_values
from pydantic import Field

from pipeline.config.root import load_config
from pipeline.plan.shards import planned
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion, UNet
from pipeline.settings.fields import Section, added
from pipeline.stages.common import Job, Jobs, Stage
from pipeline.stages.figures import figures
from pipeline.stages.tables import tables

pytestmark = pytest.mark.usefixtures("own_folder")


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
def test_a_renamed_entry_changes_only_what_prints_it_and_keeps_its_folders(
    section: str, old: str, printed: set[str]
) -> None:
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


def blurred(settings: type[Section], **values: Any) -> Job:
    """A job with these settings, and nothing else."""
    jobs = Jobs(load_config(tiny_values()))
    return jobs.job(Stage("reconstruct", "blurs", settings), "blurs.one", values)


SAME = {"kind": "box", "edges": [0, 0]}


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"filter": SAME}, True),
        ({"filter": SAME | {"width": 3}, "rounds": 1, "passes": 1}, True),
        ({}, False),
        ({"filter": {"kind": "box"}}, False),
        ({"filter": SAME | {"kind": "triangle"}}, False),
        ({"filter": SAME | {"edges": [0, 1]}}, False),
        ({"filter": SAME, "rounds": 2}, False),
        ({"filter": SAME | {"width": 4}}, False),
    ],
)
def test_new_keys_keep_the_digest_while_they_mean_the_earlier_behaviour(values: dict[str, Any], same: bool) -> None:
    assert (blurred(LaterBlur, **values).digest == blurred(Blur).digest) == same
    settings = blurred(LaterBlur, filter=SAME).settings
    assert settings == {"filter": {"width": 3, **SAME}, "passes": 1, "rounds": 1}, "the command has all keys"


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
