"""Command: print the fingerprint of a dataset's raw collection, as JSON."""

from pipeline.base.command import LogOption, SettingsArgument, read_settings, run_stage
from pipeline.base.progress import log_to
from pipeline.data.fingerprint import fingerprint as fingerprint_of
from pipeline.prepare_dataset import DatasetJob


def fingerprint(settings: SettingsArgument, log: LogOption = None) -> None:
    """Print the fingerprint of a dataset's raw images: counts, and digests of names, sizes and contents."""
    log_to(log)
    job = read_settings(DatasetJob, settings)
    print(fingerprint_of(job.source, f"datasets.{job.name}.source").model_dump_json(indent=2))


if __name__ == "__main__":
    run_stage(fingerprint)
