"""Figures from images, histories and summaries: of the paper, beyond the paper, and the curves of trainings."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

from bright_pipeline.engine.jobs import Inputs, Job, Output, Reported, Stage
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.traits import hash_tables
from bright_pipeline.settings.diffusion import DiffusionSamples
from bright_pipeline.settings.fields import Section, added
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.quantities import CODES, RECONSTRUCTIONS, TIMED_DECODING, Kind
from bright_pipeline.stages import autoencoders, measurements
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import evaluation, method, neighbours
from bright_pipeline.stages.generation import diffusion, exploration, model_of, samples
from bright_pipeline.stages.tables import row_settings, studies


class FigureJob(Section):
    figure: str
    models: dict[str, str] = added({}, "Label of an input -> name of its model in a measurement of several.")
    lengths: dict[str, dict[str, int]] = added(
        {}, "Label of an input -> training images of its autoencoder and of its decoder stage, steps of its diffusion."
    )


MAKE_FIGURE = Stage(
    "make_figure",
    folder="figures",
    settings=FigureJob,
    outputs={"png": "figure.png", "pdf": "figure.pdf", "dark": "figure-dark.png"},
    local=True,
    shown=lambda jobs: jobs(figures).values(),
    targets=lambda jobs: {"figures": list(jobs(figures).values())},
    copies=lambda jobs: {
        f"figures/{name}{file.removeprefix('figure')}": job[file]
        for name, job in jobs(figures).items()
        for file in job.files
    },
    message="Drawing",
    reported=Reported("png", "Figures", lambda job: FIGURES[job.settings["figure"]].caption, "figure"),
)


QUALITY_SPACE = "efficientnet_lite0"  # its weights come with a package, so that every run has them

Data = list[tuple[str, Output]]  # the inputs of a figure by name, `name` or `name:LABEL`


def figures(jobs: Jobs) -> dict[str, Job]:
    """Name -> job of each figure for which this config has data."""
    tables, settings = jobs.config.tables_or_default, jobs.config.figures
    main, sample_set = settings.autoencoder or next(iter(tables.table2), None), shown_samples(jobs)
    inputs: dict[str, Data] = {}
    if main is not None and hash_tables(jobs.config.autoencoders[main]) is not None:
        explored = jobs(exploration, main, sample_set)
        inputs["fig05b"] = [("hits", jobs(measurements.codes, main)["hits.npz"])]
        for name in ("interpolation", "resolutions", "groups"):
            inputs[name] = [("images", explored[f"{name}.zip"]), ("columns", explored["columns.json"])]
    if main is not None and sample_set is not None:
        inputs["fig01"] = [*pairs(jobs, [main], labelled=False), *_first_shard(jobs, sample_set)]
    if compared := compared_models(jobs):
        inputs["fig06"] = pairs(jobs, compared)
        inputs["curves_autoencoders"] = _histories(jobs, autoencoders.autoencoder, compared)
    if sample_set is not None:
        inputs |= _sample_figures(jobs, sample_set, "fig10", "fig09", "fig11")
    church = next(iter(tables.table6.rows), None)
    if church is not None and church != sample_set:
        inputs |= _sample_figures(jobs, church, "fig12", "fig13")
    generated = [jobs.config.samples[name] for name in (sample_set, *tables.table5.rows, *tables.table6.rows) if name]
    denoisers = dict.fromkeys(sampled.diffusion for sampled in generated if isinstance(sampled, DiffusionSamples))
    inputs["curves_diffusion"] = _histories(jobs, diffusion, list(denoisers))
    for figure_name, table, rows in (("fig07", "table6", tables.table6.rows), ("fig08", "table5", tables.table5.rows)):
        # Side by side; sets of other datasets than the first set's are skipped.
        sets = {name: jobs.config.samples[name] for name in rows}
        same = [name for name in rows if jobs.config.dataset_of(sets[name]) == jobs.config.dataset_of(sets[rows[0]])]
        words = {name: row_settings(jobs, table, name).get("label", method(jobs, sets[name])) for name in same}
        shards = [(label, _first_shard(jobs, name)) for name, label in distinct(words).items()]
        inputs[figure_name] = [(f"samples:{label}", file) for label, shard in shards for _, file in shard]
    # Latent diffusion on codes of another family than BRIGHT.
    ldm = [name for name in tables.table6.rows if method(jobs, jobs.config.samples[name]).startswith("LDM")]
    inputs["fig14"] = _first_shard(jobs, ldm[0]) if ldm else []
    named = labels(jobs, tables.section34).items()
    codes = [(f"{CODES.name}:{label}", _measurement(jobs, CODES, name)[1]) for name, label in named]
    inputs |= dict.fromkeys(("noise_robustness", "code_range", "spectra"), codes)
    sizes = product(tables.table_sizes, (CODES, RECONSTRUCTIONS))
    inputs["table_size"] = [_measurement(jobs, kind, name) for name, kind in sizes]
    inputs["studies"] = [(f"study:{job.settings['name']}", job["table.csv"]) for job in jobs(studies).values()]
    drawn = {name: figure(jobs, name, data) for name, data in inputs.items() if data}
    if rated := settings.rate_quality or tables.equal_budget:
        models = {name: measurements.model_id(jobs.config, name) for name in rated}
        data = [_measurement(of_seed, RECONSTRUCTIONS, name) for name in rated for _, of_seed in jobs.every_seed]
        timed = jobs(measurements.decoding, measurements.timed_models(jobs))
        data.append((TIMED_DECODING.name, timed["decoding.json"]))
        drawn["rate_quality"] = figure(jobs, "rate_quality", data, models=models)
    if names := settings.sample_quality or tables.latent_diffusion.samples:
        drawn |= sample_quality(jobs, names)
    return dict(sorted(drawn.items()))


def sample_quality(jobs: Jobs, names: list[str]) -> dict[str, Job]:
    """The figure of sample sets of latent diffusion, with the autoencoders that decode them."""
    data, lengths = list[tuple[str, Output]](), dict[str, dict[str, int]]()
    for name in names if QUALITY_SPACE in jobs.config.evaluation.networks else ():
        sampled, decoder = jobs.config.samples[name], model_of(jobs, name)
        if not isinstance(sampled, DiffusionSamples) or decoder is None:
            continue
        denoising = jobs.config.diffusions[sampled.diffusion]
        coder, decoding = (jobs.config.autoencoders[model] for model in (denoising.autoencoder, decoder))
        stage = decoding.training.images if decoding.decoder_stage else 0
        lengths[name] = {"images": coder.training.images, "steps": denoising.training.steps, "stage_images": stage}
        for _, of_seed in jobs.every_seed:
            score = of_seed(evaluation, name, QUALITY_SPACE, sampled.count)
            decoded = of_seed(measurements.reconstruction, decoder)
            data += [(f"samples:{name}", score["summary.json"]), (f"reconstruction:{name}", decoded["summary.json"])]
    return {"sample_quality": figure(jobs, "sample_quality", data, lengths=lengths)} if data else {}


def figure(jobs: Jobs, name: str, data: Data, **settings: Any) -> Job:
    """The job that draws a figure; `settings` that only this figure has."""
    inputs: Inputs = {"data": [file for _, file in data]}
    return jobs.job(
        MAKE_FIGURE,
        f"figures.{name}",
        {"figure": name, **settings},
        inputs=inputs,
        facts={"draw": FIGURES[name].draw},
        names=tuple(name for name, _ in data),
        code=(FIGURES[name].module,),
    )


def shown_samples(jobs: Jobs) -> str | None:
    """The sample set of the figures and the page."""
    tables = jobs.config.tables_or_default
    return jobs.config.figures.samples or next(iter([*tables.table5.rows, *tables.table6.rows]), None)


def compared_models(jobs: Jobs) -> list[str]:
    """The autoencoders that Figure 6 and the page compare."""
    return jobs.config.figures.compared or jobs.config.tables_or_default.table2


def labels(jobs: Jobs, names: list[str]) -> dict[str, str]:
    """The names of autoencoders in figures and on the page: their methods, followed by their labels if any."""
    models = {name: jobs.config.autoencoders[name] for name in names}
    methods = {name: autoencoder_family(model.family).method for name, model in models.items()}
    return distinct({name: f"{methods[name]} ({m.label})" if m.label else methods[name] for name, m in models.items()})


def distinct(words: dict[str, str]) -> dict[str, str]:
    """Name -> words, followed by the name if several entries have the same words."""
    counts = Counter(words.values())
    return {name: f"{text} ({name})" if counts[text] > 1 else text for name, text in words.items()}


def pairs(jobs: Jobs, models: list[str], labelled: bool = True) -> Data:
    """Validation images and their reconstructions; models on other datasets than the first model's are skipped."""
    data = jobs.config.autoencoders[models[0]].dataset
    same = [name for name in models if jobs.config.autoencoders[name].dataset == data]
    named = {name: f"reconstructions:{words}" for name, words in labels(jobs, same if labelled else []).items()}
    reconstructed = [
        (named.get(name, "reconstructions"), jobs(measurements.reconstruction, name)["reconstructions.zip"])
        for name in same
    ]
    return [("validation", jobs(dataset, data)["validation.zip"]), *reconstructed]


def _histories(jobs: Jobs, train: Callable[[Jobs, str], Job], names: list[str]) -> Data:
    """The histories of models that are trained; imported models have none."""
    codes_of = {name: jobs.config.diffusions[name].autoencoder for name in names} if train is diffusion else {}
    named = distinct({name: labels(jobs, [codes_of.get(name, name)])[codes_of.get(name, name)] for name in names})
    trained = [(named[name], jobs(train, name)) for name in names]
    return [(f"history:{name}", job[job.stage.outputs["history"]]) for name, job in trained if job.is_training]


def _first_shard(jobs: Jobs, name: str) -> Data:
    job = jobs(samples, name)
    return [("samples", job[job.files[0]])]


def _sample_figures(jobs: Jobs, name: str, sheet: str, *nearest: str) -> dict[str, Data]:
    """A sheet of samples, and figures of their nearest training images."""
    train = jobs(dataset, jobs.config.dataset_of(jobs.config.samples[name]))["train.zip"]
    shard, table = _first_shard(jobs, name), jobs(neighbours, name)["neighbours.csv"]
    return {sheet: shard} | {key: [("neighbours", table), *shard, ("train", train)] for key in nearest}


def _measurement(jobs: Jobs, kind: Kind, name: str) -> tuple[str, Output]:
    """The measured codes (section 3.4) or the reconstruction of an autoencoder."""
    measure = {CODES: measurements.code_measurement, RECONSTRUCTIONS: measurements.reconstruction}[kind]
    return f"{kind.name}:{name}", jobs(measure, name)["summary.json"]
