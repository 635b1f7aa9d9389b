"""Stage: what an autoencoder's decoding costs (Tables 3, 7 and 8); nothing is trained.

Without settings it prints the paper's architectures, each beside the published numbers.
"""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import LogOption, read_settings, run_stage
from pipeline.base.errors import InputError
from pipeline.base.progress import log_to, logger
from pipeline.config.autoencoder import Autoencoder
from pipeline.config.families import AnyAutoencoder
from pipeline.config.fields import Section
from pipeline.families import autoencoder_family, load
from pipeline.models.complexity import counts
from pipeline.models.traits import architecture_traits

PUBLISHED = Path(__file__).parents[1] / "config" / "published"
MILLION = 1e6


class ComplexityJob(Section):
    """Count an autoencoder for images of `resolution` with `channels` channels."""

    autoencoder: AnyAutoencoder
    resolution: int
    channels: int


# The paper's architectures, as (table, the row's columns there, what differs from the defaults).
ARCHITECTURES: tuple[tuple[str, dict[str, str], dict[str, Any]], ...] = (
    ("table3", {"code_size": "16x16x8"}, {}),
    ("table3", {"code_size": "16x16x16"}, {}),
    ("table3", {"code_size": "32x32x4"}, {}),
    ("table3", {"code_size": "64x64x4"}, {}),
    (  # r_min is not printed; only 16 gives the published 30.5M
        "table7",
        {"code_size": "64x64x4", "key_length": "2"},
        {"tables": {"key_length": 2, "coarsest_resolution": 16}},
    ),
    ("table8", {"code_size": "32x32x8", "feature_size": "64"}, {}),
    (  # an additional block from 32 to 64 (appendix E.2); 1024 channels and r_max 32 give 35.1M and 3.7M
        "table8",
        {"code_size": "32x32x8", "feature_size": "32"},
        {"feature_size": 32, "feature_channels": 1024, "tables": {"finest_resolution": 32}},
    ),
)


def complexity(
    settings: Annotated[
        str | None,
        typer.Argument(help="Autoencoder, resolution, channels: JSON, or a JSON or YAML file."),
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
    job = read_settings(ComplexityJob, settings)
    try:
        summary = summarize(job)
    except ValueError as error:
        raise InputError(f"settings: {error}") from None
    write_json(output, summary)
    logger.info("complexity written to %s", output)


def summarize(job: ComplexityJob) -> dict[str, Any]:
    """The counts, with what they belong to."""
    autoencoder, family = job.autoencoder, autoencoder_family(job.autoencoder.family)
    return {
        "kind": "complexity",
        "method": family.method,
        **architecture_traits(autoencoder),
        "resolution": job.resolution,
        "channels": job.channels,
        **load(family.counts)(autoencoder, job.resolution, job.channels),
    }


def published_comparison() -> str:
    """A line per architecture of the paper at 256 x 256; published numbers in parentheses."""
    lines = [
        "Decoding at 256 x 256, counted (published); parameters in millions, multiply-accumulates in 10^9.",
        f"{'':8}{'code':10}{'C_key':>6}{'H_d':>5}  {'tables ngp':>10} {'tcnn':>7} {'':8}{'decoder':>8} {'':8}"
        f"{'paper rule':>10} {'':9}{'true':>7}",
    ]
    for table, columns, settings in ARCHITECTURES:
        autoencoder = Autoencoder.model_validate({"dataset": "paper", "code_size": columns["code_size"], **settings})
        found, row = counts(autoencoder, 256, 3), published_row(table, columns)
        tables = found["hash_table_params"]
        lines.append(
            f"{table:8}{columns['code_size']:10}{autoencoder.tables.key_length:6}{autoencoder.feature_size:5}"
            f"  {tables['ngp'] / MILLION:10.3f} {tables['tcnn'] / MILLION:7.3f}"
            f" {_published(row, 'hash_table_params_millions'):8}"
            f"{found['decoder_params'] / MILLION:8.3f} {_published(row, 'decoder_params_millions'):8}"
            f"{found['gmacs']['paper_rule']:10.4f} {_published(row, 'decoder_gflops'):9}"
            f"{found['gmacs']['true']:7.2f}"
        )
    return "\n".join(lines)


def published_row(table: str, columns: dict[str, str]) -> dict[str, str]:
    """BRIGHT's row with these values in a published table; empty where the table is not at hand."""
    path = PUBLISHED / f"{table}.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "BRIGHT"]
    return next((row for row in rows if all(row[name] == value for name, value in columns.items())), {})


def _published(row: dict[str, str], column: str) -> str:
    return f"({row[column]})" if row.get(column) else "(-)"


if __name__ == "__main__":
    run_stage(complexity)
