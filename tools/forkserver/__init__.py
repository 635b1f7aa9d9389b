"""Commands that start in 0.2 s: a folder for the PATH, whose programs are forks of a server with loaded libraries."""

import compileall
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = ("python", "python3", "snakemake", "dvc", "bright")
REAL_PROCESSES = {"REAL_PROCESSES": "1"}
"""Added to a command's environment: the command, and all that it starts, are new processes instead of forks."""


@cache
def commands(python: str = sys.executable) -> Path:
    """The folder for an environment's Python. Its server starts with the first call and ends with this process."""
    # The project's modules, which the server does not load, are compiled once for all commands: with
    # PYTHONDONTWRITEBYTECODE, each command would compile them again.
    pipeline = (HERE.parents[1] / "pipeline").resolve()
    compileall.compile_dir(pipeline / "bright_pipeline", quiet=2)
    folder = Path(tempfile.mkdtemp(prefix="fork-server-"))
    socket = folder / "socket"
    client = (HERE / "client.py").read_text(encoding="utf-8")
    client = client.replace("{programs}", str(Path(python).parent)).replace("{socket}", str(socket))
    for name in PROGRAMS:
        (folder / name).write_text(f"#!{python} -IS\n{client}", encoding="utf-8")
        (folder / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [python, str(HERE / "server.py"), str(socket), *([str(pipeline)] if python == sys.executable else [])],
        stdin=subprocess.PIPE,  # closed when this process ends: then the server ends
        stdout=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    assert server.stdout and server.stdout.readline() == b"ready\n", "the fork server did not start"
    return folder
