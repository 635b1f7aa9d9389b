"""Two runs on one store do not make one result at the same time, on whatever hosts they are.

Before it plans, a run claims each result that it has to make, and each network that it has to fetch: a lock (fcntl) on
one byte of results/work/claims, at the place that a hash of its path gives. All or none: a run that waits holds
nothing. The kernel ends a claim with its process, also where the file system is shared between hosts. Where it has no
locks, runs go on without.
"""

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.base.locks import is_locked
from pipeline.base.paths import NETWORKS, RESULTS, WORK
from pipeline.models.metric_networks.manifest import network_path
from pipeline.plan.checks import networks_needed
from pipeline.plan.run import Needed
from pipeline.stages.common import Jobs

CLAIMS = WORK / "claims"
LOOK_AGAIN_S = 0.5


class Claims:
    """The claims of this process, as long as this lives. A second one in a process would end the first one's."""

    def __init__(self, file: Path = CLAIMS):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("ab")
        self._held: list[Path] = []

    def take(self, paths: Iterable[Path]) -> Path | None:
        """Claim all of these; where another process has one of them, none, and that one is returned."""
        for path in sorted(set(paths)):
            if not self._lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                self.release()
                return path
            self._held.append(path)
        return None

    def release(self) -> None:
        """Hold nothing any more."""
        while self._held:
            self._lock(self._held.pop(), fcntl.LOCK_UN)

    def _lock(self, path: Path, how: int) -> bool:
        try:
            fcntl.lockf(self._file, how, 1, int(hashlib.sha256(str(path).encode()).hexdigest()[:12], 16))
        except (BlockingIOError, PermissionError):  # POSIX allows both for a lock of another process
            return False
        except OSError:
            pass  # no locks here
        return True


def claim(jobs: Jobs, plan: Callable[[], Needed], say: Callable[[str], None]) -> tuple[Needed, Claims | None]:
    """What has to be made, once no other run makes any of it; what another run finished by then is not among it.

    `say` is told once what is waited for. Where there is nothing to make, or no store yet, nothing is written.
    """
    if not (needed := plan()).jobs or not RESULTS.is_dir():
        return needed, None
    claims, told = Claims(), False
    while (other := claims.take(to_make(plan()))) is not None:
        if not told:
            say(f"waiting for another run on this store, which makes {other}")
            told = True
        time.sleep(LOOK_AGAIN_S)
        jobs.shelf.forget()
    # What was finished between the look at the store and the claim is not made again.
    jobs.shelf.forget()
    return plan(), claims


def to_make(needed: Needed) -> list[Path]:
    """Folders of the results, named by their digests alone, and networks that are not here."""
    networks = (network_path(name, NETWORKS) for name in networks_needed(needed.jobs))
    return [claimed_as(job.folder) for job in needed.jobs] + [path for path in networks if not path.exists()]


def claimed_as(folder: Path) -> Path:
    """A result's folder without the name that this config gives it."""
    return folder.with_name(folder.name.rsplit("-", 1)[-1])


def in_use(folder: Path) -> bool:
    """Whether a training of another checkout or config, on whatever host, writes into it, or a run is to make it."""
    return is_locked(folder) or is_claimed(folder)


def is_claimed(folder: Path, file: Path = CLAIMS) -> bool:
    """Whether a run of another process makes the result of this folder now."""
    if not file.exists():
        return False
    claims = Claims(file)
    other = claims.take([claimed_as(folder)])
    claims.release()
    return other is not None
