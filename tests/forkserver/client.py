"""Stands on the tests' PATH for `python`: a module is run by a fork of the server, all else by the real Python.

Placeholders in braces are filled in where it is put into place. It starts in 20 ms, so it imports little.
"""

import json
import os
import signal
import socket
import sys

PROGRAMS = "{programs}"
SERVER = "{socket}"
FORKED = ("pipeline", "snakemake", "dvc")
MODULES = {"snakemake": "snakemake", "dvc": "dvc", "bright": "pipeline.commands"}
REAL = "REAL_PROCESSES"  # set: nothing is forked


def forked(name: str, words: list[str]) -> list[str] | None:
    """The module and its arguments, where a fork can run them."""
    if os.environ.get(REAL):
        return None
    if name in MODULES:
        return [MODULES[name], *words]
    return words[1:] if words[:1] == ["-m"] and words[1].partition(".")[0] in FORKED else None


def run(words: list[str]) -> int:
    """Have a fork run the words; returns its exit code, negative where a signal ended it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SERVER)
    told = {"arguments": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    told["executable"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python")
    message = json.dumps(told).encode() + b"\n"
    sent = socket.send_fds(connection, [message], [0, 1, 2])
    connection.sendall(message[sent:])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda name, frame: connection.sendall(bytes([name])))
    answer = connection.recv(16)
    while answer and not answer.endswith(b"\n"):
        answer += connection.recv(16)
    return int(answer) if answer else -signal.SIGKILL


def main() -> None:
    name = os.path.basename(__file__)
    words = forked(name, sys.argv[1:])
    if words is None:
        program = os.path.join(PROGRAMS, name)
        os.execv(program, [program, *sys.argv[1:]])
    code = run(words)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
