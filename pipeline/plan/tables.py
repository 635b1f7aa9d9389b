"""The tables of a run: which summaries each is made of, of every training seed."""

from collections.abc import Callable
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import yaml

from pipeline.base.places import CONFIG
from pipeline.config.diffusion import DiffusionSamples
from pipeline.config.evaluation import GenerationRows
from pipeline.config.root import Config, load_config
from pipeline.families import autoencoder_family
from pipeline.models.metric_networks.spaces import DISTANCE_NETWORKS
from pipeline.models.traits import printed_code_size
from pipeline.plan.build import is_complete
from pipeline.plan.evaluations import EvaluationJobs, prepared
from pipeline.plan.jobs import Job, closure

RECONSTRUCTION_TABLES = ("table2", "table4", "table7", "table8", "table_sizes", "equal_budget")
COUNT_TABLES = ("table3", "table7", "table8", "equal_budget")
CODE_TABLES = ("section34", "table_sizes")
SPEED_TABLES = ("table3", "equal_budget")
GENERATION_TABLES = ("table5", "table6", "text_10k", "noise_generation")
TABLES = ("table2", "table3", "table4", "table5", "table6", "table7", "table8", "text_10k")
BEYOND_TABLES = ("section34", "noise_generation", "table_sizes", "equal_budget")  # made where they have rows
WITHOUT_SEED = ("complexity", "measure_decoding")
TRAININGS = ("train_autoencoder", "train_diffusion", "train_generator", "import_weights")
PAPER = CONFIG / "paper.yaml"


def rows_of(wanted: list[str] | GenerationRows) -> list[str]:
    """The rows of a table as the config has them."""
    return wanted.rows if isinstance(wanted, GenerationRows) else wanted


def _row(config: Config, name: str, dataset: str) -> dict[str, Any]:
    """A table's row: its name, and what its images are."""
    images = config.datasets[dataset]
    return {"name": name, "dataset": dataset, "resolution": images.resolution, "prepared": prepared(images)}


class Summary(NamedTuple):
    """A summary file of a job, the row that it is of, and the training seed where that is a further one."""

    row: str
    job: Job
    file: str = "summary.json"
    seed: int | None = None

    @property
    def name(self) -> str:
        """As the table stage is told it."""
        return self.row if self.seed is None else f"{self.row}#{self.seed}"


class TableJobs(EvaluationJobs):
    """The jobs behind a run's tables; where the config has several training seeds, of all of them."""

    def __init__(
        self,
        config: Config,
        accepted: tuple[tuple[str, str], ...] | None = None,
        at_hand: Callable[[Job], bool] = is_complete,
    ):
        super().__init__(config.with_training_seed(config.training_seeds[0]), accepted, at_hand)
        self.written = config  # as the user has it; `self.config` has the first training seed added

    @cached_property
    def replicas(self) -> dict[int, EvaluationJobs]:
        """The same jobs with each further training seed."""
        first, *further = self.config.training_seeds
        return {
            seed: EvaluationJobs(
                self.config.with_training_seed(seed - first), self.accepted, self.at_hand, self.fingerprints
            )
            for seed in further
        }

    @property
    def every_seed(self) -> list[tuple[int | None, EvaluationJobs]]:
        """The jobs of the first training seed (None: it goes unnamed) and of the further ones."""
        return [(None, self), *self.replicas.items()]

    @cached_property
    def timed(self) -> tuple[str, ...]:
        """The autoencoders that decode in turns."""
        wanted = self.config.tables_or_default
        return tuple(dict.fromkeys([*wanted.decoding, *wanted.equal_budget]))

    @cached_property
    def tables(self) -> dict[str, Job]:
        """The job of each table, by the table's name."""
        wanted = self.config.tables_or_default
        beyond = [table for table in BEYOND_TABLES if rows_of(getattr(wanted, table))]
        tables = {table: self._table(table) for table in (*TABLES, *beyond)}
        return tables | ({"claims": self._claims(tables)} if wanted.claims else {})

    def _claims(self, tables: dict[str, Job]) -> Job:
        """The claims of the paper's text, recomputed from the other tables."""
        settings: dict[str, Any] = {"table": "claims", "missing": []}
        return self._job(
            "make_table",
            "claims",
            settings,
            settings | {"names": list(tables), "claims": self.claimed},
            inputs={"summaries": [job.path("table.csv") for job in tables.values()]},
            names=tuple(tables),
            upstream=tuple(tables.values()),
        )

    def _table(self, table: str) -> Job:
        of_samples = table in GENERATION_TABLES
        rows, found, missing = self._generation_rows(table) if of_samples else self._model_rows(table)
        # What a training seed does not change comes once.
        summaries = list({(summary.row, summary.job.digest): summary for summary in reversed(found)}.values())[::-1]
        settings: dict[str, Any] = {
            "table": table,
            **rows,
            "missing": missing,
            "provenance": self._provenance(summaries),
        }
        if any(summary.job.stage not in WITHOUT_SEED for summary in summaries):
            settings["training_seeds"] = self.config.training_seeds
            settings["provenance"]["seed"] = self.config.seed
        names = tuple(summary.name for summary in summaries)
        return self._job(
            "make_table",
            table,
            settings,
            settings | {"names": names, "published": self.published},
            inputs={"summaries": [summary.job.path(summary.file) for summary in summaries]},
            names=names,
            upstream=tuple(summary.job for summary in summaries),
        )

    def _provenance(self, summaries: list[Summary]) -> dict[str, Any]:
        """The digests of code, data and trained models behind a table."""
        behind = closure(summary.job for summary in summaries)
        trained: dict[str, set[str]] = {}
        for summary in summaries:
            models = [job for job in closure([summary.job]) if job.stage in TRAININGS]
            trained.setdefault(summary.name, set()).update(f"{job.kind.section}/{job.name}" for job in models)
        sources = {job.label: job.numerical["source"] for job in behind if job.stage == "prepare_dataset"}
        return {
            "code": {job.stage: job.code for job in behind},
            "data": {name: sha256 if isinstance(sha256, str) else "absent" for name, sha256 in sources.items()},
            "weights": {name: sorted(folders) for name, folders in trained.items() if folders},
        }

    def _model_rows(self, table: str) -> tuple[dict[str, Any], list[Summary], list[str]]:
        """Rows that are autoencoders, their summaries, and notes on what is missing."""
        names: list[str] = getattr(self.config.tables_or_default, table)
        summaries: list[Summary] = []
        for seed, jobs in self.every_seed:
            if table in RECONSTRUCTION_TABLES:
                summaries += [Summary(name, jobs.reconstruction(name), seed=seed) for name in names]
            for space in jobs.distance_spaces(names) if table == "table2" else ():
                summaries += [Summary(name, jobs.reconstruction_distance(name, space), seed=seed) for name in names]
            if table in CODE_TABLES:
                summaries += [Summary(name, jobs.code_measurement(name), seed=seed) for name in names]
            if table == "equal_budget":
                trained = [(name, job) for name in names if (job := jobs.autoencoder(name)).is_training]
                summaries += [Summary(name, job, "autoencoder.history.csv", seed) for name, job in trained]
        if table in SPEED_TABLES:
            timed = [name for name in names if name in self.timed]
            summaries += [Summary(name, self.decoding(self.timed), "decoding.json") for name in timed]
        if table in COUNT_TABLES:
            summaries += [Summary(name, self._counts(self.config, name), "complexity.json") for name in names]
        rows = {"rows": [_row(self.config, name, self.config.autoencoders[name].dataset) for name in names]}
        if table in COUNT_TABLES and table in TABLES and self.paper is not None:
            # The counts of another dataset stand beside no published row, though they be the same.
            counted = {(summary.job.digest, self.config.autoencoders[summary.row].dataset) for summary in summaries}
            rows["counted"] = []
            for name in getattr(self.paper.tables_or_default, table):
                job, dataset = self._counts(self.paper, name), self.paper.autoencoders[name].dataset
                if (job.digest, dataset) not in counted:
                    counted.add((job.digest, dataset))
                    rows["counted"].append(_row(self.paper, f"paper: {name}", dataset))
                    summaries.append(Summary(f"paper: {name}", job, "complexity.json"))
        missing = self._missing_distances(names) if table == "table2" else []
        return rows, summaries, missing

    def _missing_distances(self, names: list[str]) -> list[str]:
        usable = set(self.distance_spaces(names))
        networks = [network for network in self.config.evaluation.networks if network in DISTANCE_NETWORKS]
        return [self.missing(network) for network in networks if not usable & set(self.spaces(network))]

    def _counts(self, config: Config, name: str) -> Job:
        model = config.autoencoders[name]
        dataset = config.datasets[model.dataset]
        return self.complexity(model, dataset.resolution, dataset.channels)

    def _generation_rows(self, table: str) -> tuple[dict[str, Any], list[Summary], list[str]]:
        """Rows that are sample sets, their summaries, and notes on what is missing."""
        wanted: GenerationRows = getattr(self.config.tables_or_default, table)
        summaries: list[Summary] = []
        missing: dict[str, str] = {}
        for seed, jobs in self.every_seed:
            for network in self.config.evaluation.networks:
                if not jobs.usable(network, wanted.rows, wanted.count):
                    missing[network] = self.missing(network)
                    continue
                for name, space in product(wanted.rows, self.spaces(network)):
                    count = wanted.count or self.config.samples[name].count
                    summaries.append(Summary(name, jobs.evaluation(name, space, count), seed=seed))
        rows = [self._sample_row(name) for name in wanted.rows]
        if table == "noise_generation":
            rows = [row | {"label": self._noise_label(row["name"])} for row in rows]
        return {"rows": rows}, summaries, list(missing.values())

    def _sample_row(self, name: str) -> dict[str, Any]:
        row = _row(self.config, name, self.config.dataset_of(self.config.samples[name]))
        if (model := self.model_of(name)) is not None:
            row["code_size"] = printed_code_size(self.config.autoencoders[model])
        if (label := self._sample_label(name)) is not None:
            row["label"] = label
        return row

    def _sample_label(self, name: str) -> str | None:
        """Says whose codes a latent diffusion model works on, where they are not BRIGHT's."""
        samples = self.config.samples[name]
        if not isinstance(samples, DiffusionSamples):
            return None
        family = self.config.autoencoders[self.config.diffusions[samples.diffusion].autoencoder].family
        return None if family == "bright" else f"{self._method(samples)} (codes of {autoencoder_family(family).method})"

    def _noise_label(self, name: str) -> str:
        """Says whether the codes behind a sample set were trained with noise."""
        model = self.model_of(name)
        settings = self.config.autoencoders[model] if model else None
        family = autoencoder_family(settings.family).method if settings else name
        noise = getattr(settings, "code_noise", None)
        return f"{family} (LDM, {'without' if noise in (None, 'none') else 'with'} noise)" if settings else name

    def model_of(self, samples: str) -> str | None:
        """The autoencoder behind a sample set; real images, and what is made of pixels, have none."""
        settings: Any = self.config.samples[samples]
        match settings.kind:
            case "diffusion":
                return self.config.diffusions[settings.diffusion].autoencoder
            case "gaussian_codes":
                return settings.autoencoder
            case "generator":
                return self.config.generators[settings.generator].autoencoder
            case _:
                return None

    @cached_property
    def paper(self) -> Config | None:
        """The paper's own architectures: their counts stand beside the published ones in every run."""
        if not PAPER.exists():
            return None
        return load_config(yaml.safe_load(PAPER.read_text(encoding="utf-8")), str(PAPER))
