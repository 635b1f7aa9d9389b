"""Helpers to start Debian's daemons for a test session: packages, free ports, waiting."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
ASKED = "CHANGE_SYSTEM"  # =1: tests may install Debian's packages and mount file systems


class Unavailable(Exception):
    """The reason why a daemon cannot run here, in one line."""


def install(what: str, package: str, *programs: str, as_root: bool = True) -> None:
    """Install a Debian package if that was asked for and its programs are not here; else raises Unavailable."""
    if as_root and os.geteuid() != 0:
        raise Unavailable(f"no {what}: starting it needs root")
    if SBIN not in os.environ.get("PATH", ""):  # a user's PATH may lack the folders of daemons
        os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    if all(map(shutil.which, programs)):
        return
    if os.environ.get(ASKED) != "1" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"no {what}: install Debian's package {package}, or, as root, set {ASKED}=1")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with FileLock(Path(tempfile.gettempdir()) / "tests-apt-get.lock"):  # of two at once, apt-get fails in one
        for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            done = subprocess.run(["apt-get", *words], env=environment, capture_output=True, text=True)
            if done.returncode:
                raise Unavailable(f"no {what}: apt-get {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise Unavailable(f"no {what}: the package {package} has no {', '.join(missing)}")


def may_mount() -> None:
    """Skip the test unless file systems may be mounted here."""
    if os.environ.get(ASKED) != "1" or os.geteuid() != 0:
        pytest.skip(f"mounts file systems: as root, set {ASKED}=1")


def container() -> list[str]:
    """The words before a command that start it as process 1 of its own namespace, also without root."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    words = ["unshare", *user, "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("namespaces of processes (unshare --pid) are not allowed here")
    return words


def free_ports(count: int) -> list[int]:
    """Free ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port: int) -> bool:
    """Whether a server listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def check_alive(daemon: subprocess.Popen[bytes], log: Path) -> None:
    """Fail with one line, the last one of its log, if a daemon has ended."""
    if (code := daemon.poll()) is not None:
        (line,) = log.read_text(errors="replace").splitlines()[-1:] or ["nothing in its log"]
        pytest.fail(f"{Path(log).stem} ended with exit code {code}: {line}", pytrace=False)


def wait_for(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.2)
