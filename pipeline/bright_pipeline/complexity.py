"""Stage: count parameters and multiply-accumulates of a table's autoencoders (Tables 3, 7 and 8), without training."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.evaluation.summary import Summary, Value, write_summaries
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.traits import architecture_traits
from bright_pipeline.stages.measurements import Complexity

MILLION = 1e6


@stage
def complexity(job: Complexity, output: Annotated[Path, typer.Option(help="Where the counts go (json).")]) -> None:
    summaries = {}
    for name, model in job.models.items():
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
