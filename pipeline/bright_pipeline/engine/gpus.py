"""The GPUs that this machine shows, leases of them (a lock on a file of each GPU), and whether PyTorch can use them.

`python -m bright_pipeline.engine.gpus COUNT` ends with one line and exit code 2 if PyTorch cannot use so many.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import DeviceError, error_text
from bright_pipeline.base.locks import try_lock
from bright_pipeline.base.progress import logger

POLL_S = 0.5  # between looks for free GPUs
# The oldest driver of each major version of CUDA: docs.nvidia.com/deploy/cuda-compatibility.
OLDEST_DRIVER = {"11": 450, "12": 525, "13": 580}
USE_CPU = "to use the CPU, set execution.gpus: 0 for trainings, or run with --resources gpu=0"


Lease = dict[str, int]
"""The UUIDs of GPUs, each with the descriptor of its lock, which a child process must inherit."""


def visible_gpus() -> list[str]:
    """The UUIDs of the GPUs that this process may use, in its order; none without nvidia-smi.

    CUDA_VISIBLE_DEVICES has the meaning that CUDA gives it: indices or UUIDs, up to the first that does not exist.
    nvidia-smi follows a scheduler that hides or renumbers GPUs. DeviceError if it fails.
    """
    present = dict(line.split(", ", 1) for line in _nvidia_smi("index,uuid") if ", " in line)
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


def _nvidia_smi(facts: str) -> list[str]:
    """These facts about each GPU; none where the program is missing, as without a driver of NVIDIA."""
    words = ["nvidia-smi", f"--query-gpu={facts}", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError:
        return []
    if done.returncode:
        raise DeviceError(f"nvidia-smi fails: {error_text(RuntimeError(done.stdout + done.stderr))}; {USE_CPU}")
    return done.stdout.splitlines()


def driver_and_cuda() -> str:
    """This machine's driver, and the one that the installed PyTorch needs."""
    import torch

    if (cuda := torch.version.cuda) is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    driver = "unknown"
    with suppress(DeviceError):
        driver = next(iter(_nvidia_smi("driver_version")), driver)
    oldest = OLDEST_DRIVER.get(cuda.partition(".")[0])
    needs = f"needs driver {oldest} or newer" if oldest else "needs the driver that NVIDIA's release notes name"
    return f"driver {driver}; PyTorch {torch.__version__} is built for CUDA {cuda}, which {needs}"


def check_torch(count: int) -> None:
    """DeviceError if PyTorch cannot use so many GPUs."""
    import torch

    usable, reason = 0, ""
    try:
        torch.cuda.init()
        for index in range(min(count, torch.cuda.device_count())):
            torch.zeros(1, device=f"cuda:{index}")  # a GPU can be listed, and fail
            usable += 1
    except (RuntimeError, AssertionError) as error:
        reason = f" ({error_text(error)})"
    if usable < count:
        asked = f"{count} GPU{'s' * (count > 1)} asked for, PyTorch can use {usable}{reason}"
        raise DeviceError(f"{asked}; {driver_and_cuda()}; {USE_CPU}")


def require_gpus(count: int, environment: dict[str, str], on_nodes: Sequence[str] = ()) -> None:
    """DeviceError if PyTorch cannot use so many GPUs in this environment; on_nodes: the beginning of a command."""
    words = [*on_nodes, sys.executable, "-m", "bright_pipeline.engine.gpus", str(count)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")] or [done.stderr[-500:]]
        raise DeviceError(lines[0].removeprefix("error: "))


def lease_gpus(count: int) -> Lease:
    """Wait until `count` GPUs are free, and lease them; an empty lease without nvidia-smi, which names them.

    Jobs wait in a queue. The first one keeps each GPU that becomes free until it has enough: a job for many GPUs is not
    overtaken by jobs for one, and no two jobs wait for each other. InputError if the machine has fewer GPUs.
    """
    import fcntl  # after `bright_pipeline.base.locks`, which says what Windows lacks

    if not count or shutil.which("nvidia-smi") is None:
        return {}
    if count > len(present := visible_gpus()):
        raise DeviceError(f"--gpus: at most the {len(present)} GPUs that this machine shows, not {count}; {USE_CPU}")
    folder = Path(tempfile.gettempdir()) / f"bright-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    queue = _open(folder / "queue")
    held: Lease = {}
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
            return held
        if not waiting:
            logger.info("waiting for %d of %d GPUs", count, len(present))
            waiting = True
        time.sleep(POLL_S)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


if __name__ == "__main__":
    run_stage(check_torch, beats=False)
