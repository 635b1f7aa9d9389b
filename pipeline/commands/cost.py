"""What a training step of each model costs a GPU: operations, memory, and whether it fits; no GPU is needed."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import ConfigArgument, run_stage
from pipeline.base.errors import InputError
from pipeline.base.paths import DEMO
from pipeline.base.progress import Progress
from pipeline.config.root import read_config
from pipeline.estimation.devices import DEVICES, choose_card
from pipeline.estimation.fitting import facts, text, too_large, training_costs, trainings

CARDS = ", ".join(name for name, device in DEVICES.items() if device.memory_gib is not None)


def cost(
    config: ConfigArgument = DEMO,
    entries: Annotated[
        list[str] | None, typer.Argument(metavar="[ENTRY]...", help="Such as autoencoders.main; all without.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help=f"Say what fits this GPU: {CARDS}, or with its memory, such as a100-40gb.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write it there, with what models cost in use.")] = None,
) -> None:
    """Count a training step of each model, on a GPU that is not there: its own code runs without numbers.

    Exit code 1 where one does not fit the GPU that --device names.
    """
    chosen = None if device is None else choose_card(device)
    found = read_config(config)
    known = trainings(found)
    if unknown := set(entries or ()) - known.keys():
        raise InputError(f"{', '.join(sorted(unknown))}: no training of {config}, which has {', '.join(known)}")
    wanted = entries or list(known)
    with Progress("count", len(wanted), "trainings") as progress:
        costs = list(training_costs(found, wanted, uses=json is not None, done=progress.advance))
    print(text(costs, chosen))
    if json is not None:
        write_json(json, facts(costs, chosen))
    if chosen is not None and (lines := too_large(costs, chosen)):
        print("", *lines, sep="\n")
        raise typer.Exit(1)


if __name__ == "__main__":
    run_stage(cost)
