"""What is said at the end of a run: what was made, what was reused, the main result, where to look."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.base.amounts import readable_duration
from pipeline.page.headline import main_result
from pipeline.page.shown_tables import ShownTable, read_table
from pipeline.plan.jobs import Job
from pipeline.plan.run import Plan
from pipeline.plan.stages import STAGES

WIDTH = 100
PLACES = {
    "report.html": "the page of the run: open it in a browser",
    "tables": "the tables, as csv, md and tex",
    "figures": "the figures, as png and pdf",
    "metrics.json": "the numbers; their protocols are in summaries",
}


def ending(plan: Plan, made: Iterable[Job], seconds: float) -> str:
    """Lines for the terminal after a run that made the results of these jobs; each shard of one may be named."""
    made = list(dict.fromkeys(made))
    reused = [job for job in dict.fromkeys(job for one in made for job in one.upstream) if job not in made]
    folder = Path("results") / plan.config.run
    places = {str(folder / place): what for place, what in PLACES.items() if (folder / place).exists()}
    width = max(map(len, places), default=0)
    lines = [
        f"Run {plan.config.run}, {readable_duration(seconds)}.",
        *_counted("Made", made),
        *_counted("Reused", reused),
        "",
        *textwrap.wrap(_result(plan), WIDTH),
        "",
        *(f"{place:{width}}  {what}" for place, what in places.items()),
    ]
    return "\n".join(lines)


def _counted(what: str, jobs: list[Job]) -> list[str]:
    """Such as `Made: 3 results: train_autoencoder 2, reconstruct`, in the order of the stages."""
    stages = Counter(job.stage for job in jobs)
    named = ", ".join(f"{stage} {stages[stage]}".removesuffix(" 1") for stage in STAGES if stage in stages)
    results = "1 result" if len(jobs) == 1 else f"{len(jobs)} results"
    line = f"{what}: {results}: {named}" if jobs else f"{what}: nothing"
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _result(plan: Plan) -> str:
    """The page's first sentence, from the tables that are there."""
    tables: dict[str, ShownTable] = {}
    for name, job in plan.tables.items():
        if job.complete:
            tables[name] = read_table(name, Path(job.path("table.json")), Path(job.path("table.tex")))
    data = plan.report.inputs["data"]
    named = dict(zip(plan.report.names, [data] if isinstance(data, str) else data, strict=True))
    neighbours = Path(named["neighbours_summary"]) if "neighbours_summary" in named else None
    return main_result(tables, neighbours if neighbours is not None and neighbours.exists() else None)
