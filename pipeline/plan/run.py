"""The whole plan of a run: tables and figures, the jobs behind them, and where people find the results."""

from functools import cached_property
from pathlib import Path

import yaml

from pipeline.base.atomic import atomic_path
from pipeline.base.errors import InputError
from pipeline.config.diffusion import DiffusionSamples, FilesSamples
from pipeline.config.root import Config, load_config
from pipeline.plan.dvc_yaml import write_dvc_files
from pipeline.plan.identities import record_identity
from pipeline.plan.jobs import Job, closure
from pipeline.plan.metrics import histories, write_metrics
from pipeline.plan.report import report_job
from pipeline.plan.tables import GENERATION_TABLES, TableJobs

TABLE_SUFFIXES = ("csv", "md", "tex")


def read_config(path: Path) -> Config:
    """The config in a YAML file."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping with `run`, `datasets`, `autoencoders`, not {type(values)}")
    return load_config(values, str(path))


class Plan(TableJobs):
    """The jobs of a run by stage and digest, its tables and figures, and where people find them."""

    @cached_property
    def figures(self) -> dict[str, Job]:
        """The job of each figure that this run has something to show for, by the figure's name."""
        chosen, tables = self.config.figures, self.config.tables_or_default
        model = chosen.autoencoder or next(iter(tables.table2), None)
        samples = chosen.samples or next(iter([*tables.table5.rows, *tables.table6.rows]), None)
        figures: dict[str, Job] = {}
        if model is not None:
            figures |= self._figures_of_model(model, samples)
        if compared := chosen.compared or tables.table2:
            figures["fig06"] = self._figure("fig06", self._pairs(compared))
            trained = [name for name in compared if self.autoencoder(name).is_training]
            if curves := [(f"history:{name}", self.autoencoder(name), "autoencoder.history.csv") for name in trained]:
                figures["curves_autoencoders"] = self._figure("curves", curves)
        if samples is not None:
            figures |= self._figures_of_samples(samples, ("fig10", "fig09", "fig11"))
        church = next(iter(tables.table6.rows), None)
        if church is not None and church != samples:
            figures |= self._figures_of_samples(church, ("fig12", "fig13"))
        shown = [samples, *tables.table5.rows, *tables.table6.rows]
        if curves := [
            (f"history:{name}", self.diffusion(name), "diffusion.history.csv")
            for name in self._diffusions(shown)
            if self.diffusion(name).is_training
        ]:
            figures["curves_diffusion"] = self._figure("curves", curves)
        for figure, rows in (("fig07", tables.table6.rows), ("fig08", tables.table5.rows)):
            if rows:
                figures[figure] = self._figure(figure, self._side_by_side(rows))
        if (other := next(filter(self._is_other_ldm, tables.table6.rows), None)) is not None:
            figures["fig14"] = self._figure("fig14", self._first_shard(other))
        figures |= self._figures_of_codes()
        return dict(sorted(figures.items()))

    def _figures_of_model(self, model: str, samples: str | None) -> dict[str, Job]:
        """Figure 1; for BRIGHT, whose codes are keys of hash tables, also 5b and those beyond the paper."""
        figures: dict[str, Job] = {}
        if self.config.autoencoders[model].family == "bright":
            explored = self.exploration(model)
            figures["fig05b"] = self._figure("fig05b", [("hits", self.codes(model), "hits.npz")])
            for name in ("interpolation", "resolutions", "groups"):
                inputs = [("images", explored, f"{name}.zip"), ("columns", explored, "columns.json")]
                figures[name] = self._figure(name, inputs)
        if samples is not None:
            inputs = [*self._pairs([model], labelled=False), *self._first_shard(samples)]
            figures["fig01"] = self._figure("fig01", inputs)
        return figures

    def _figures_of_codes(self) -> dict[str, Job]:
        """What section 3.4 says of codes, and section 5 of bytes, for the rows of those tables."""
        tables = self.config.tables_or_default
        figures: dict[str, Job] = {}
        if tables.section34:
            inputs = [(f"codes:{name}", self.code_measurement(name), "summary.json") for name in tables.section34]
            figures |= {name: self._figure(name, inputs) for name in ("noise_robustness", "code_range")}
        if tables.table_sizes:
            inputs = [
                (f"{what}:{name}", job(name), "summary.json")
                for name in tables.table_sizes
                for what, job in (("codes", self.code_measurement), ("reconstruction", self.reconstruction))
            ]
            figures["table_size"] = self._figure("table_size", inputs)
        return figures

    def _is_other_ldm(self, name: str) -> bool:
        """Whether a sample set is of a latent diffusion model on codes that are not BRIGHT's (Figure 14)."""
        model, samples = self.model_of(name), self.config.samples[name]
        if isinstance(samples, FilesSamples):
            return samples.method.startswith("LDM")
        return samples.kind == "diffusion" and model is not None and self.config.autoencoders[model].family != "bright"

    def _figures_of_samples(self, samples: str, names: tuple[str, ...]) -> dict[str, Job]:
        """A sheet of uncurated samples, and their nearest training images."""
        sheet, *neighbours = names
        found = self.neighbours(samples)
        data = self.dataset(self.config.dataset_of(self.config.samples[samples]))
        inputs = [("neighbours", found, "neighbours.csv"), *self._first_shard(samples), ("train", data, "train.zip")]
        figures = {name: self._figure(name, inputs) for name in neighbours}
        return figures | {sheet: self._figure(sheet, self._first_shard(samples))}

    def _diffusions(self, samples: list[str | None]) -> list[str]:
        """The diffusion models behind these sample sets, each once."""
        sets = [self.config.samples[name] for name in samples if name is not None]
        return list(dict.fromkeys(one.diffusion for one in sets if isinstance(one, DiffusionSamples)))

    def _side_by_side(self, rows: list[str]) -> list[tuple[str, Job, str]]:
        """The first shard of each sample set; sets that imitate another dataset than the first's stay out."""
        first = self.config.dataset_of(self.config.samples[rows[0]])
        same = [name for name in rows if self.config.dataset_of(self.config.samples[name]) == first]
        return [(f"samples:{name}", self.samples(name), self.samples(name).files[0]) for name in same]

    @cached_property
    def headline(self) -> list[str]:
        """Results of the first autoencoder of Table 2, of Table 5 and of the nearest neighbours."""
        jobs = [self.reconstruction(name) for name in self.config.tables_or_default.table2[:1]]
        jobs += [job for name, job in (*self.tables.items(), *self.figures.items()) if name in ("table5", "fig09")]
        return [output for job in jobs for output in job.outputs]

    def _pairs(self, models: list[str], labelled: bool = True) -> list[tuple[str, Job, str]]:
        """Validation images and their reconstructions; models on another dataset than the first's stay out."""
        dataset = self.config.autoencoders[models[0]].dataset
        same = [name for name in models if self.config.autoencoders[name].dataset == dataset]
        reconstructions = [
            (
                f"reconstructions:{name}" if labelled else "reconstructions",
                self.reconstruction(name),
                "reconstructions.zip",
            )
            for name in same
        ]
        return [("validation", self.dataset(dataset), "validation.zip"), *reconstructions]

    def _first_shard(self, samples: str) -> list[tuple[str, Job, str]]:
        job = self.samples(samples)
        return [("samples", job, job.files[0])]

    def _figure(self, figure: str, inputs: list[tuple[str, Job, str]]) -> Job:
        settings = {"figure": figure, "title": self.config.run}
        names = tuple(name for name, _, _ in inputs)
        return self._job(
            "make_figure",
            figure,
            settings,
            settings | {"names": names},
            inputs={"data": [job.path(file) for _, job, file in inputs]},
            names=names,
            upstream=tuple(job for _, job, _ in inputs),
        )

    @property
    def targets(self) -> list[Job]:
        """What a whole run makes: tables, figures, the page, and sample sets, also while no network scores them."""
        return [*self.tables.values(), *self.figures.values(), *self.sample_sets, self.report]

    @cached_property
    def report(self) -> Job:
        """The job of the run's page."""
        return report_job(self)

    @cached_property
    def sample_sets(self) -> list[Job]:
        """The sample sets of all rows, of every training seed."""
        tables = [getattr(self.config.tables_or_default, table) for table in GENERATION_TABLES]
        names = dict.fromkeys(name for table in tables for name in table.rows)
        return [jobs.samples(name) for _, jobs in self.every_seed for name in names]

    @cached_property
    def jobs(self) -> dict[tuple[str, str], Job]:
        """All jobs that the targets need, by (stage, digest)."""
        return {(job.stage, job.digest): job for job in closure(self.targets)}

    def job(self, stage: str, digest: str) -> Job:
        """The job whose folder ends with this digest; InputError if this config has none."""
        try:
            return self.jobs[stage, digest]
        except KeyError:
            raise InputError(
                f"{stage}: digest {digest} is of no job of this config; its results belong to another config or"
                " to older code (`bright prune --help` tells how to remove those)"
            ) from None

    @cached_property
    def view(self) -> dict[str, str]:
        """Where people find the results: path in results/RUN -> path in the store."""
        folder = Path("results") / self.config.run
        paths = {}
        for name, job in self.tables.items():
            for suffix in TABLE_SUFFIXES:
                paths[str(folder / "tables" / f"{name}.{suffix}")] = job.path(f"table.{suffix}")
        for name, job in self.figures.items():
            for file in job.kind.outputs:
                if file.startswith("figure."):
                    paths[str(folder / "figures" / f"{name}{Path(file).suffix}")] = job.path(file)
        paths[str(folder / "report.html")] = self.report.path("report.html")
        for (stage, _), job in self.jobs.items():
            if stage in ("reconstruct", "measure_codes", "score_features", "nearest_neighbours"):
                paths[str(folder / "summaries" / f"{stage}-{job.name}.json")] = job.path("summary.json")
            if stage == "dump_codes":
                paths[str(folder / "summaries" / f"{stage}-{job.name}.json")] = job.path("statistics.json")
        for file, stored in histories(self).items():
            paths[str(folder / "histories" / file)] = stored
        return paths

    def publish(self) -> list[str]:
        """Copy what is ready into results/RUN, where it differs, and record what finished results were made from;
        returns the paths that are there now. Copies of another config's results go: the store keeps those."""
        present = []
        summaries = (Path("results") / self.config.run / "summaries").glob("*.json")
        for place in {str(path) for path in summaries} - self.view.keys():
            Path(place).unlink()
        for place, stored in self.view.items():
            if not Path(stored).exists():
                Path(place).unlink(missing_ok=True)
                continue
            content = Path(stored).read_bytes()
            if not (Path(place).exists() and Path(place).read_bytes() == content):
                with atomic_path(place) as temporary:
                    temporary.write_bytes(content)
            present.append(place)
        for job in self.jobs.values():
            record_identity(job)
        metrics = Path("results") / self.config.run / "metrics.json"
        if write_metrics(self, metrics):
            present.append(str(metrics))
        return present + (write_dvc_files(self) if present else [])
