"""Snapshots: the weights that a training had on its way, in place of a training of their own."""

from typing import Any


def training_steps(training: Any) -> int:
    """Steps of a training, whose length is said in steps or in images."""
    return training.steps if hasattr(training, "steps") else -(-training.images // training.batch)


def length_key(training: Any) -> str:
    """The key that says how long a training is."""
    return "steps" if hasattr(training, "steps") else "images"


def check_snapshot(snapshot: Any, trained: Any) -> None:
    """ValueError, beginning with the key, where this entry cannot be a snapshot of that one's training."""
    of, key = snapshot.snapshot_of, length_key(trained.training)
    if trained.snapshot_of is not None or trained.weights is not None or snapshot.weights is not None:
        raise ValueError(f"snapshot_of: the name of an entry that is trained, which {of} is not")
    for name, own in _apart(snapshot, key).items():
        if own != _apart(trained, key)[name]:
            raise ValueError(f"{name}: as in {of}, whose snapshot this is, but for training.{key}")
    steps, every = training_steps(snapshot.training), trained.execution.keep_every
    if not every or steps % every or steps > training_steps(trained.training):
        raise ValueError(
            f"training.{key}: {of} keeps no snapshot after {steps} steps: its execution.keep_every, {every}, must"
            f" divide them, and they must be at most its training's {training_steps(trained.training)}"
        )


def _apart(entry: Any, key: str) -> dict[str, Any]:
    """Its keys but for the length of its training and how it runs."""
    values = entry.model_dump(mode="json", exclude={"snapshot_of": True, "execution": True, "training": {key}})
    return values | {"precision": entry.execution.precision, "cpu_threads": entry.execution.cpu_threads}
