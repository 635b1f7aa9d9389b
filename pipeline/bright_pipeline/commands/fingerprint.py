"""Command: compute and store the fingerprints of a config's raw collections and checkpoints."""

import json

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.progress import log_to
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import FINGERPRINTS
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs


def fingerprint(config: ConfigArgument) -> None:
    """Compute and store the fingerprints that a config's run needs; print all stored ones by their files as JSON.

    A run does this itself. Dry runs store nothing: for a large collection, this command saves them the reading.
    """
    log_to(None)
    jobs = Jobs(read_config(config))
    jobs(planned)
    jobs.fingerprints.keep()
    print(json.dumps({str(path): read_json(path, str(path)) for path in sorted(FINGERPRINTS.glob("*.json"))}, indent=2))
