"""Two runs on one store, on any hosts, do not make the same result at the same time.

Before it plans, a run reserves each result that it has to make and each network that it has to fetch: a lock (fcntl) on
one byte of results/work/reservations, at an offset hashed from the path. It gets all reservations or none, so a waiting
run holds nothing. A reservation ends with its process, also on a shared file system. Without locks, runs go on.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import is_locked
from bright_pipeline.base.paths import RESULTS, WORK
from bright_pipeline.engine.atomic import locked_sums, update_sums
from bright_pipeline.engine.checksums import problems
from bright_pipeline.engine.jobs import Jobs, planned
from bright_pipeline.engine.run import Needed

RESERVATIONS = WORK / "reservations"
RETRY_AFTER_S = 0.5


class Reservations:
    """The reservations of this process while this object exists.

    A second object would end them: closing any descriptor of a file releases all fcntl locks of the process on it.
    """

    def __init__(self, file: Path = RESERVATIONS):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("ab")
        self._held: list[Path] = []
        self.has_waited = False

    def take(self, paths: Iterable[Path]) -> Path | None:
        """Reserve all of these paths; if another process has one, reserve none and return that one."""
        for path in sorted(set(paths)):
            if not self.lock(path):
                self.release()
                return path
            self._held.append(path)
        return None

    def release(self) -> None:
        while self._held:
            self.lock(self._held.pop(), fcntl.LOCK_UN)

    def lock(self, path: Path | None, operation: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
        """Reserve a path, or all (None); False if another process has one of them."""
        start = 0 if path is None else int(hashlib.sha256(str(path).encode()).hexdigest()[:12], 16)
        try:
            fcntl.lockf(self._file, operation, 0 if path is None else 1, start)  # length 0: the whole file
        except (BlockingIOError, PermissionError):  # POSIX allows either for another process's lock
            return False
        except OSError:
            pass  # a file system without locks
        return True


def reserve(jobs: Jobs, plan: Callable[[], Needed], log: Callable[[str], None]) -> tuple[Needed, Reservations | None]:
    """The results that this run has to make, and its reservations on them, which it waits for.

    `log` gets one line if the run has to wait. If there is nothing to make, or no store yet, nothing is written: a run
    that cannot start leaves no folder, and one that can reserves its results before its first job.
    """
    if not (needed := plan()).jobs or not RESULTS.is_dir():
        return needed, None
    reservations = Reservations()
    while (other := reservations.take(to_make(plan()))) is not None:
        if not reservations.has_waited:
            log(f"waiting for another run on this store, which makes {other}")
            reservations.has_waited = True
        time.sleep(RETRY_AFTER_S)
        jobs.store.forget()
    # Another run may have finished results after this run read the store and before it reserved them.
    jobs.store.forget()
    return plan(), reservations


def to_make(needed: Needed) -> list[Path]:
    """The folders of the results, and missing files that no job makes: networks, which a rule fetches."""
    files = {Path(source) for job in needed.jobs for source in job.sources if isinstance(source, str)}
    return [reservation_path(job.folder) for job in needed.jobs] + sorted(path for path in files if not path.exists())


def reservation_path(folder: Path) -> Path:
    """A result's folder named by its digest alone, without the config's label."""
    return folder.with_name(folder.name.rpartition("-")[2])


def has_locks(folder: Path) -> bool:
    """Whether locks of both kinds hold on this file system: a child process must not get what this process has."""
    return all(_holds(lock, folder) for lock in (fcntl.flock, fcntl.lockf))


def _holds(lock: Callable[[IO[bytes], int], object], folder: Path) -> bool:
    with NamedTemporaryFile(dir=folder) as file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if child := os.fork():
            return os.waitpid(child, 0)[1] == 0
        is_free = False
        with suppress(OSError), Path(file.name).open("ab") as other:
            lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        os._exit(is_free)


def in_use(folder: Path, file: Path = RESERVATIONS) -> bool:
    """Whether a training on any host writes into a folder, or a run of another process makes its result."""
    if is_locked(folder):
        return True
    if not os.access(file, os.W_OK):  # no run reserved anything here, or results are read-only
        return False
    reservations = Reservations(file)
    other = reservations.take([reservation_path(folder)])
    reservations.release()
    return other is not None


def remove_states(jobs: Jobs) -> None:
    """Remove the saved states of finished trainings, whose results are whole; their curves and snapshots stay.

    For the end of a process that runs jobs: it ends this process's reservations. A training that another run makes now
    keeps its state, because Snakemake removes the outputs of a job that fails after it wrote them.
    """
    for job in jobs(planned).values():
        if not (job.is_training and job.complete and job.state.exists()) or is_locked(job.work) or in_use(job.folder):
            continue
        if not any(problems(map(Path, job.outputs), read="content")):
            job.state.unlink(missing_ok=True)
            with suppress(InputError), locked_sums():
                update_sums(job.work, {job.state.name: None})
