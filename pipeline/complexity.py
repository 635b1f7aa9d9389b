"""Stage: count parameters and multiply-accumulates of a table's autoencoders (Tables 3, 7 and 8), without training."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import run_stage, stage
from pipeline.base.errors import InputError
from pipeline.base.progress import logger
from pipeline.base.summary import Summary, Value, write_summaries
from pipeline.families import autoencoder_family, load
from pipeline.models.traits import architecture_traits
from pipeline.stages.autoencoders import Complexity

MILLION = 1e6


@stage
def complexity(job: Complexity, output: Annotated[Path, typer.Option(help="The JSON file for the counts.")]) -> None:
    summaries = {}
    for name, model in job.models.items():
        settings, family = model.autoencoder, autoencoder_family(model.autoencoder.family)
        try:
            found = load(family.counts)(settings, model.resolution, model.channels)
        except ValueError as error:
            raise InputError(f"{model.entry or name}: {error}") from None
        numbers = {key: found[key] / MILLION for key in ("decoder_params", "encoder_params")}
        tables = found.get("hash_table_params", {})
        numbers |= {f"hash_tables.{convention}": count / MILLION for convention, count in tables.items()}
        numbers |= {f"gmacs.{rule}": count for rule, count in found["gmacs"].items()}
        summaries[name] = Summary(
            kind="complexity",
            traits={"method": family.method, **architecture_traits(settings), "resolution": model.resolution},
            values={key: Value(number=number) for key, number in numbers.items()},
            details=found,
        )
    write_summaries(output, summaries)
    logger.info("complexity written to %s", output)


if __name__ == "__main__":
    run_stage(complexity)
