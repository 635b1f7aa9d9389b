"""Where things lie: what comes with the checkout, by absolute paths, and results, from the folder of the run."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"
PUBLISHED = CONFIG / "published"
DEMO = Path("config/demo.yaml")  # the config of whoever names none

RESULTS = Path("results")
STORE = RESULTS / "store"
WORK = RESULTS / "work"
LOGS = RESULTS / "logs"
NETWORKS = RESULTS / "networks"


def snapshot_path(work: Path, step: int) -> Path:
    """Where a training with this work folder keeps the averaged weights that it has after a step."""
    return work / "snapshots" / f"{step:08d}.safetensors"
