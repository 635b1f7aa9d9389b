"""The whole config of a run: the single source of defaults, checks and schema."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import parse_settings, shortened
from bright_pipeline.base.paths import DEMO, PACKAGED_CONFIGS
from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.families import AnyAutoencoder, AnyGenerator, generator_family
from bright_pipeline.settings.autoencoder import Perceptual
from bright_pipeline.settings.dataset import Dataset
from bright_pipeline.settings.diffusion import Diffusion, Samples
from bright_pipeline.settings.evaluation import Evaluation, Figures
from bright_pipeline.settings.fields import Entries, Name, Section, check_jobs, setting
from bright_pipeline.settings.study import Study
from bright_pipeline.settings.tables import AutoencoderRows, GenerationRows, Tables
from bright_pipeline.settings.weights import check_snapshot

FOLDERS = ("store", "work", "logs", "records", "networks", "fingerprints", "identities", "evaluations", "benchmarks")
"""Other folders in results: names that a run must not have."""
MODELS = ("autoencoders", "diffusions", "generators", "samples")  # entries have a `seed` and may contain `like`
TRAINED = ("autoencoders", "diffusions", "generators")  # entries are trained and may contain `snapshot_of`
BASES = ("like", "snapshot_of")
LONGEST_CHAIN = 100  # of `like`


class Config(Section):
    """A run: datasets, models trained on them, samples of the models, and the rows of the tables.

    An entry of `autoencoders`, `diffusions`, `generators` or `samples` may contain `like: NAME`: it inherits all keys
    of that entry and overrides the keys that it contains itself. `snapshot_of: NAME` inherits them too.
    """

    run: Name = Field(description="The run's name. Its results are in results/RUN.")
    seed: int = setting(0, "The root seed. Every seed is a hash of the root seed and of its purpose.")
    training_seeds: list[int] = setting(
        [0],
        "Added to the seeds of all models and samples. With several seeds the rows of the tables are"
        " computed once for each, and a cell is the mean ± the standard deviation over them.",
        min_length=1,
        max_length=100,
    )
    datasets: Entries[Dataset] = Field(description="Image collections by name.")
    autoencoders: Entries[AnyAutoencoder] = Field(description="Autoencoders by name.")
    diffusions: Entries[Diffusion] = setting({}, "Diffusion models on the codes of autoencoders, by name.")
    generators: Entries[AnyGenerator] = setting({}, "Generators of other model families, by name.")
    samples: Entries[Samples] = setting({}, "Sample sets by name.")
    studies: Entries[Study] = setting({}, "Searches for training settings, by name.")
    evaluation: Evaluation = setting(Evaluation(), "How sample sets are evaluated.")
    tables: Tables | None = setting(None, "The rows of the tables; by default all models in Tables 2, 3 and 5.")
    figures: Figures = setting(Figures(), "What the figures show.")

    def _check(self) -> None:
        """Checks across entries. Later checks rely on earlier ones: references are resolved first."""
        if self.run.lower() in FOLDERS:
            raise ValueError(f"run: results/{self.run} is reserved; choose another name")
        if len(set(self.training_seeds)) < len(self.training_seeds):
            raise ValueError(f"training_seeds: must be distinct, such as [0, 1, 2], not {self.training_seeds}")
        for section in MODELS:
            for name, entry in getattr(self, section).items():
                for key in entry.REFERENCES:
                    if (other := getattr(entry, key, None)) is not None:
                        self._find(f"{key}s", other, f"{section}.{name}.{key}")
        for section in TRAINED:
            for name, entry in getattr(self, section).items():
                if entry.snapshot_of is not None:
                    with _prefixed(f"{section}.{name}"):
                        check_snapshot(entry, self._find(section, entry.snapshot_of, "snapshot_of"))
                chain = [name]  # of initial weights, without cycles
                while (initial := getattr(entry, "initial_weights", None)) is not None and initial.entry is not None:
                    entry = self._find(section, initial.entry, f"{section}.{chain[-1]}.initial_weights")
                    if initial.entry in chain:
                        cycle = " from ".join([*chain, initial.entry])
                        raise ValueError(f"{section}.{name}.initial_weights: a cycle: {cycle}")
                    chain.append(initial.entry)
        for name, autoencoder in self.autoencoders.items():
            with _prefixed(f"autoencoders.{name}"):
                autoencoder.check_resolution(self.datasets[autoencoder.dataset].resolution)
                if autoencoder.decoder_stage is not None:
                    self._check_decoder_stage(autoencoder)
        for name, samples in self.samples.items():
            with _prefixed(f"samples.{name}"):
                check_jobs("count, with evaluation.shard", samples.count, self.evaluation.shard)
                if (decoder := getattr(samples, "decoder", None)) is not None:
                    self._find("autoencoders", decoder, "decoder")
                    codes = self.autoencoder_of(samples.model_copy(update={"decoder": None})) or ""
                    if self.encoder_of(decoder) != (encoder := self.encoder_of(codes)):
                        wanted = f"the encoder of {codes}, whose codes it decodes: {encoder} or a decoder stage of it"
                        raise ValueError(f"decoder: must have {wanted}, not {decoder}")
        for name, diffusion in self.diffusions.items():
            levels, height = len(diffusion.unet.multipliers), self.autoencoders[diffusion.autoencoder].code_size.height
            if height % 2 ** (levels - 1):
                halved = f"{levels} levels halve a code of size {height} {levels - 1} times"
                most = f"use at most {height.bit_length()} levels"
                raise ValueError(f"diffusions.{name}.unet.multipliers: {halved}; {most}")
        for name, generator in self.generators.items():
            with _prefixed(f"generators.{name}"):
                reads = generator_family(generator.family).reads
                key = "autoencoder" if reads == "codes" else "dataset"
                if (data := getattr(generator, key)) is None:
                    raise ValueError(f"{key}: this key is missing; {generator.family} is trained on {reads}")
                if reads == "codes":
                    height, width, channels = self.autoencoders[data].code_size
                    generator.check_shape((channels, height, width))
                else:
                    images = self.datasets[data]
                    generator.check_shape((images.channels, images.resolution, images.resolution))
        for name, study in self.studies.items():
            with _prefixed(f"studies.{name}"):
                self._check_study(study)
        self._check_tables()
        figures = self.figures
        self._check_same(figures.rate_quality, ["dataset"], "figures.rate_quality", "autoencoders")
        for name in filter(None, [figures.autoencoder, *figures.compared]):
            self._find("autoencoders", name, "figures")
        if figures.samples is not None:
            self._find("samples", figures.samples, "figures.samples")
        for name in figures.sample_quality:
            if (kind := self._find("samples", name, "figures.sample_quality").kind) != "diffusion":
                raise ValueError(f"figures.sample_quality: {name} has kind {kind}, not diffusion")
        self._check_scored(figures.sample_quality, None, "figures", "sample_quality")

    def _find(self, section: str, name: str, where: str) -> Any:
        """The entry of this name; ValueError at the key `where` if the section has none."""
        if not name:
            raise ValueError(f"{where}: this key is missing")
        entries = getattr(self, section)
        if name not in entries:
            names = ", ".join(entries) or "no entries"
            raise ValueError(f"{where}: {name!r} is not under `{section}`, which has {names}")
        return entries[name]

    def _check_decoder_stage(self, stage: Any) -> None:
        """Require the architecture and the images of the entry whose encoder a decoder stage keeps."""
        start = stage.initial_weights.entry
        for key in ("dataset", *stage.architecture()):
            if key != "initial_weights" and getattr(stage, key) != getattr(self.autoencoders[start], key):
                raise ValueError(f"{key}: must be as in {start}, whose encoder the decoder stage keeps")

    def _check_study(self, study: Study) -> None:
        """Require autoencoders of one dataset, batch and loss, and a loss that can be measured image by image."""
        for name in study.autoencoders:
            losses = self._find("autoencoders", name, "autoencoders").losses
            if losses.l1_weight or losses.adversarial.kind != "none" or losses.perceptual.network == "vgg16":
                wanted = "l1_weight 0, adversarial {kind: none}, perceptual.network lpips_alex, lpips_vgg or none"
                raise ValueError(f"autoencoders: {name}: its losses must be L2 and LPIPS, which are measured: {wanted}")
        # A family's own terms, such as a commitment loss, may differ: they are not measured.
        measured = ("l2_weight", "perceptual_weight", *(f"perceptual.{key}" for key in Perceptual.model_fields))
        keys = ["dataset", "training.batch", *(f"losses.{key}" for key in measured)]
        self._check_same(study.autoencoders, keys, "autoencoders", "all")

    def _check_tables(self) -> None:
        """Require rows that exist, and rows that can be compared in one table."""
        tables = self.tables_or_default
        for key in type(tables).model_fields:
            rows = getattr(tables, key)
            if isinstance(rows, AutoencoderRows):
                self._check_samples_of_rows(rows, f"tables.{key}")
            elif isinstance(rows, GenerationRows):
                self._check_scored(rows.rows, rows.count, f"tables.{key}", "rows")
            elif isinstance(rows, list):
                for row in rows:
                    self._find("autoencoders", row, f"tables.{key}")
        for row in tables.table_sizes:
            if getattr(self.autoencoders[row], "features", None) != "hash_tables":
                raise ValueError(f"tables.table_sizes: its rows need hash tables, and {row} has none; leave it out")
        self._check_same(tables.equal_budget, ["dataset", "training.images"], "tables.equal_budget", "rows")

    def _check_scored(self, names: list[str], count: int | None, where: str, list_key: str) -> None:
        """Require enough images in each sample set of a table, and equally many where they imitate one dataset."""
        fewest, first = self.evaluation.fewest_images, dict[str, tuple[str, int]]()
        for name in names:
            samples = self._find("samples", name, f"{where}.{list_key}")
            key, scored = f"samples.{name}.count", samples.count
            if count is not None:
                if scored < count:
                    raise ValueError(f"{where}.count: must be at most {key} = {scored}, not {count}")
                key, scored = f"{where}.count", count
            if scored < fewest:
                raise ValueError(f"{key}: must be at least {fewest} for the metrics of `networks`, not {scored}")
            other, expected = first.setdefault(self.dataset_of(samples), (name, scored))
            if scored != expected:
                problem = f"{other} has {expected} images and {name} {scored}"
                rule = "sample sets of one dataset must have the same number of images"
                raise ValueError(f"{where}: {problem}: {rule}, see {where}.count")

    def _check_same(self, names: list[str], keys: list[str], where: str, noun: str) -> None:
        """Require autoencoders that exist, with one value of each key."""
        models = {name: self._find("autoencoders", name, where) for name in names}
        for key in keys:
            values = {name: attrgetter(key)(model) for name, model in models.items()}
            if len(set(values.values())) > 1:
                listed = ", ".join(f"{name} {value}" for name, value in values.items())
                raise ValueError(f"{where}: {noun} must have one {key}, not {listed}")

    def _check_samples_of_rows(self, rows: AutoencoderRows, where: str) -> None:
        """Require the codes of each sample set to be those of a row, and at most one sample set per row."""
        by_model: dict[str, str] = {}
        for name in rows.autoencoders:
            self._find("autoencoders", name, f"{where}.autoencoders")
        for name in rows.samples:
            model = self.autoencoder_of(self._find("samples", name, f"{where}.samples"))
            if model not in rows.autoencoders:
                codes = f"codes of {model}" if model else "no codes"
                raise ValueError(f"{where}.samples: {name} is made from {codes}, which is not in {where}.autoencoders")
            if (other := by_model.setdefault(model, name)) != name:
                raise ValueError(f"{where}.samples: {other} and {name} are both made from codes of {model}; keep one")
        self._check_scored(rows.samples, rows.count, where, "samples")

    def with_training_seed(self, seed: int) -> "Config":
        """The same run with `seed` added to the seeds of its models and samples; 0 changes nothing."""
        shifted: dict[str, Any] = {}
        for section in MODELS:
            entries = getattr(self, section).items()
            shifted[section] = {name: entry.model_copy(update={"seed": entry.seed + seed}) for name, entry in entries}
        return self.model_copy(update=shifted)

    @property
    def tables_or_default(self) -> Tables:
        """The rows of the tables; if the config has none, all models and samples."""
        if self.tables is not None:
            return self.tables
        models, samples = list(self.autoencoders), GenerationRows(rows=list(self.samples))
        return Tables(table2=models, table3=models, table5=samples)

    def autoencoder_of(self, entry: Section) -> str | None:
        """The name of the autoencoder whose codes a model or a sample set uses, or None if it uses no codes.

        For a sample set with a `decoder`, it is the decoder: both autoencoders have the same encoder.
        """
        if isinstance(decoder := getattr(entry, "decoder", None), str):
            return decoder
        for key in entry.REFERENCES:
            if key != "dataset" and (name := getattr(entry, key, None)) is not None:
                return name if key == "autoencoder" else self.autoencoder_of(getattr(self, f"{key}s")[name])
        return None

    def encoder_of(self, name: str) -> str:
        """The entry whose encoder and codes an autoencoder has: itself, or the entry where its decoder stage starts."""
        entry = self.autoencoders[name]
        start = entry.initial_weights.entry if entry.decoder_stage and entry.initial_weights else None
        return name if start is None else self.encoder_of(start)

    def diffusions_on(self, name: str) -> list[str]:
        """The diffusion models on an autoencoder's codes; a decoder stage has the codes of the entry it starts from."""
        codes, models = self.encoder_of(name), self.diffusions.items()
        return [key for key, model in models if model.autoencoder and self.encoder_of(model.autoencoder) == codes]

    def dataset_of(self, entry: Section) -> str:
        """The name of the dataset that a model is trained on or a sample set imitates."""
        for key in entry.REFERENCES:  # the dataset comes first
            if (name := getattr(entry, key, None)) is not None:
                return name if key == "dataset" else self.dataset_of(getattr(self, f"{key}s")[name])
        raise ValueError(f"{entry!r} refers to no dataset")


@contextmanager
def _prefixed(entry: str) -> Iterator[None]:
    """Prefix the messages of ValueErrors with the entry's key."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{entry}.{error}") from None


def read_config(path: Path) -> Config:
    """The config in a YAML file; config/demo.yaml is in the package, too."""
    values = read_yaml(PACKAGED_CONFIGS / DEMO.name if path == DEMO and not path.exists() else path, str(path))
    if not isinstance(values, dict):
        wanted = "a config is a mapping with `run`, `datasets`, `autoencoders`"
        raise InputError(f"{path}: {wanted}, not {shortened(values)}")
    return load_config(values, str(path))


def load_config(values: dict[str, Any], where: str = "config") -> Config:
    """Validate the values of a YAML file; InputError with one line that names each wrong key."""
    merged = copy.deepcopy(values)
    for section in MODELS:
        if isinstance(merged.get(section), dict):
            merged[section] = _resolve_likes(merged[section], section, where)
    return parse_settings(Config, merged, where, lambda key: _origin(values, key))


def _origin(values: dict[str, Any], key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key that a key is inherited from, or the key itself: an inherited mistake is reported once."""
    match key:
        case (section, name, *rest) if section in MODELS and isinstance(values.get(section), dict):
            entry = values[section].get(name)
            if (base := _base_key(entry)) is not None:
                return (section, entry[base], *rest)
    return key


def _base_key(entry: Any) -> str | None:
    """The key that names the entry to inherit from: `like`, or else `snapshot_of`."""
    given = [key for key in BASES if key in entry] if isinstance(entry, dict) else []
    return next((key for key in given if key == "like" or entry[key] is not None), None)


def _resolve_likes(entries: dict[str, Any], section: str, where: str) -> dict[str, Any]:
    """The entries of a section with inherited keys."""

    def chain(name: str) -> list[str]:
        """The entry, its base, the base of that, and so on."""
        names = [name]
        while (key := _base_key(entries[names[-1]])) is not None:
            base = entries[names[-1]][key]
            if not isinstance(base, str) or base not in entries or base in names:
                wanted = f"the name of another entry of `{section}`"
                raise InputError(f"{where}: {section}.{names[-1]}.{key}: must be {wanted}, not {shortened(base)}")
            if len(names) > LONGEST_CHAIN:
                raise InputError(f"{where}: {section}.{name}.like: a chain of more than {LONGEST_CHAIN} entries")
            names.append(base)
        return names

    merged = {name: reduce(_merge, [entries[base] for base in reversed(chain(name))]) for name in entries}
    for name, entry in merged.items():
        if isinstance(entry, dict):
            entry.pop("like", None)
            if "label" not in entries[name]:  # it names one entry
                entry.pop("label", None)
    return merged


def _merge(base: Any, change: Any) -> Any:
    """`change` merged into `base`, key by key."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: _merge(base.get(key), value) for key, value in change.items()}
    return copy.deepcopy(change)
