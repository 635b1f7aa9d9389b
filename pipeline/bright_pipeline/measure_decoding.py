"""Stage: decoded images per second of several autoencoders, in turns; their weights need not be trained."""

from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.evaluation.summary import Summary, Value, versions, write_summaries
from bright_pipeline.families import autoencoder_family
from bright_pipeline.models.traits import architecture_traits
from bright_pipeline.stages.measurements import Decoding


@stage
def measure_decoding(job: Decoding, output: Annotated[Path, typer.Option(help="Where the speeds go (json).")]) -> None:
    import torch

    from bright_pipeline.evaluation.decoding_speed import decoding_speeds, machine
    from bright_pipeline.models.checkpoints import make_autoencoder, pick_device
    from bright_pipeline.models.processor import use_cpu

    use_cpu(job.cpu_threads)
    torch.manual_seed(0)
    device = pick_device()
    models = [
        make_autoencoder(model.autoencoder, model.resolution, model.channels).to(device).eval().requires_grad_(False)
        for model in job.models.values()
    ]
    speeds = decoding_speeds(models, job.batch, job.rounds)
    protocol = {
        **machine(device),
        "batch": job.batch,
        "rounds": job.rounds,
        "images_per_second_interval": "the slowest and the fastest round",
        "versions": versions("torch"),
    }
    summaries = {}
    for (name, model), rates in zip(job.models.items(), speeds, strict=True):
        method = autoencoder_family(model.autoencoder.family).method
        rate = Value(number=median(rates), interval=(rates[0], rates[-1]), protocol=protocol)
        traits = {"method": method, **architecture_traits(model.autoencoder)}
        summaries[name] = Summary(kind="decoding", traits=traits, values={"decoding.images_per_second": rate})
    write_summaries(output, summaries)
