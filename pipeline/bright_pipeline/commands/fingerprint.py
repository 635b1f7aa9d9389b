"""Command: compute and store the fingerprints of a config's raw collections and checkpoints."""

import json

from bright_pipeline.engine.command import ConfigArgument, run_stage
from bright_pipeline.base.progress import log_to
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.data.sources import source_at
from bright_pipeline.settings.diffusion import FilesSamples


def fingerprint(config: ConfigArgument) -> None:
    """Compute the fingerprints of a config's raw images and checkpoints, store them, and print them as JSON.

    A run does this itself. Dry runs store nothing: for a large collection, this command saves them the reading.
    """
    log_to(None)
    settings, fingerprints, facts = read_config(config), Fingerprints(), {}
    for name, dataset in settings.datasets.items():
        where = f"datasets.{name}.source"
        facts[where] = fingerprints.collection(dataset.source, where, dataset.split.list)
    for name, samples in settings.samples.items():
        if isinstance(samples, FilesSamples):
            facts[f"samples.{name}"] = fingerprints.collection(source_at(samples.path), f"samples.{name}")
    for section in ("autoencoders", "diffusions", "generators"):
        for name, model in getattr(settings, section).items():
            if model.weights is not None:
                where = f"{section}.{name}.weights"
                facts[where] = fingerprints.checkpoint(model.weights, where)
            initial = getattr(model, "initial_weights", None)
            if initial is not None and initial.path is not None:
                where = f"{section}.{name}.initial_weights"
                facts[where] = fingerprints.checkpoint(initial.file_of(section.removesuffix("s")), where)
    fingerprints.keep()
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    run_stage(fingerprint)
