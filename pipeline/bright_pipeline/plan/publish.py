"""results/RUN: copies of a config's results under readable names, main numbers, and the lines at a run's end.

A copy whose result is not here (a fresh clone of a shared run) stays, and is reported as a copy of an earlier run.
results/RUN/published.json records the result of each copy; file times are not used.

metrics.json has the numbers of the summaries by the names in the config:
reconstruction.NAME.METRIC, reconstruction_distance.NAME.SPACE.METRIC, generation.NAME.SPACE.COUNT.METRIC (COUNT: images
scored) and neighbours.NAME.NUMBER, of the first training seed; those of other seeds are under seeds.SEED.

headline.json has the six main numbers, which DVC compares. dvc.yaml has the metrics, plots and artifacts that DVC shows
of the run. Weights are artifacts with stable names, while their folders are named by digests.
"""

import os
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bright_pipeline.base.amounts import readable_duration
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json, shortened
from bright_pipeline.base.paths import STORE
from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.engine.atomic import atomic_path, write_json, write_text
from bright_pipeline.engine.checksums import problem
from bright_pipeline.engine.code_copy import Files, made_by, named_copy
from bright_pipeline.engine.damage import add_missing_checksums
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.shards import summary_name, view
from bright_pipeline.engine.store import MADE_BY, identity_path
from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.page.comparison import KeyNumber, headline
from bright_pipeline.plan.advice import advice
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.page import page, planned_trainings
from bright_pipeline.stages.tables import tables
from bright_pipeline.tables.display_table import read_display
from bright_pipeline.training.history import FIRST_COLUMNS

LOCKS = Path(".snakemake/locks")
CONFIG, METRICS, HEADLINE = "config.yaml", "metrics.json", "headline.json"
HEADLINE_TABLES, HEADLINE_NUMBERS = ("table2", "table5"), 3  # of each: LPIPS, SSIM, PSNR; FID and two more
ORIGIN = "# The run of "
HEADER = """\
# What DVC shows of this run; written by the run. Paths are relative to this folder.
#   dvc metrics show, dvc metrics diff, dvc plots show
#   dvc artifacts get REPOSITORY FOLDER:ARTIFACT, once a version of it is registered (docs/sharing.md)
"""
RECORD = "published.json"
NOT_PUBLISHED = ("code_bits", "share_nearer")  # values of summaries that metrics.json omits
WIDTH = 100  # of the lines at the end of a run
PLACES = {
    "report.html": "the page of the run: open it in a browser",
    "tables": "the tables, as csv, md and tex",
    "figures": "the figures, as png and pdf",
    METRICS: "the numbers; their protocols are in summaries",
}


@dataclass
class Published:
    """The content of results/RUN after a run."""

    present: list[str] = field(default_factory=list)  # paths of this config's results
    earlier: list[str] = field(default_factory=list)  # paths of copies whose results are not here
    damaged: list[str] = field(default_factory=list)
    """A line for each damaged result, whose copy stays unchanged, and for a record with paths outside results/RUN."""


def publish(jobs: Jobs, config_file: str, code: Files | None = None) -> Published:
    """Copy finished results that differ from their copies, and record the identities of finished jobs.

    Records name the copy of this code, also where the run that made the results ended before it recorded them.
    """
    jobs.store.forget()
    published, recorded, home = Published(), published_copies(jobs), jobs.folder
    record = {target: str(stored) for target, stored in recorded.items()}
    if foreign := (_read(home / RECORD) or {}).keys() - recorded.keys():
        first = ", ".join(map(shortened, sorted(foreign)[:3]))
        published.damaged.append(f"{home / RECORD}: ignored, since these are no copies of results: {first}")
    for target, output in jobs(view).items():
        stored, copy = Path(output.path), Path(target)
        if not output.job.has(output.file):
            published.earlier += [target] if is_earlier_copy(jobs, target, recorded) else []
        elif (line := problem(stored, read="content")) is not None:
            published.damaged.append(line)
        else:
            content = stored.read_bytes()
            if not (copy.exists() and copy.read_bytes() == content):
                with atomic_path(copy) as temporary:
                    temporary.write_bytes(content)
            published.present.append(target)
            record[target] = output.path
    for target in recorded.keys() - jobs(view).keys():  # the config no longer has them, but the store may
        stored, copy = recorded[target], Path(target)
        if not copy.exists():
            del record[target]
        elif stored.exists() and stored.read_bytes() == copy.read_bytes():
            copy.unlink()
            del record[target]
        elif stored.exists():
            published.damaged.append(f"{target}: kept, since it differs from {stored}, whose copy it was")
        else:
            published.earlier.append(target)
    complete = [job for job in jobs(planned).values() if job.complete]
    if unrecorded := [job for job in complete if not identity_path(*job.key).exists()]:
        of_code = named_copy(code) if code else {}
        for job in unrecorded:
            write_json(identity_path(*job.key), job.identity | {MADE_BY: made_by(job.code_roots, of_code)})
    for job in jobs(planned).values():
        add_missing_checksums(job)
    if published.present:
        of_seeds = {str(seed): _numbers(jobs, of_seed) for seed, of_seed in jobs.other_seeds.items()}
        seeds = {seed: numbers for seed, numbers in of_seeds.items() if numbers}
        metrics = _numbers(jobs, jobs) | ({"seeds": seeds} if seeds else {})
        for name, values in ((RECORD, record), (METRICS, metrics), (HEADLINE, headline_numbers(jobs))):
            if values and _read(home / name) != values:
                write_json(home / name, values)
            published.present += [str(home / name)] if values and name != RECORD else []
        published.present += write_dvc_files(jobs, config_file)
    return published


def published_copies(jobs: Jobs) -> dict[str, Path]:
    """Path in results/RUN -> the file of the store that was last copied there."""
    home, copies = jobs.folder, {}  # a record that came with a clone counts for files inside, not for targets of links
    for target, stored in (_read(home / RECORD) or {}).items():
        path, source = Path(target), Path(str(stored))
        inside = path.is_relative_to(home) and source.is_relative_to(STORE)
        with suppress(OSError, ValueError):  # no possible paths
            regular = not path.is_symlink() and (path.is_file() or not path.exists())
            inside &= regular and path.resolve().is_relative_to(home.resolve()) and not source.is_dir()
            if inside and ".." not in (*path.parts, *source.parts):
                copies[target] = source
    return copies


def is_earlier_copy(jobs: Jobs, target: str, recorded: dict[str, Path] | None = None) -> bool:
    """Whether this file of results/RUN is a copy of another result, and this config's result is not here."""
    output, recorded = jobs(view)[target], published_copies(jobs) if recorded is None else recorded
    missing = not output.job.has(output.file)
    return missing and Path(target).exists() and recorded.get(target) != Path(output.path)


def _read(path: Path) -> dict[str, Any] | None:
    """A file that publishing wrote; None if it is unreadable, so that it is written again."""
    try:
        return dict(read_json(path, str(path)))
    except (InputError, ValueError, TypeError):
        return None


def _numbers(jobs: Jobs, of_seed: Jobs) -> dict[str, Any]:
    """The numbers of one training seed's finished jobs, nested as in metrics.json."""
    nested: dict[str, Any] = {}
    for job in of_seed.created:
        if not (keys := job.stage.numbers(job)):
            continue
        # The summary is in the store or else in results/RUN; a damaged one is ignored.
        paths = (Path(job.path("summary.json")), jobs.folder / summary_name(job))
        path = next((path for path in paths if path.exists() and problem(path) is None), None)
        if job.key not in jobs(planned) or path is None:
            continue
        with suppress(InputError):
            summary = read_summary(path)
            section = nested
            for key in keys:
                section = section.setdefault(key, {})
            # Spreads are published beside the metrics of a feature space only.
            numbers = summary.numbers if len(keys) > 2 else {key: value.number for key, value in summary.values.items()}
            named = {name.rpartition(".")[2]: number for name, number in numbers.items()}
            section |= {name: number for name, number in named.items() if name not in NOT_PUBLISHED}
    return nested


def headline_numbers(jobs: Jobs) -> dict[str, Any]:
    """The first measured row of Tables 2 and 5: quantity -> number; {} while a table is missing."""
    numbers: dict[str, Any] = {}
    for job in (jobs(tables)[name] for name in HEADLINE_TABLES if name in jobs(tables)):
        path = Path(job.path("table.json"))
        try:
            if not job.complete or problem(path, read="content") is not None:
                return {}
            table = read_display(path)
        except InputError:
            return {}
        cells = next(filter(None, map(table.measured_cells, table.measured_rows())), {})
        numbers |= {name.rstrip(" ↑↓"): cell.number for name, cell in list(cells.items())[:HEADLINE_NUMBERS]}
    return numbers


def ending(jobs: Jobs, finished: Iterable[Job], seconds: float, published: Published) -> str:
    """Lines for the terminal after a run of these jobs, each listed once per shard."""
    by_key = {job.key: job for job in finished}
    reused = {job.key: job for reader in by_key.values() for job in reader.upstream if job.key not in by_key}
    paths = {str(jobs.folder / name): text for name, text in PLACES.items() if (jobs.folder / name).exists()}
    width = max(map(len, paths), default=0)
    result, numbers = "", list[KeyNumber]()
    if not published.damaged:  # the page's first sentence and numbers, from the tables that exist
        shown = {name: read_display(Path(job.path("table.json"))) for name, job in jobs(tables).items() if job.complete}
        named = dict(zip(jobs(page).names, jobs(page).inputs["data"], strict=True))
        summary = Path(path_of(named["neighbours_summary"])) if "neighbours_summary" in named else None
        result, numbers = headline(shown, summary if summary is not None and summary.exists() else None)
    outcomes = [job.stage.outcome(job) for job in by_key.values() if job.complete]
    meaning = [line for text in advice(jobs, _numbers(jobs, jobs)) for line in textwrap.wrap(text, WIDTH)]
    lines = [
        f"Run {jobs.config.run}, {readable_duration(seconds)}.",
        *_counted("Made", list(by_key.values())),
        *_counted("Reused", list(reused.values())),
        *(line for text in outcomes for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")),
        "",
        *textwrap.wrap(result, WIDTH),
        *(f"  {number.label}: {number.value}" for number in numbers),
        *meaning,
        "",
        *(f"{path:{width}}  {text}" for path, text in paths.items()),
        *not_current(published),
    ]
    return "\n".join(lines)


def not_current(published: Published) -> list[str]:
    """A line for each damaged result, and a line for all copies of an earlier run."""
    first = ", ".join(sorted(published.earlier)[:3])
    more = f" and {len(published.earlier) - 3} more" if len(published.earlier) > 3 else ""
    earlier = [f"Of an earlier run, since their results are not here: {first}{more}"] if first else []
    return [*published.damaged, *earlier]


def _counted(title: str, results: list[Job]) -> list[str]:
    """Such as `Made: 3 results: train_autoencoder 2, reconstruct`, in the order of the stages."""
    stages = Counter(job.stage.name for job in results)
    named = ", ".join(f"{stage} {stages[stage]}".removesuffix(" 1") for stage in all_stages() if stage in stages)
    total = "1 result" if len(results) == 1 else f"{len(results)} results"
    line = f"{title}: {total}: {named}" if results else f"{title}: nothing"
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def written_values(jobs: Jobs) -> dict[str, Any]:
    """The config with all defaults, and the labels of autoencoders, which no job's settings contain."""
    values = jobs.user_config.model_dump(mode="json")
    for name, entry in jobs.user_config.autoencoders.items():
        values["autoencoders"][name]["label"] = entry.label
    return values


def write_dvc_files(jobs: Jobs, config_file: str) -> list[str]:
    """Write the run's config with all defaults, and its dvc.yaml, where they changed; returns their paths."""
    folder = jobs.folder
    contents: dict[Path, tuple[str, Any]] = {
        folder / CONFIG: (f"{ORIGIN}{config_file}\n", written_values(jobs)),
        folder / "dvc.yaml": (HEADER, dvc_yaml(jobs, folder)),
    }
    for path, (first, values) in contents.items():
        text = first + yaml.safe_dump(values, sort_keys=False, width=120)
        if not (path.exists() and path.read_bytes() == text.encode()):
            write_text(path, text)
    return list(map(str, contents))


def recorded_config(jobs: Jobs) -> str | None:
    """The config file of the run in results/RUN; None if there is no run yet."""
    try:
        first = (jobs.folder / CONFIG).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, ValueError):
        return None
    return first.removeprefix(ORIGIN) if first.startswith(ORIGIN) else None


def dvc_yaml(jobs: Jobs, folder: Path) -> dict[str, Any]:
    """The content of the dvc.yaml in `folder`: the existing results of the run."""
    # A plot for each column of the histories, with a curve for each training that logged it.
    curves: dict[tuple[str, str], list[str]] = {}
    # Trained weights that are here, or that DVC tracks, by kind and name.
    artifacts: dict[str, Any] = {}
    for kind, name, job in planned_trainings(jobs):
        history = folder / "histories" / f"{kind}-{name}.csv"
        if history.exists():
            for column in history.read_text(encoding="utf-8").partition("\n")[0].strip().split(","):
                if column not in ("", *FIRST_COLUMNS):
                    curves.setdefault((kind, column), []).append(str(history.relative_to(folder)))
        if job.complete or dvc_file(job.folder).exists():
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{kind}-{name}").strip("-_")
            key = f"{key}-{job.digest}" if key in artifacts else key
            path = os.path.relpath(job.path(f"{kind}.safetensors"), folder)
            artifacts[key] = {"path": path, "type": "model", "desc": job.name}
    plots: list[Any] = []
    for (kind, column), histories in curves.items():
        x, label = ("step", "step") if kind == "diffusion" else ("images", "training images")
        axes = {"x": x, "y": dict.fromkeys(histories, column), "x_label": label, "y_label": column}
        plots.append({f"{jobs.config.run}: {kind}, {column}": axes})
    shown = [job for job in jobs(figures).values() if job.complete or dvc_file(job.folder).exists()]
    plots += [os.path.relpath(job.path("figure.png"), folder) for job in shown]  # DVC has them in the store
    metrics = [HEADLINE] if (folder / HEADLINE).exists() else []
    parts = {"metrics": metrics, "plots": plots, "artifacts": artifacts}
    return {key: part for key, part in parts.items() if part}


def dvc_file(path: Path) -> Path:
    """DVC's file about a tracked folder or file, beside it."""
    return path.with_name(f"{path.name}.dvc")


def tracked_as(path: Path) -> dict[str, Any]:
    """The entry of DVC's file: `md5` of the content, `size` in bytes, `nfiles`; empty if the path is not tracked."""
    file = dvc_file(path)
    if not file.exists():
        return {}
    try:
        entry = dict(read_yaml(file, str(file))["outs"][0])
        return entry | {key: int(entry[key]) for key in ("size", "nfiles") if key in entry}
    except (InputError, LookupError, TypeError, ValueError, OverflowError):
        raise InputError(f"{file}: not a DVC file of one result; restore it from git") from None


def refuse_while_jobs_run() -> None:
    """InputError while a run is active: its jobs read and write results."""
    if any(LOCKS.glob("*.lock")):
        raise InputError("a run is active here, or a killed run left its lock (then: snakemake --unlock)")
