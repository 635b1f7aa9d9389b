"""Servers on this machine for `dvc push`: Debian's OpenSSH and moto's S3."""

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moto.server import ThreadedMotoServer

from daemons import answers, check_alive, free_ports, install, wait_for

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class SSHServer:
    """The server's port, and its user with their key."""

    port: int
    user: str
    key: Path
    home: Path
    """A home directory whose known_hosts has the server's key."""


@contextmanager
def ssh_server(folder: Path) -> Iterator[SSHServer]:
    """OpenSSH's server on the loopback interface, with new keys; raises Unavailable if it cannot run."""
    install("SSH server", "openssh-server", "sshd")
    Path("/run/sshd").mkdir(exist_ok=True)  # for privilege separation
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (port,) = free_ports(1)
    (folder / "home" / ".ssh").mkdir(parents=True)
    kind, key, *_ = (folder / "host.pub").read_text().split()
    (folder / "home" / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder))
    sshd = str(shutil.which("sshd"))  # it needs its absolute path
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:

        def up() -> bool:
            check_alive(server, folder / "sshd.log")
            return answers(port)

        wait_for(up, 20, f"it does not answer: {folder}/sshd.log")
        yield SSHServer(port, getpass.getuser(), folder / "user", folder / "home")
    finally:
        server.terminate()
        server.wait()


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's S3 on the loopback interface: its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
