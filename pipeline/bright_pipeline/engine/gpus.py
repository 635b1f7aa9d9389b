"""The GPUs that this machine shows, and leases of them: a lock on a file of each GPU."""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import try_lock
from bright_pipeline.base.progress import logger

POLL_S = 0.5  # between looks for free GPUs


@dataclass(frozen=True)
class Lease:
    """The UUIDs of GPUs, and the descriptors of their locks, which a child process must inherit."""

    gpus: tuple[str, ...] = ()
    locks: tuple[int, ...] = ()


def visible_gpus() -> list[str]:
    """The UUIDs of the GPUs that this process may use, in its order; none if nvidia-smi is missing or fails.

    CUDA_VISIBLE_DEVICES has the meaning that CUDA gives it: indices or UUIDs, up to the first that does not exist.
    nvidia-smi follows a scheduler that hides or renumbers GPUs.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    present = dict(line.split(", ", 1) for line in done.stdout.splitlines() if ", " in line)
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(present.values())
    gpus: list[str] = []
    for name in (entry.strip() for entry in chosen.split(",")):
        # As in CUDA, a prefix of a UUID is enough if it is the prefix of one GPU only.
        of_uuid = [uuid for uuid in present.values() if name.startswith("GPU-") and uuid.startswith(name)]
        uuids = [name] if name.startswith("MIG-") else [present[name]] if name in present else of_uuid
        if len(uuids) != 1:
            break
        gpus += uuids
    return gpus


def lease_gpus(count: int) -> Lease:
    """Wait until `count` GPUs are free, and lease them; an empty lease if this machine has none.

    Jobs wait in a queue. The first one keeps each GPU that becomes free until it has enough: a job for many GPUs is not
    overtaken by jobs for one, and no two jobs wait for each other. InputError if the machine has fewer GPUs.
    """
    import fcntl  # after `bright_pipeline.base.locks`, which says what Windows lacks

    present = visible_gpus() if count else []
    if not present:
        return Lease()
    if count > len(present):
        raise InputError(f"--gpus: at most the {len(present)} GPUs that this machine shows, not {count}")
    folder = Path(tempfile.gettempdir()) / f"bright-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    queue = _open(folder / "queue")
    held: dict[str, int] = {}
    if waiting := not try_lock(queue):
        logger.info("waiting for %d of %d GPUs", count, len(present))
        fcntl.flock(queue, fcntl.LOCK_EX)
    while True:
        for gpu in present:
            if len(held) < count and gpu not in held:
                descriptor = _open(folder / gpu)
                if try_lock(descriptor):
                    held[gpu] = descriptor
                else:
                    os.close(descriptor)
        if len(held) == count:
            os.close(queue)
            return Lease(tuple(held), tuple(held.values()))
        if not waiting:
            logger.info("waiting for %d of %d GPUs", count, len(present))
            waiting = True
        time.sleep(POLL_S)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
