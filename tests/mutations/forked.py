"""pytest in a fork of a process that has the libraries loaded and nothing of the project, as if started anew."""

import importlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

LIBRARIES = (
    "torch",
    "torchvision",
    "diffusers",
    "accelerate",
    "lpips",
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "pytest",
)
SECONDS_A_TEST = 300  # more than any takes
SECONDS_IN_ALL = 3600


def load_libraries() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as where tests run in several processes
    for name in LIBRARIES:
        importlib.import_module(name)


def pytest_in(folder: Path, arguments: list[str], output: Path) -> str | None:
    """Run tests of the checkout in `folder` until one fails: says which, or None."""
    child = os.fork()
    if child == 0:
        os._exit(_run(folder, arguments, output))
    code = _waited_for(child)
    text = output.read_text(errors="replace")
    if code in (0, 5):  # 5: no test was chosen
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S.*)$", text, re.MULTILINE)
    if found is None and "Timeout" in text:
        return f"time limit of {SECONDS_A_TEST} s for a test"
    return found.group(1) if found else f"exit code {code}: {text[-200:]!r}"


def _run(folder: Path, arguments: list[str], output: Path) -> int:
    os.setsid()
    os.chdir(folder)
    with output.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.path[0] = str(folder)
    sys.modules["__main__"] = ModuleType("__main__")  # what processes spawned by a test would import again
    os.environ["PYTHONPATH"] = str(folder)
    import pytest

    options = ["-x", "-q", "-rfE", "--tb=short", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    options += ["-o", f"faulthandler_timeout={SECONDS_A_TEST}", "-o", "faulthandler_exit_on_timeout=true"]
    try:
        return int(pytest.main(options + arguments))
    finally:
        sys.stdout.flush()


def _waited_for(child: int) -> int:
    ended = time.monotonic() + SECONDS_IN_ALL
    while time.monotonic() < ended:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.2)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL
