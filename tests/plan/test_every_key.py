"""Every key of every config, changed alone, moves a digest or is declared to change no number.

A section declares keys that are in no digest: operational ones, names, and paths whose content is hashed. `NO_NUMBER`
has the others, with reasons.
"""

import functools
import json
import operator
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import lmdb
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import load_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.models.traits import traits
from bright_pipeline.plan.publish import written_values
from bright_pipeline.settings.diffusion import FilesSamples, SampleSet
from bright_pipeline.settings.fields import CodeSize, Section
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import evaluation
from bright_pipeline.stages.generation import diffusion, generator, samples
from bright_pipeline.stages.measurements import code_measurement, codes, reconstruction
from finished_plan import TINY
from small_collections import encoded, folder_of, picture
from snakemake.utils import update_config

CONFIG = TINY.parents[2] / "config"
# Configs, each with those that Snakemake joins with it. The small ones are first: equal keys are changed once.
SHIPPED = [
    *(["config"], ["demo"], ["perceptual"], ["demo-colour"], ["demo-all"], ["transfer"], ["paper"], ["comparison"]),
    *(["authors"], ["gpu-day"]),
    *(["comparison", name] for name in ("ablations", "bottlenecks", "code-sizes", "exchanged-networks", "lengths")),
    *(["comparison", name] for name in ("text-and-code", "what-the-tables-store")),
    *(["paper", name] for name in ("learning-rates", "paper-ldm-checkpoint", "paper-one-gpu")),
]
FAMILY = """
from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.fields import Section

class Painter(Section):
    generator: str = "mersenne"
    dataset: str = "words"
    autoencoder: str = "none"
    diffusion: str = "heat"
    width: int = 8

class Settings(AutoencoderSettings):
    family: str = "painters.family"
    painter: Painter = Painter()
    generator: str = "pcg"

FAMILY = AutoencoderFamily("Mine", Settings, "painters.family:Network", counts="painters.family:counts")
"""
OWN = """
run: mine
datasets:
  hub: {source: {kind: huggingface, path: hub, split: train, validation_split: test}, split: {rule: source}}
  rows: {source: {kind: huggingface, path: rows.parquet}, split: {rule: list, list: names.txt}}
  lsun: {source: {kind: lmdb, path: lsun, validation_path: lsun-val}, split: {rule: source}}
  idx: {source: {kind: idx, path: images-idx3-ubyte}, channels: 1, split: {rule: hash, validation: 2}}
  zip: {source: {kind: zip, path: raw.zip}, resolution: 64, split: {rule: last, validation: 2, tuning: 1}}
  folder: {source: {kind: folder, path: raw}, split: {validation: 2}}
autoencoders:
  mine: {family: painters.family, dataset: zip, code_size: 16x16x4}
  imported: {family: vqgan, dataset: zip, code_size: 16x16x4, weights: {kind: taming_vqgan, path: vqgan.ckpt}}
  started: {dataset: zip, code_size: 16x16x4, feature_size: 32, initial_weights: {path: first.safetensors}}
  stage: {like: started, initial_weights: started, decoder_stage: {noise: 0.1}}
diffusions:
  ldm: {autoencoder: imported, weights: {kind: ldm, path: ldm.ckpt}}
generators:
  ddpm: {family: ddpm, dataset: zip, weights: {kind: diffusers_ddpm, path: ddpm}}
samples:
  files: {kind: files, path: raw, dataset: zip, method: Another, count: 10}
  staged: {kind: gaussian_codes, autoencoder: started, decoder: stage, count: 10}
"""


@pytest.fixture
def own_config(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with a user's family, imported models, and a source of every kind, with their files."""
    monkeypatch.syspath_prepend(own_folder)
    for folder in ("painters", "hub"):
        (own_folder / folder).mkdir()
    Path("painters/__init__.py").touch()
    Path("painters/family.py").write_text(FAMILY)
    folder_of(own_folder / "raw", 20)
    shutil.make_archive("raw", "zip", "raw")
    folder_of(own_folder / "ddpm", 1)
    rows = [{"bytes": encoded(picture(seed)), "path": None} for seed in range(4)]
    for path in ("rows", "hub/train-00000-of-00001", "hub/test-00000-of-00001"):
        pyarrow.parquet.write_table(pyarrow.table({"image": rows, "image2": rows}), f"{path}.parquet")
    for path in ("lsun", "lsun-val"):
        with lmdb.open(path, map_size=2**20) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"key", encoded(picture(), "webp"))
    Path("images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + np.array([4, 5, 5], ">u4").tobytes() + bytes(100))
    for path in ("vqgan.ckpt", "first.safetensors", "ldm.ckpt", "names.txt"):
        Path(path).write_text("rows.parquet:000000000\n")
    (config := own_folder / "own.yaml").write_text(OWN)
    return config


TIED = ("snapshot_of", "decoder_stage")
SMALL = ("tiny", "mine")  # runs of small configs, in which a key is tried again if no other value was valid alone
NEEDS_OTHERS = {  # keys that can only be changed together with others
    *("channels", "entry", "family", "feature_channels", "feature_size", "images", "kind", "list", "multipliers"),
    *("path", "reference_count", "snapshot_of", "decoder_stage", "weights", "resize", "learning_rate_floor"),
}
# Unless they are printed.
NOT_OF_IMPORTS = ("training", "losses", "discriminator", "execution", "rescaling", "code_noise", "splits", "seed")
NO_RESULT = ("run", "tables", "figures")  # where results go, and which of them are shown
NO_NUMBER = {
    **{(FilesSamples, name): "images are copied" for name in ("seed", "micro_batch", "cpu_threads", "precision")},
    **{(kind, "count"): "image i depends on the seed and i alone" for kind in (SampleSet, *SampleSet.__subclasses__())},
}


def leaves(section: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Section], Any]]:
    """Path, section and value of each key that can change a number."""
    for name in type(section).model_fields if isinstance(section, Section) else section:
        marks, value = {}, section[name] if isinstance(section, dict) else getattr(section, name)
        if isinstance(section, Section):
            marks = type(section)._marks(name)
            if name in section.REFERENCES or (type(section), name) in NO_NUMBER:
                continue
        if isinstance(value, Section | dict):
            yield from leaves(value, (*path, name)) if not marks.get("operational") else ()
        elif not marks.get("operational") and not marks.get("by_content"):
            yield (*path, name), type(section), value


def others(section: type[Section], name: str, value: Any) -> list[Any]:
    """Other values of a key, of which the first valid one is tried."""
    types = get_args(section.model_fields[name].annotation)
    # The last choice first: the first one of an optional key may be what it stands for, such as fp32.
    choices = [choice for one in types[::-1] for choice in (*get_args(one)[::-1], one) if isinstance(choice, str | int)]
    match value:
        case bool():
            choices = [not value]
        case int():
            choices += [value * 2, value + 1, value // 2, value + 8, value - 1]
        case float():
            choices += [value * 1.5, value / 2, 0.5, 0.25]
        case CodeSize():
            choices = ["8x8x4", "16x16x2", "8x8x2", "4x4x4"]
        case list() | tuple():
            choices = [value[:-1], [*value, *value[-1:]], value[::-1], *([2 * value[0], *value[1:]] for _ in value[:1])]
            choices += [[0.5], [2], [[0.5, 0.9]]]
        case str():
            choices += [f"{value}2"]
        case None:
            choices += [1, 2, 0.5]
    return choices


def scores(jobs: Jobs, name: str) -> Job:
    """The metrics of a sample set."""
    return evaluation(jobs, name, "inception", 10)


JOBS: dict[str, list[Any]] = {
    "datasets": [dataset],
    "autoencoders": [autoencoder, codes, reconstruction, code_measurement],
    "diffusions": [diffusion],
    "generators": [generator],
    "samples": [samples, scores],
}


def digests(jobs: Jobs, section: str, name: str) -> set[str]:
    """The digests of an entry's own jobs, or of the whole plan without the page."""
    if section in JOBS:
        return {jobs(make, name).digest for make in JOBS[section]}
    return {digest for stage, digest in jobs(planned) if stage != "make_report"}


def at(values: Any, path: Iterable[str]) -> Any:
    """The value of a key."""
    return functools.reduce(operator.getitem, path, values)


def change_each(values: dict[str, Any], moved: dict[Any, bool | None], prints: Fingerprints) -> Iterator[str]:
    """Change each key of a config alone; yields those that move no digest.

    moved: whether a key moved a digest, for each key that was tried; None if no other value was valid alone.
    """
    written = json.dumps(written_values(Jobs(load_config(values), fingerprints=prints)))
    values = json.loads(written)
    config = load_config(values)
    jobs = Jobs(config, fingerprints=prints, every_network=True)
    for path, section, value in leaves(config):
        (place, name, *inner), entries = (*path, ""), getattr(config, path[0])
        entry, name = (entries[name], name) if isinstance(entries, dict) else (config, "")
        # An import, a snapshot and a decoder stage have digests of their own; keys of the latter two must be another's.
        kind = [key for key in ("weights", *TIED) if getattr(entry, key, None) is not None]
        leaf = (type(entry), *kind, section.__name__, *(inner[:-1] if name else path))
        is_small = values["run"] in SMALL and not kind
        if place in NO_RESULT or (leaf in moved and (moved[leaf] is not None or not is_small)):
            continue
        moved[leaf] = None
        # A snapshot has the keys of its training.
        tied = [key for key, other in values[place].items() if other.get("snapshot_of") == name] if name else []
        places = [path[:-1], *((place, key, *path[2:-1]) for key in tied)]
        for other in others(section, path[-1], value):
            if other == at(values, path):
                continue
            changed = json.loads(written)
            for container in places:
                at(changed, container)[path[-1]] = other
            with suppress(InputError):
                again = Jobs(load_config(changed), fingerprints=prints, every_network=True)
                moved[leaf] = digests(again, place, name) != digests(jobs, place, name)
                if "weights" in kind and inner[0] in NOT_OF_IMPORTS and not moved[leaf]:
                    moved[leaf] = place != "autoencoders" or traits(again.config.autoencoders[name]) == traits(entry)
                break
        if moved[leaf] is False:
            yield ".".join(path)


def test_every_key_moves_a_digest_or_is_declared_to_change_no_number(
    own_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(CONFIG)  # the families of config/exchanged
    assert {names[-1] for names in SHIPPED} == {path.stem for path in CONFIG.glob("*.yaml")}
    moved, prints = dict[Any, bool | None](), Fingerprints()
    shipped = [[CONFIG / f"{name}.yaml" for name in names] for names in SHIPPED]
    for paths in [[TINY], [TINY, TINY.with_name("families.yaml")], [own_config], *shipped]:
        values: dict[str, Any] = {}
        for path in paths:
            update_config(values, yaml.safe_load(path.read_text()))
        if paths in shipped:  # the tiny config has a study, too; keys of its models cannot be changed alone
            values.pop("studies", None)
        assert list(change_each(values, moved, prints)) == [], paths
    refused = [leaf for leaf, is_moved in moved.items() if is_moved is None and not set(TIED).intersection(leaf[1:-1])]
    assert {leaf[-1] for leaf in refused} <= NEEDS_OTHERS
