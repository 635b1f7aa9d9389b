"""Paths: files of the package are absolute, results are relative to the folder in which the run starts."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PUBLISHED = PACKAGE / "tables" / "published"
PACKAGED_CONFIGS = PACKAGE / "config"  # links to files of config/, so that an installed package has these, too
DEMO = Path("config/demo.yaml")  # the default config

RESULTS = Path("results")
STORE = RESULTS / "store"
WORK = RESULTS / "work"
LOGS = RESULTS / "logs"
NETWORKS = RESULTS / "networks"


def snapshot_path(work: Path, step: int) -> Path:
    """Where a training with this work folder saves its EMA weights after a step."""
    return work / "snapshots" / f"{step:08d}.safetensors"
