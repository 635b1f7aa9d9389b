"""The summary at the end of a run: results made and reused, the main result, the places of all results."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.base.amounts import readable_duration
from pipeline.page.comparison import headline, read_ratio
from pipeline.plan.publish import Published
from pipeline.plan.view import folder
from pipeline.stages import all_stages
from pipeline.stages.common import Job, Jobs, path_of
from pipeline.stages.page import page
from pipeline.stages.tables import tables
from pipeline.tables.display_table import read_display

WIDTH = 100
PLACES = {
    "report.html": "the page of the run: open it in a browser",
    "tables": "the tables, as csv, md and tex",
    "figures": "the figures, as png and pdf",
    "metrics.json": "the numbers; their protocols are in summaries",
}


def ending(jobs: Jobs, made: Iterable[Job], seconds: float, published: Published) -> str:
    """Lines for the terminal after a run that made the results of these jobs, named once for each shard."""
    by_key = {job.key: job for job in made}
    reused = {job.key: job for one in by_key.values() for job in one.upstream if job.key not in by_key}
    places = {str(folder(jobs) / name): text for name, text in PLACES.items() if (folder(jobs) / name).exists()}
    width = max(map(len, places), default=0)
    result = ""
    if not published.damaged:  # the page's first sentence, from the tables that exist
        shown = {name: read_display(Path(job.path("table.json"))) for name, job in jobs(tables).items() if job.complete}
        named = dict(zip(jobs(page).names, jobs(page).inputs["data"], strict=True))
        neighbours = Path(path_of(named["neighbours_summary"])) if "neighbours_summary" in named else None
        ratio = read_ratio(neighbours) if neighbours is not None and neighbours.exists() else None
        result = headline(shown, ratio)[0]
    lines = [
        f"Run {jobs.config.run}, {readable_duration(seconds)}.",
        *_counted("Made", list(by_key.values())),
        *_counted("Reused", list(reused.values())),
        "",
        *textwrap.wrap(result, WIDTH),
        "",
        *(f"{place:{width}}  {text}" for place, text in places.items()),
        *not_current(published),
    ]
    return "\n".join(lines)


def not_current(published: Published) -> list[str]:
    """A line for each damaged result, and one for copies of an earlier run."""
    first = ", ".join(sorted(published.earlier)[:3])
    more = f" and {len(published.earlier) - 3} more" if len(published.earlier) > 3 else ""
    earlier = [f"Of an earlier run, since their results are not here: {first}{more}"] if first else []
    return [*published.damaged, *earlier]


def _counted(title: str, made: list[Job]) -> list[str]:
    """Such as `Made: 3 results: train_autoencoder 2, reconstruct`, in the order of the stages."""
    stages = Counter(job.stage.name for job in made)
    named = ", ".join(f"{stage} {stages[stage]}".removesuffix(" 1") for stage in all_stages() if stage in stages)
    results = "1 result" if len(made) == 1 else f"{len(made)} results"
    line = f"{title}: {results}: {named}" if made else f"{title}: nothing"
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
