"""Stage: count parameters and multiply-accumulates of a table's autoencoders (Tables 3, 7 and 8), without training.

Without settings it prints the paper's architectures with the published numbers.
"""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

from bright_pipeline.engine.command import LogOption, read_settings, run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import PUBLISHED
from bright_pipeline.base.progress import log_to, logger
from bright_pipeline.config.root import read_config
from bright_pipeline.evaluation.summary import Summary, Value, write_summaries
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.traits import architecture_traits
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.stages.autoencoders import PAPER, Complexity

MILLION = 1e6
TABLES = ("table3", "table7", "table8")


def complexity(
    settings: Annotated[
        str | None,
        typer.Argument(help="Models by name, each with autoencoder, resolution and channels: JSON, or a file."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The JSON file for the counts.")] = None,
    log: LogOption = None,
) -> None:
    """Count parameters and multiply-accumulates; without settings, print the paper's architectures."""
    log_to(log)
    if settings is None:
        print(published_comparison())
        return
    if output is None:
        raise InputError("complexity: --output is missing; give the path of the JSON file to write")
    summaries = {}
    for name, model in read_settings(Complexity, settings).models.items():
        architecture, family = model.autoencoder, autoencoder_family(model.autoencoder.family)
        try:
            counted = load(family.counts)(architecture, model.resolution, model.channels)
        except ValueError as error:
            raise InputError(f"{model.entry or name}: {error}") from None
        numbers = {key: counted[key] / MILLION for key in ("decoder_params", "encoder_params")}
        tables = counted.get("hash_table_params", {})
        numbers |= {f"hash_tables.{convention}": count / MILLION for convention, count in tables.items()}
        numbers |= {f"gmacs.{rule}": count for rule, count in counted["gmacs"].items()}
        summaries[name] = Summary(
            kind="complexity",
            traits={"method": family.method, **architecture_traits(architecture), "resolution": model.resolution},
            values={key: Value(number=number) for key, number in numbers.items()},
            details=counted,
        )
    write_summaries(output, summaries)
    logger.info("complexity written to %s", output)


def published_comparison() -> str:
    """A line per architecture of the paper (config/paper.yaml); published numbers in parentheses."""
    from bright_pipeline.models.complexity import counts

    paper, rows = read_config(PAPER), []
    for table in TABLES:
        for name in getattr(paper.tables_or_default, table):
            model, images = paper.autoencoders[name], paper.datasets[paper.autoencoders[name].dataset]
            if not isinstance(model, Autoencoder) or not (row := published_row(table, architecture_traits(model))):
                continue
            ours = counts(model, images.resolution, images.channels)
            ngp, tcnn = (ours["hash_table_params"][name] / MILLION for name in ("ngp", "tcnn"))
            columns = ("hash_table_params_millions", "decoder_params_millions", "decoder_gflops")
            tables, decoder, rule = (f"({row.get(column) or '-'})" for column in columns)
            size, gmacs = ours["decoder_params"] / MILLION, ours["gmacs"]
            shape = (table, model.code_size, model.tables.key_length, model.feature_size)
            counted = (
                f"{ngp:.3f}",
                f"{tcnn:.3f}",
                tables,
                f"{size:.3f}",
                decoder,
                f"{gmacs['paper_rule']:.4f}",
                rule,
            )
            rows.append([*shape, *counted, f"{gmacs['true']:.2f}"])
    header = ["", "code", "C_key", "H_d", "tables ngp", "tcnn", "", "decoder", "", "paper rule", "", "true"]
    title = "Decoding at 256 x 256, counted (published); parameters in millions, multiply-accumulates in 10^9."
    return f"{title}\n{tabulate(rows, header, tablefmt='plain', disable_numparse=True, stralign='right')}"


def published_row(table: str, traits: dict[str, Any]) -> dict[str, str]:
    """BRIGHT's row of a published table with those of these traits that the table prints; empty if it has none."""
    path = PUBLISHED / f"{table}.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "BRIGHT"]
    return next((row for row in rows if all(row[key] == str(traits[key]) for key in traits if key in row)), {})


if __name__ == "__main__":
    run_stage(complexity)
