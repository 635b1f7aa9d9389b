"""The whole config of a run: one source of the defaults, the checks and the schema."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pipeline.base.errors import InputError
from pipeline.base.parsing import parse_settings, shortened
from pipeline.base.yaml_files import read_yaml
from pipeline.families import AnyAutoencoder, AnyGenerator, generator_family
from pipeline.settings.autoencoder import Losses
from pipeline.settings.dataset import Dataset
from pipeline.settings.diffusion import Diffusion, Samples
from pipeline.settings.evaluation import AutoencoderRows, Evaluation, Figures, GenerationRows, Tables
from pipeline.settings.fields import DISTINCT_NAMES, REFERENCES, Name, Section, check_parts
from pipeline.settings.generator import GeneratorSettings
from pipeline.settings.study import Study
from pipeline.settings.weights import check_snapshot

FOLDERS = ("store", "work", "logs", "records", "networks", "fingerprints", "identities", "evaluations", "benchmarks")
"""What else lies in results: no run may have such a name."""
MODELS = ("autoencoders", "diffusions", "generators", "samples")
"""The sections of models and samples: their entries have a `seed` and may say `like`."""
TRAINED = ("autoencoders", "diffusions", "generators")
"""The sections of models that are trained: their entries may say `snapshot_of`, and so what they are like."""
BASES = ("like", "snapshot_of")
LONGEST_CHAIN = 100  # of `like`


class Config(Section):
    """A run: datasets, models on them, samples of those, and which rows the tables have.

    Entries of `autoencoders`, `diffusions`, `generators` and `samples` may say `like: NAME`: they take over all keys
    of that entry and change the ones they name. `snapshot_of: NAME` takes them over too.
    """

    run: Name = Field(description="The run's name: its results lie in results/RUN.")
    seed: int = Field(0, description="The root seed; every seed is a hash of it and of what it is for.")
    training_seeds: list[int] = Field(
        [0],
        min_length=1,
        description="Added to the seeds of all models and samples. Each further one makes those of the tables' rows"
        " again; a table's cell is then the mean ± the standard deviation over them.",
    )
    datasets: Annotated[dict[Name, Dataset], DISTINCT_NAMES] = Field(description="Image collections by name.")
    autoencoders: Annotated[dict[Name, AnyAutoencoder], DISTINCT_NAMES] = Field(description="Autoencoders by name.")
    diffusions: Annotated[dict[Name, Diffusion], DISTINCT_NAMES] = Field(
        default_factory=dict, description="Diffusion models on the codes of autoencoders, by name."
    )
    generators: Annotated[dict[Name, AnyGenerator], DISTINCT_NAMES] = Field(
        default_factory=dict, description="Models of other families that generate, by name."
    )
    samples: Annotated[dict[Name, Samples], DISTINCT_NAMES] = Field(
        default_factory=dict, description="Sample sets by name."
    )
    studies: Annotated[dict[Name, Study], DISTINCT_NAMES] = Field(
        default_factory=dict, description="Searches for training settings, by name."
    )
    evaluation: Evaluation = Field(Evaluation(), description="How sample sets are scored.")
    tables: Tables | None = Field(None, description="The rows; by default everything in Tables 2, 3 and 5.")
    figures: Figures = Field(Figures(), description="What the figures show.")

    @field_validator("run")
    @classmethod
    def _own_folder(cls, run: str) -> str:
        if run.lower() in FOLDERS:
            raise ValueError(f"another name: results/{run} is not free for a run's results")
        return run

    @field_validator("training_seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"each seed once, such as [0, 1, 2], not {seeds}")
        return seeds

    @model_validator(mode="after")
    def _references(self) -> "Config":
        for section in MODELS:
            for name, entry in getattr(self, section).items():
                for key in REFERENCES:
                    if (other := getattr(entry, key, None)) is not None:
                        _known(other, getattr(self, f"{key}s"), f"{section}.{name}.{key}", f"{key}s")
        for section in TRAINED:
            entries = getattr(self, section)
            for name, entry in entries.items():
                if entry.snapshot_of is not None:
                    with _told_of(f"{section}.{name}"):
                        check_snapshot(entry, _known(entry.snapshot_of, entries, "snapshot_of", section))
        for section in ("autoencoders", "diffusions"):
            _check_beginnings(getattr(self, section), section)
        for name, autoencoder in self.autoencoders.items():
            with _told_of(f"autoencoders.{name}"):
                autoencoder.check_resolution(self.datasets[autoencoder.dataset].resolution)
        for name, diffusion in self.diffusions.items():
            levels, height = len(diffusion.unet.multipliers), self.autoencoders[diffusion.autoencoder].code_size.height
            if height % 2 ** (levels - 1):
                raise ValueError(
                    f"diffusions.{name}.unet.multipliers: {levels} levels halve a code of {height}"
                    f" {levels - 1} times; at most {height.bit_length()} levels"
                )
        for name, samples in self.samples.items():
            with _told_of(f"samples.{name}"):
                check_parts("count in parts of evaluation.shard", samples.count, self.evaluation.shard)
        for name, generator in self.generators.items():
            with _told_of(f"generators.{name}"):
                self._check_generator(generator)
        for name, study in self.studies.items():
            with _told_of(f"studies.{name}"):
                self._check_study(study)
        self._check_tables()
        return self

    def _check_study(self, study: Study) -> None:
        """Its autoencoders have one dataset and one loss, which can be measured image by image."""
        models = {name: _known(name, self.autoencoders, "autoencoders", "autoencoders") for name in study.autoencoders}
        shared = {
            "dataset": lambda model: model.dataset,
            "training.batch": lambda model: model.training.batch,
            "losses": lambda model: _compared_loss(model.losses),
        }
        for key, of in shared.items():
            first, *others = models
            for other in others:
                if of(models[other]) != of(models[first]):
                    raise ValueError(f"autoencoders: of one {key}; {other} has another than {first}")
        for name, model in models.items():
            losses = model.losses
            if losses.l1_weight or losses.adversarial.kind != "none" or losses.perceptual.network == "vgg16":
                raise ValueError(
                    f"autoencoders: {name}: losses of L2 and LPIPS, which are measured: l1_weight 0, adversarial"
                    " {kind: none}, perceptual.network lpips_alex, lpips_vgg or none"
                )

    def _check_generator(self, generator: GeneratorSettings) -> None:
        """It is trained on what its family reads, and makes something of a possible shape."""
        if generator_family(generator.family).reads == "codes":
            if generator.autoencoder is None:
                raise ValueError(f"autoencoder: this key is missing; {generator.family} is trained on codes")
            height, width, channels = self.autoencoders[generator.autoencoder].code_size
            return generator.check_shape((channels, height, width))
        if generator.dataset is None:
            raise ValueError(f"dataset: this key is missing; {generator.family} is trained on images")
        images = self.datasets[generator.dataset]
        return generator.check_shape((images.channels, images.resolution, images.resolution))

    def _check_tables(self) -> None:
        tables = self.tables_or_default
        for key in type(tables).model_fields:
            rows = getattr(tables, key)
            if isinstance(rows, AutoencoderRows):
                self._check_samples_of_rows(rows, f"tables.{key}")
            elif isinstance(rows, GenerationRows):
                for row in rows.rows:
                    self._counted(row, rows.count, f"tables.{key}", "rows")
            elif isinstance(rows, list):
                for row in rows:
                    _known(row, self.autoencoders, f"tables.{key}", "autoencoders")
        if bare := [row for row in tables.table_sizes if not _has_hash_tables(self.autoencoders[row])]:
            raise ValueError(f"tables.table_sizes: rows have hash tables, and {bare[0]} has none; leave it out")
        for key in ("dataset", "training.images"):
            found = {name: attrgetter(key)(self.autoencoders[name]) for name in tables.equal_budget}
            if len(set(found.values())) > 1:
                told = ", ".join(f"{name} {value}" for name, value in found.items())
                raise ValueError(f"tables.equal_budget: rows have one {key}, not {told}")
        datasets = {name: _known(name, self.autoencoders, "figures.rate_quality", "autoencoders").dataset
                    for name in self.figures.rate_quality}  # fmt: skip
        if len(set(datasets.values())) > 1:
            told = ", ".join(f"{name} {dataset}" for name, dataset in datasets.items())
            raise ValueError(f"figures.rate_quality: autoencoders have one dataset, not {told}")
        for name in [self.figures.autoencoder, *self.figures.compared]:
            if name is not None:
                _known(name, self.autoencoders, "figures", "autoencoders")
        if self.figures.samples is not None:
            _known(self.figures.samples, self.samples, "figures.samples", "samples")

    def _check_samples_of_rows(self, rows: AutoencoderRows, where: str) -> None:
        """Each sample set is of the codes of a row, and of no other set's."""
        found: dict[str, str] = {}
        for name in rows.autoencoders:
            _known(name, self.autoencoders, f"{where}.autoencoders", "autoencoders")
        for name in rows.samples:
            samples = self._counted(name, rows.count, where, "samples")
            model = self.autoencoder_of(samples)
            if model not in rows.autoencoders:
                of = f"codes of {model}" if model else "no codes"
                raise ValueError(f"{where}.samples: {name} is made from {of}, which is none of {where}.autoencoders")
            if (other := found.setdefault(model, name)) != name:
                raise ValueError(f"{where}.samples: {other} and {name} are both made from codes of {model}; name one")

    def _counted(self, name: str, count: int | None, where: str, key: str) -> Samples:
        """The sample set of this name, which has so many images."""
        samples: Samples = _known(name, self.samples, f"{where}.{key}", "samples")
        if count is not None and samples.count < count:
            raise ValueError(f"{where}.count: at most samples.{name}.count = {samples.count}, not {count}")
        return samples

    def with_training_seed(self, seed: int) -> "Config":
        """The same run with this added to the seeds of its models and samples; 0 changes nothing."""
        sections = {key: getattr(self, key) for key in MODELS}
        shifted = {
            key: {name: entry.model_copy(update={"seed": entry.seed + seed}) for name, entry in entries.items()}
            for key, entries in sections.items()
        }
        return self.model_copy(update=shifted)

    @property
    def tables_or_default(self) -> Tables:
        """The tables' rows; without any in the config, everything."""
        if self.tables is not None:
            return self.tables
        models, samples = list(self.autoencoders), GenerationRows(rows=list(self.samples))
        return Tables(table2=models, table3=models, table5=samples)

    def autoencoder_of(self, entry: Section) -> str | None:
        """The name of the autoencoder whose codes a sample set or a model is made from; None where it is of pixels."""
        for key in REFERENCES:
            if key != "dataset" and (name := getattr(entry, key, None)) is not None:
                return name if key == "autoencoder" else self.autoencoder_of(getattr(self, f"{key}s")[name])
        return None

    def dataset_of(self, entry: Section) -> str:
        """The name of the dataset that a sample set imitates, or that a model is of."""
        for key in REFERENCES:  # the dataset comes first
            if (name := getattr(entry, key, None)) is not None:
                return name if key == "dataset" else self.dataset_of(getattr(self, f"{key}s")[name])
        raise ValueError(f"{entry!r} is of no dataset")


def _has_hash_tables(autoencoder: AnyAutoencoder) -> bool:
    return getattr(autoencoder, "features", None) == "hash_tables"


def _compared_loss(losses: Losses) -> tuple[Any, ...]:
    """What families are compared by; a family's own terms, such as a commitment, come on top in its training."""
    return losses.l2_weight, losses.perceptual_weight, losses.perceptual.model_dump()


@contextmanager
def _told_of(entry: str) -> Iterator[None]:
    """ValueErrors within begin with the entry's key."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{entry}.{error}") from None


def _check_beginnings(entries: dict[str, Any], section: str) -> None:
    """What entries begin with is there, and none begins with what begins with it."""
    for name, entry in entries.items():
        chain = [name]
        while entry.initial_weights is not None and (begun := entry.initial_weights.entry) is not None:
            entry = _known(begun, entries, f"{section}.{chain[-1]}.initial_weights", section)
            if begun in chain:
                raise ValueError(f"{section}.{name}.initial_weights: a circle: {' from '.join([*chain, begun])}")
            chain.append(begun)


def _known(name: str, section: dict[str, Any], where: str, what: str) -> Any:
    if name not in section:
        raise ValueError(f"{where}: {name!r} is not under `{what}`, which has {', '.join(section) or 'nothing'}")
    return section[name]


def read_config(path: Path) -> Config:
    """The config in a YAML file."""
    values = read_yaml(path, str(path))
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: a config is a mapping with `run`, `datasets`, `autoencoders`, not {shortened(values)}"
        )
    return load_config(values, str(path))


def load_config(values: dict[str, Any], where: str = "config") -> Config:
    """Validate a config as YAML gives it; a wrong one raises InputError with one line naming the key."""
    written, values = values, copy.deepcopy(values)
    for section in MODELS:
        if isinstance(values.get(section), dict):
            values[section] = _resolve_likes(values[section], section, where)
    return parse_settings(Config, values, where, lambda key: _origin(written, key))


def _origin(values: dict[str, Any], key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same key of the entry that this key's entry is like; the key itself where there is none."""
    match key:
        case (section, name, *rest) if section in MODELS:
            entry: Any = values.get(section, {}).get(name) if isinstance(values.get(section), dict) else None
            named = _named_base(entry)
            return key if named is None else (section, entry[named], *rest)
        case _:
            return key


def _named_base(entry: Any) -> str | None:
    """The key that names the entry which this one takes over: `like`, or else `snapshot_of`; None where it has none."""
    given = entry if isinstance(entry, dict) else {}
    return next((key for key in BASES if key in given and (key == "like" or given[key] is not None)), None)


def _resolve_likes(entries: dict[str, Any], section: str, where: str) -> dict[str, Any]:
    def chain(name: str) -> list[str]:
        """The entry, what it is like, and so on."""
        names = [name]
        while (key := _named_base(entries[names[-1]])) is not None:
            base = entries[names[-1]][key]
            if not isinstance(base, str) or base not in entries or base in names:
                where_named = f"{where}: {section}.{names[-1]}.{key}"
                raise InputError(f"{where_named}: the name of another entry of `{section}`, not {shortened(base)}")
            if len(names) > LONGEST_CHAIN:
                raise InputError(f"{where}: {section}.{name}.like: over {LONGEST_CHAIN} entries that are like the next")
            names.append(base)
        return names

    def own(entry: Any) -> Any:
        return {key: value for key, value in entry.items() if key != "like"} if isinstance(entry, dict) else entry

    return {name: reduce(_merge, [own(entries[one]) for one in reversed(chain(name))]) for name in entries}


def _merge(base: Any, change: Any) -> Any:
    """`change` laid over `base`, key by key."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: _merge(base.get(key), value) for key, value in change.items()}
    return copy.deepcopy(change)
