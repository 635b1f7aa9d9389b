"""Commands that start in 0.2 s: a folder for the PATH, whose programs are forks of one that loaded the libraries."""

import compileall
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PROGRAMS = ("python", "python3", "snakemake", "dvc", "bright")
REAL_PROCESSES = {"REAL_PROCESSES": "1"}
"""Added to a command's environment: it and all that it starts are processes of their own, from their first line."""


@cache
def commands() -> Path:
    """The folder; its server starts with the first call and ends with this process.

    The project's own modules, which no server loads, are compiled once for all commands: where
    PYTHONDONTWRITEBYTECODE is set, each would do it again.
    """
    compileall.compile_dir(REPOSITORY / "pipeline", quiet=2)
    folder = Path(tempfile.mkdtemp(prefix="fork-server-"))
    socket = folder / "socket"
    client = (HERE / "client.py").read_text(encoding="utf-8")
    client = client.replace("{programs}", str(Path(sys.executable).parent)).replace("{socket}", str(socket))
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f"#!{sys.executable} -IS\n{client}", encoding="utf-8")
        program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(socket)],
        stdin=subprocess.PIPE,  # closed when this process ends: then the server ends
        stdout=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    assert server.stdout and server.stdout.readline() == b"ready\n", "the fork server did not start"
    return folder
