"""Tables from summaries of every training seed, and of studies.

A table's entry in the settings decides which summaries it needs. A study is the same search for training settings for
several autoencoders, on images held out from their training.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from pydantic import Field

from bright_pipeline.base.paths import NETWORKS, PUBLISHED
from bright_pipeline.config.root import Config
from bright_pipeline.engine.jobs import Inputs, Job, Reported, Stage, closure
from bright_pipeline.engine.run import Needed
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.key_noise import NONE, noise_of
from bright_pipeline.models.metric_networks.manifest import missing_line
from bright_pipeline.models.traits import changes, traits
from bright_pipeline.settings import quantities as q
from bright_pipeline.settings.diffusion import DiffusionSamples
from bright_pipeline.settings.fields import Section, added, operational
from bright_pipeline.settings.tables import HEADINGS, TABLES, AutoencoderRows, GenerationRows
from bright_pipeline.stages import evaluation, measurements
from bright_pipeline.stages.common import Jobs, is_network_available
from bright_pipeline.stages.common import network as network_file
from bright_pipeline.stages.datasets import prepared
from bright_pipeline.stages.generation import model_of

CLAIMS = "claims"
FIRST_ROW = "(the first row)"
OF_PAPER = "paper: "  # begins the names of rows that are the paper's architectures


class TableRow(Section):
    """A measured row: an autoencoder (Tables 2, 3, 4, 7, 8) or a sample set (Tables 5, 6, text)."""

    name: str = Field(description="The name under `autoencoders` or `samples` in the config.")
    dataset: str = Field(description="The name under `datasets` in the config; a difference needs the paper's.")
    label: str | None = Field(None, description="The text under Method, in place of the summary's.")
    code_size: str | None = Field(None, description="Code size behind a sample set; a difference needs it.")
    resolution: int | None = Field(None, description="Of the dataset's images; a difference needs it.")
    variant: str | None = Field(None, description="The config keys that differ from those of another row.")
    variant_label: str | None = added(None, "The entry's `label`, which people read in place of these keys.")
    prepared: str | None = Field(None, description="`CROP, FILTER, to RESOLUTION` of images; a difference needs it.")
    model: str | None = Field(None, description="The model's name in files of several models.")


class Provenance(Section):
    """The origin of the numbers, besides the summaries."""

    seed: int | None = Field(None, description="The root seed; counts have none.")
    # Code and folders are for readers: the digests of the inputs, or of accepted results, cover them.
    code: dict[str, str] = operational({}, "The digest of the code of each stage behind the table.")
    data: dict[str, str] = Field(description="The sha256 of each raw collection, by the dataset's name.")
    weights: dict[str, list[str]] = operational({}, "Folders of the trained models behind each row (or `ROW#SEED`).")


class TableJob(Section):
    table: str = Field(description="A table's name, or `claims`.")
    rows: list[TableRow] = Field([], description="The measured rows, in their order.")
    counted: list[TableRow] = Field([], description="Autoencoders without a row, counted beside published ones.")
    training_seeds: list[int] = Field(
        [0],
        description="Summaries named `ROW` are of the first training seed, those named `ROW#SEED` of a further one.",
    )
    missing: list[str] = Field([], description="Notes, `METRICS: what is missing: where to put it`.")
    provenance: Provenance | None = Field(None, description="The origin of the numbers.")


class Trial(Section):
    """An entry with some keys of its training changed, and the trial's number among those of the entry."""

    entry: str = Field(description="The name under `autoencoders`.")
    number: int
    changes: dict[str, Any] = Field(description="Keys of its `training`.")


class StudyJob(Section):
    """The table of one study, from the per-image metrics `ENTRY.NUMBER#SEED` of its trials."""

    name: str = Field(description="The study's name in the config.")
    table: str = Field(description="The name of the table of its trials.")
    trials: list[Trial] = Field(min_length=1)
    images: int = Field(description="Training images of each trial.")
    tuning: int = Field(description="Images on which each trial is measured.")
    l2_weight: float = Field(description="Weight of L2 in the loss that all trials minimize and are compared by.")
    perceptual_weight: float = Field(0.0, description="Weight of LPIPS in that loss.")
    perceptual: str = Field("none", description="The column with that LPIPS.")


FORMS = {"csv": "table.csv", "markdown": "table.md", "latex": "table.tex", "parts": "table.json"}  # of any table


def missing_loss(job: Job, needed: Needed) -> Iterator[str]:
    """A line if the network of a study's loss is missing where its trials are measured."""
    perceptual = job.settings["perceptual"]
    if perceptual != "none" and any(network_file(perceptual) not in trial.sources for trial in job.upstream):
        yield missing_line(perceptual, NETWORKS)


MAKE_STUDY = Stage(
    "make_study",
    "studies",
    StudyJob,
    FORMS,
    local=True,
    problems=missing_loss,
    message="Comparing the trials of",
    reported=Reported("csv", "Studies", lambda job: STUDY_CAPTION, "study"),
)
MAKE_TABLE = Stage(
    "make_table",
    "tables",
    TableJob,
    FORMS,
    local=True,
    shown=lambda jobs: jobs(tables).values(),
    omissions=lambda job: job.settings.get("missing", ()),
    targets=lambda jobs: {"tables": list(jobs(tables).values())} | {name: [job] for name, job in jobs(tables).items()},
    copies=lambda jobs: {
        f"tables/{name}.{suffix}": job[f"table.{suffix}"]
        for name, job in jobs(tables).items()
        for suffix in ("csv", "md", "tex")
    },
    message="Making",
    reported=Reported("csv", "Tables", lambda job: caption(job.settings["table"]), "table"),
)

STUDY_CAPTION = "All trials of the search, the best of each autoencoder first, by the loss on the tuning images."
CLAIMS_CAPTION = "The numbers in the paper's text, recomputed from the published tables and from this run's: verdicts."


def caption(table: str) -> str:
    words = CLAIMS_CAPTION if table == CLAIMS else TABLES[table].caption
    return f"{words} Published rows are as printed; measured ones are this run's, on the dataset named."


class RowSummary(NamedTuple):
    """A summary file of a job, its row, and the training seed unless that is the first one."""

    row: str
    job: Job
    file: str = "summary.json"
    seed: int | None = None

    @property
    def name(self) -> str:
        """The argument of `make_table`."""
        return self.row if self.seed is None else f"{self.row}#{self.seed}"


def tables(jobs: Jobs) -> dict[str, Job]:
    """The job of each table that has rows, of each study and of the claims, by the table's name."""
    wanted = jobs.config.tables_or_default
    with_rows = {name: jobs(table, name) for name in TABLES if wanted.rows_of(name)}
    return with_rows | jobs(studies) | ({CLAIMS: jobs(claims)} if wanted.claims else {})


def studies(jobs: Jobs) -> dict[str, Job]:
    """The job of each study, by the name of its table, which is also a target."""
    return {f"study_{name}": jobs(study, name) for name in jobs.config.studies}


def study(jobs: Jobs, name: str) -> Job:
    """The job that compares the trials of a study, which are ordinary entries of an expanded config."""
    config, wanted = jobs.config, jobs.config.studies[name]
    data = config.autoencoders[wanted.autoencoders[0]].dataset
    split = config.datasets[data].split.model_copy(update={"tuning": wanted.tuning})
    tuned = f"{data}.tuning{wanted.tuning}"  # its validation images are the tuning images
    trials = [
        Trial(entry=entry, number=number, changes=changes)
        for entry in wanted.autoencoders
        for number, changes in enumerate(wanted.grid.combinations())
    ]
    entries, names = {}, []
    for trial, seed in product(trials, wanted.seeds):
        entry = config.autoencoders[trial.entry]
        training = entry.training.model_copy(update=trial.changes | {"images": wanted.images})
        changes = {"dataset": tuned, "training": training, "seed": entry.seed + seed}
        suffix = f".seed{seed}" if seed else ""
        entries[f"{name}.{trial.entry}.{trial.number}{suffix}"] = entry.model_copy(update=changes)
        names.append(f"{trial.entry}.{trial.number}#{seed}")
    datasets = {tuned: config.datasets[data].model_copy(update={"split": split})}
    expanded = jobs.derive(config.model_copy(update={"datasets": datasets, "autoencoders": entries}))
    losses = config.autoencoders[wanted.autoencoders[0]].losses
    settings = {
        "name": name,
        "table": f"study_{name}",
        "trials": trials,
        "images": wanted.images,
        "tuning": wanted.tuning,
        "l2_weight": losses.l2_weight,
        "perceptual_weight": losses.perceptual_weight,
        "perceptual": losses.perceptual.network,
    }
    inputs: Inputs = {"trials": [expanded(measurements.reconstruction, entry)["per_image.csv"] for entry in entries]}
    return jobs.job(MAKE_STUDY, f"studies.{name}", settings, inputs=inputs, names=tuple(names))


def claims(jobs: Jobs) -> Job:
    """The claims of the paper's text, recomputed from the paper's tables and from others that have rows."""
    wanted = jobs.config.tables_or_default
    names = tuple(name for name, entry in TABLES.items() if entry.in_paper or wanted.rows_of(name))
    inputs: Inputs = {"summaries": [jobs(table, name)["table.csv"] for name in names]}
    facts = {"claims": file_digest("claims.yaml"), "notes": {key: q.NOTES[key] for key in q.NOTES if "claims" in key}}
    return jobs.job(MAKE_TABLE, f"tables.{CLAIMS}", {"table": CLAIMS}, inputs=inputs, facts=facts, names=names)


def table(jobs: Jobs, name: str) -> Job:
    """The job that makes a table from the summaries of its rows."""
    if TABLES[name].of_samples:
        wanted: GenerationRows = getattr(jobs.config.tables_or_default, name)
        networks = jobs.config.evaluation.networks
        summaries, missing = _scores(jobs, networks, {row: row for row in wanted.rows}, wanted.count)
    else:
        summaries, missing = _model_summaries(jobs, name)
    # A summary that is the same for every training seed is listed once.
    summaries = list({(summary.row, summary.job.digest): summary for summary in reversed(summaries)}.values())[::-1]
    rows = [row_settings(jobs, name, row) for row in jobs.config.tables_or_default.rows_of(name)]
    if TABLES[name].of_samples and TABLES[name].shows_noise:  # rows of one kind are told apart by their names
        alike = Counter(row["label"] for row in rows)
        rows = [row | {"label": f"{row['label']}, {row['name']}"} if alike[row["label"]] > 1 else row for row in rows]
    settings: dict[str, Any] = {
        "table": name,
        "rows": rows,
        "counted": jobs(_paper_rows, name),
        "missing": [missing_line(network, NETWORKS) for network in dict.fromkeys(missing)],
        "provenance": _provenance(summaries),
    }
    if any(summary.job.stage.seeded for summary in summaries):
        settings["training_seeds"] = jobs.user_config.training_seeds
        settings["provenance"]["seed"] = jobs.config.seed
    names = tuple(summary.name for summary in summaries)
    inputs: Inputs = {"summaries": [summary.job[summary.file] for summary in summaries]}
    # The entry without its caption: code digests exclude the modules of settings.
    entry = repr((replace(TABLES[name], caption=""), [HEADINGS[key] for key in TABLES[name].identity]))
    facts = {"published": file_digest("*.csv"), "entry": hashlib.sha256(entry.encode()).hexdigest()}
    return jobs.job(MAKE_TABLE, f"tables.{name}", settings, inputs=inputs, facts=facts, names=names)


def file_digest(pattern: str) -> str:
    text = "".join(path.name + path.read_text(encoding="utf-8") for path in sorted(PUBLISHED.glob(pattern)))
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(summaries: list[RowSummary]) -> dict[str, Any]:
    """The digests of code, data and trained models behind a table."""
    behind = closure(summary.job for summary in summaries)
    trained: dict[str, set[str]] = {}
    for summary in summaries:
        models = [job for job in closure([summary.job]) if "weights" in job.stage.outputs]
        trained.setdefault(summary.name, set()).update(f"{job.stage.folder}/{job.name}" for job in models)
    sources = {job.settings["name"]: job.numerical["source"] for job in behind if "manifest" in job.stage.outputs}
    return {
        "code": {job.stage.name: job.identity["code"] for job in behind},
        "data": {name: sha256 if isinstance(sha256, str) else "absent" for name, sha256 in sources.items()},
        "weights": {name: sorted(folders) for name, folders in trained.items() if folders},
    }


def _model_summaries(jobs: Jobs, name: str) -> tuple[list[RowSummary], list[str]]:
    """Summaries of rows that are autoencoders, by the kinds of the table's quantities, and the missing networks."""
    rows, kinds = jobs.config.tables_or_default.rows_of(name), TABLES[name].kinds
    summaries: list[RowSummary] = []
    for seed, of_seed in jobs.every_seed:
        for kind in (kind for kind in q.KINDS.values() if kind in kinds):
            for stage in (stage for stage in jobs.stages.values() if stage.kind is kind):
                outputs = [(row, output) for row in rows for output in stage.numbers_of_row(of_seed, row)]
                summaries += [RowSummary(row, output.job, output.file, seed) for row, output in outputs]
            for space in evaluation.distance_spaces(of_seed, rows) if kind is q.DISTANCES else ():
                distances = {row: of_seed(evaluation.reconstruction_distance, row, space) for row in rows}
                summaries += [RowSummary(row, distance, seed=seed) for row, distance in distances.items()]
    missing = [
        quantity.network
        for quantity, summary in product(TABLES[name].quantities, summaries)
        if quantity.network is not None and quantity.kind is summary.job.stage.kind
        if network_file(quantity.network) not in summary.job.sources
    ]
    if q.TIMED_DECODING in kinds:
        job = jobs(measurements.decoding, timed := measurements.timed_models(jobs))
        summaries += [RowSummary(row, job, "decoding.json") for row in rows if row in timed]
    if q.COUNTED in kinds:
        paper_rows = [row["name"] for row in jobs(_paper_rows, name)]
        paper_names = tuple(row.removeprefix(OF_PAPER) for row in paper_rows)
        counts = jobs(measurements.complexity, name, tuple(rows), paper_names)
        summaries += [RowSummary(row, counts, "complexity.json") for row in [*rows, *paper_rows]]
    if q.DISTANCES in kinds:
        measured, networks = set(evaluation.distance_spaces(jobs, rows)), evaluation.distance_networks(jobs)
        missing += [network for network in networks if not measured & {*evaluation.spaces(jobs, network)}]
    if q.GENERATED in kinds:
        wanted: AutoencoderRows = getattr(jobs.config.tables_or_default, name)
        sets = {model: sample for sample in wanted.samples if (model := model_of(jobs, sample)) is not None}
        scores, without_scores = _scores(jobs, evaluation.distance_networks(jobs), sets, wanted.count)
        summaries, missing = summaries + scores, missing + without_scores
    return summaries, missing


def _scores(
    jobs: Jobs, networks: Sequence[str], sets: dict[str, str], count: int | None
) -> tuple[list[RowSummary], list[str]]:
    """Summaries of the sample set of each row in these networks, and the missing networks."""
    summaries, missing = list[RowSummary](), list[str]()
    for (seed, of_seed), network in product(jobs.every_seed, networks if sets else ()):
        counts = {name: count or jobs.config.samples[name].count for name in sets.values()}
        scores = [
            RowSummary(row, of_seed(evaluation.evaluation, name, space, counts[name]), seed=seed)
            for (row, name), space in product(sets.items(), evaluation.spaces(jobs, network))
        ]
        if is_network_available(of_seed, network, [score.job for score in scores]):
            summaries += scores
        else:
            missing.append(network)
    return summaries, missing


def _paper_rows(jobs: Jobs, table: str) -> list[dict[str, Any]]:
    """Rows for the paper's architectures that this run has no row of: their counts appear beside the published ones."""
    paper = measurements.paper_config()
    if q.COUNTED not in TABLES[table].kinds or not TABLES[table].in_paper:
        return []

    def counted(config: Config, row: str) -> tuple[str, str]:
        return measurements.model_id(config, row), config.autoencoders[row].dataset

    measured = {counted(jobs.config, row) for row in jobs.config.tables_or_default.rows_of(table)}
    rows = {counted(paper, row): row for row in reversed(paper.tables_or_default.rows_of(table))}
    return [
        {"name": f"{OF_PAPER}{row}", "model": model, **_images(paper, dataset)}
        for (model, dataset), row in reversed(rows.items())
        if (model, dataset) not in measured
    ]


def _images(config: Config, name: str) -> dict[str, Any]:
    images = config.datasets[name]
    return {"dataset": name, "resolution": images.resolution, "prepared": prepared(images)}


def row_settings(jobs: Jobs, table: str, name: str) -> dict[str, Any]:
    """The settings of a row: its dataset, and what its summaries do not contain."""
    config, models, entry = jobs.config, jobs.config.autoencoders, TABLES[table]
    if entry.of_samples:
        row = {"name": name, **_images(config, config.dataset_of(config.samples[name]))}
        if (model := model_of(jobs, name)) is None:
            return row | ({"label": name} if entry.shows_noise else {})
        row["code_size"] = traits(models[model])["code_size"]
        if entry.shows_noise:
            noise = "without" if noise_of(models[model]) is NONE else "with"
            row["label"] = f"{autoencoder_family(models[model].family).method} (LDM, {noise} noise)"
        elif isinstance(config.samples[name], DiffusionSamples):
            family, words = models[model].family, evaluation.method(jobs, config.samples[name], labelled=True)
            row["label"] = words if family == "bright" else f"{words} (codes of {autoencoder_family(family).method})"
        return row
    row = {"name": name, **_images(config, models[name].dataset)}
    if {q.COUNTED, q.TIMED_DECODING} & {*entry.kinds}:
        row["model"] = measurements.model_id(config, name)
    # Where the identity columns do not distinguish two rows, the changed keys of the config do.
    rows = config.tables_or_default.rows_of(table)
    identity = {row: (models[row].family, traits(models[row])) for row in rows}
    same_method = [row for row in rows if identity[row] == identity[name]]
    base = {"first": rows[0], "first of the same method": same_method[0], None: name}[entry.baseline]
    if name != base:
        row["variant"] = changes(models[name], models[base])
    elif entry.baseline == "first":
        row["variant"] = FIRST_ROW
    if name != base or entry.baseline != "first":
        row["variant_label"] = models[name].label
    return row
