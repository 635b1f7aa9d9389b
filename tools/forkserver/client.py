"""`python` on the tests' PATH: the server's fork runs modules, the real Python all else.

`commands` fills in the placeholders in braces. The client starts in 20 ms, so it imports little.
"""

import json
import os
import signal
import socket
import sys

PROGRAMS = "{programs}"
FORKED = ("bright_pipeline", "snakemake", "dvc", "pytest", "torch")
MODULES = {"snakemake": "snakemake", "dvc": "dvc", "bright": "bright_pipeline.commands"}


def run(words: list[str], search: list[str]) -> int:
    """Run a module and its arguments in a fork; returns the exit code, negative for a signal.

    search: the first folders of the search path.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("{socket}")
    job = {"arguments": words, "folder": os.getcwd(), "environment": dict(os.environ), "search": search}
    job["executable"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python")
    message = json.dumps(job).encode() + b"\n"
    sent = socket.send_fds(connection, [message], [0, 1, 2])
    connection.sendall(message[sent:])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda name, frame: connection.sendall(bytes([name])))
    answer = connection.recv(16)
    while answer and not answer.endswith(b"\n"):
        answer += connection.recv(16)
    return int(answer) if answer else -signal.SIGKILL


def main() -> None:
    name, words = os.path.basename(__file__), sys.argv[1:]
    if name in MODULES:
        words = ["-P", "-m", MODULES[name], *words]  # an installed program has no folder
    is_safe = words[:1] == ["-P"]
    words = words[is_safe:]
    words = words[words[:1] == ["-u"] :]  # of torchrun's processes; what they log has no buffer
    is_forked = words[:1] == ["-m"] and words[1].partition(".")[0] in FORKED
    if os.environ.get("REAL_PROCESSES") or not is_forked:
        program = os.path.join(PROGRAMS, name)
        os.execv(program, [program, *sys.argv[1:]])
    code = run(words[1:], [] if is_safe or os.environ.get("PYTHONSAFEPATH") else [os.getcwd()])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
