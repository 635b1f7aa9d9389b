"""Stage: what the decoding of a table's autoencoders costs (Tables 3, 7 and 8); nothing is trained.

Without settings it prints the paper's architectures, each beside the published numbers.
"""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.command import LogOption, read_settings, run_stage
from pipeline.base.errors import InputError
from pipeline.base.paths import PUBLISHED
from pipeline.base.progress import log_to, logger
from pipeline.base.summary import Summary, Value, write_summaries
from pipeline.config.root import read_config
from pipeline.families import autoencoder_family, load
from pipeline.models.traits import architecture_traits
from pipeline.settings.autoencoder import Autoencoder
from pipeline.stages.autoencoders import PAPER, Architecture, Complexity

MILLION = 1e6
TABLES = ("table3", "table7", "table8")


def complexity(
    settings: Annotated[
        str | None,
        typer.Argument(help="Models, by name; each its autoencoder, resolution and channels: JSON, or a file."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the counts go, as JSON.")] = None,
    log: LogOption = None,
) -> None:
    """Count parameters and multiply-accumulates; without settings, print the paper's architectures."""
    log_to(log)
    if settings is None:
        print(published_comparison())
        return
    if output is None:
        raise InputError("complexity: --output is missing; give the path of the JSON file to write")
    job = read_settings(Complexity, settings)
    write_summaries(output, {name: counted(one, name) for name, one in job.models.items()})
    logger.info("complexity written to %s", output)


def counted(model: Architecture, name: str) -> Summary:
    """A model's traits and counts (parameters in millions); InputError names a model that cannot be counted."""
    settings, family = model.autoencoder, autoencoder_family(model.autoencoder.family)
    try:
        found = load(family.counts)(settings, model.resolution, model.channels)
    except ValueError as error:
        raise InputError(f"{model.entry or name}: {error}") from None
    numbers = {key: found[key] / MILLION for key in ("decoder_params", "encoder_params")}
    tables = found.get("hash_table_params", {})
    numbers |= {f"hash_tables.{convention}": count / MILLION for convention, count in tables.items()}
    numbers |= {f"gmacs.{rule}": count for rule, count in found["gmacs"].items()}
    return Summary(
        kind="complexity",
        traits={"method": family.method, **architecture_traits(settings), "resolution": model.resolution},
        values={key: Value(number=number) for key, number in numbers.items()},
        details=found,
    )


def published_comparison() -> str:
    """A line per architecture of the paper (config/paper.yaml); published numbers in parentheses."""
    from pipeline.models.complexity import counts

    paper = read_config(PAPER)
    lines = [
        "Decoding at 256 x 256, counted (published); parameters in millions, multiply-accumulates in 10^9.",
        f"{'':8}{'code':10}{'C_key':>6}{'H_d':>5}  {'tables ngp':>10} {'tcnn':>7} {'':8}{'decoder':>8} {'':8}"
        f"{'paper rule':>10} {'':9}{'true':>7}",
    ]
    for table in TABLES:
        for name in getattr(paper.tables_or_default, table):
            model, images = paper.autoencoders[name], paper.datasets[paper.autoencoders[name].dataset]
            if isinstance(model, Autoencoder) and (row := published_row(table, architecture_traits(model))):
                lines.append(_line(table, model, counts(model, images.resolution, images.channels), row))
    return "\n".join(lines)


def _line(table: str, model: Autoencoder, found: dict[str, Any], row: dict[str, str]) -> str:
    tables = found["hash_table_params"]
    return (
        f"{table:8}{model.code_size!s:10}{model.tables.key_length:6}{model.feature_size:5}"
        f"  {tables['ngp'] / MILLION:10.3f} {tables['tcnn'] / MILLION:7.3f}"
        f" {_published(row, 'hash_table_params_millions'):8}"
        f"{found['decoder_params'] / MILLION:8.3f} {_published(row, 'decoder_params_millions'):8}"
        f"{found['gmacs']['paper_rule']:10.4f} {_published(row, 'decoder_gflops'):9}"
        f"{found['gmacs']['true']:7.2f}"
    )


def published_row(table: str, traits: dict[str, Any]) -> dict[str, str]:
    """BRIGHT's row of a published table with these traits, as far as it prints them; empty where there is none."""
    path = PUBLISHED / f"{table}.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "BRIGHT"]
    return next((row for row in rows if all(row[key] == str(traits[key]) for key in traits if key in row)), {})


def _published(row: dict[str, str], column: str) -> str:
    return f"({row[column]})" if row.get(column) else "(-)"


if __name__ == "__main__":
    run_stage(complexity)
