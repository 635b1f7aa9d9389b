"""A process with loaded libraries, whose forks run tests' commands in 0.2 s instead of seconds.

`python server.py SOCKET [FOLDER]` listens on a Unix socket. A client (client.py, installed on the tests' PATH as
`python`, `snakemake`, `dvc` and `bright`) sends its arguments, folder, environment and three streams. A fork of this
process then runs `python -m MODULE ...`. The project's modules in FOLDER are loaded too; a fork that finds the package
elsewhere, in a test's own checkout, imports it afresh; its digests of code are computed anew for files that differ. The
server ends with the process that started it.

Tests start real processes when they measure imports or peak memory, or kill a process with its parent.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

LIBRARIES = (
    "torch", "torch._dynamo", "torchvision", "accelerate", "diffusers", "diffusers.models.autoencoders.vae",
    "diffusers.training_utils", "lpips", "torchmetrics.image", "torch_fidelity", "cleanfid.fid",
    "efficientnet_lite_pytorch", "safetensors.torch", "scipy.linalg", "scipy.stats", "pandas", "matplotlib.pyplot",
    "PIL.Image", "PIL.features", "lmdb", "pydantic", "jinja2", "psutil", "typer", "tqdm.auto", "snakemake.cli",
    "snakemake.workflow", "snakemake.executors.local", "snakemake.profiles", "snakemake.report", "snakemake.storage",
    "smart_open", "dvc.cli", "dvc.repo", "dvc.commands.data_sync", "dvc.compare", "dvc.lock", "dvc.scm",
    "dvc.cli.parser", "dvc.repo.index", "dvc.repo.open_repo", "dvc.repo.plots", "dvc.data_cloud",
    "dvc.utils.strictyaml", "networkx", "rich.progress", "matplotlib.backends.backend_pdf", "fontTools.subset",
)  # fmt: skip
OWN = "bright_pipeline"
CODE = f"{OWN}.engine.code"
DIGESTING = ("engine/code.py", "engine/canonical.py", "excluded_from_digest.yaml")  # what digests of code depend on
# Most modules of the project; no command, and none that looks at the process that imports it.
PROJECT = (
    "plan.checks", "plan.publish", "engine.run", "engine.reservations", "engine.records", "generation.sampling",
    "training.autoencoder", "training.diffusion", "models.retrieval_triton", "evaluation.validation",
    "evaluation.metrics", "evaluation.frechet", "tables.build", "tables.render", "figures.codes", "figures.curves",
    "figures.images", "page.page", "estimation.report",
)  # fmt: skip
MOUNTS = 0x00020000  # CLONE_NEWNS


class Loaded(MetaPathFinder, Loader):
    """Gives a fork the project's modules of this process, where it would import them from the same folder or its copy.

    A fork that imports them from another folder computes digests of code only for files that differ.
    """

    def __init__(self, folder: str):
        sys.path.insert(0, folder)
        stages = importlib.import_module(f"{OWN}.stages").all_stages()
        families = sorted(path.stem for path in (Path(folder) / OWN / "families").glob("[a-z]*.py"))
        for name in (*PROJECT, *(f"families.{family}" for family in families)):
            importlib.import_module(f"{OWN}.{name}")
        importlib.import_module("drawn").draw_a_figure()
        measurements = sys.modules[f"{OWN}.stages.measurements"]
        measurements.paper_config()  # remembered
        code, copies = sys.modules[CODE], importlib.import_module(f"{OWN}.engine.code_copy")
        self.known = {one.name: one for one in code.Code().closure([f"{OWN}.{stage}" for stage in stages])}
        self.modules = {name: one for name, one in sys.modules.items() if name.partition(".")[0] == OWN}
        files = (Path(one.__file__) for one in self.modules.values() if one.__file__)
        self.written = {path: path.stat().st_mtime_ns for path in (*files, measurements.PAPER)}
        self.contents = {one.path: one.path.read_bytes() for one in self.known.values()}
        self.digesting = {file: (Path(folder) / OWN / file).read_bytes() for file in DIGESTING}
        self.remember(code)
        self.copy = copies.copy_path(copies.code_files([], Path(folder).parent / "workflow" / "rules")).name
        for name in self.modules:
            del sys.modules[name]
        del sys.path[0]

    def remember(self, code: Any) -> None:
        """Let the module of code digests know the files that this process has read."""
        read = code.Code.module

        def module(self_: Any, name: str) -> Any:
            one, path = self.known.get(name), self_.file(name)
            if one is None or path is None:
                return read(self_, name)
            return one._replace(path=path) if path.read_bytes() == self.contents[one.path] else read(self_, name)

        code.Code.module = module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in (OWN, CODE) else None
        if spec is None or spec.origin is None:
            return None
        if name == CODE:
            package = Path(spec.origin).parents[1]
            if any((package / file).read_bytes() != content for file, content in self.digesting.items()):
                return None
            spec.loader = Remembering(spec.loader, self.remember)
            return spec
        if spec.origin != self.modules[OWN].__file__ and Path(spec.origin).parents[1].name != self.copy:
            return None
        if any(path.stat().st_mtime_ns != moment for path, moment in self.written.items()):
            return None  # somebody is editing
        sys.modules.update(self.modules)
        spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        pass


class Remembering(Loader):
    """Loads a module, and lets it remember."""

    def __init__(self, loader: Any, remember: Callable[[ModuleType], None]):
        self.loader, self.remember = loader, remember

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.remember(module)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A client's job and its three streams; ConnectionError if the client is gone before it has sent all."""
    message, streams, _, _ = socket.recv_fds(connection, 2**16, 3)
    while not message.endswith(b"\n"):
        if not (part := connection.recv(2**16)):
            raise ConnectionError(f"a client is gone after {len(message)} bytes of its job")
        message += part
    return json.loads(message), list(streams)


class Command(NamedTuple):
    """A fork that runs a command, and the client that waits for it."""

    pid: int
    ended: int  # its pidfd
    client: socket.socket

    def forward(self) -> None:
        """Send it the signal that its client got; kill it when its client is gone."""
        word = b""
        with suppress(ConnectionError):
            word = self.client.recv(1)
        os.kill(self.pid, word[0] if word else signal.SIGKILL)

    def answer(self) -> None:
        """Send its exit code."""
        _, status = os.waitpid(self.pid, 0)
        with suppress(ConnectionError):
            self.client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        self.close()

    def close(self) -> None:
        os.close(self.ended)
        self.client.close()


def see_mounts_of(connection: socket.socket) -> None:
    """Enter the client's mount namespace, if it has another one, like the jobs of the tests' Slurm."""
    pid, *_ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    own, other = Path("/proc/self/ns/mnt"), Path(f"/proc/{pid}/ns/mnt")
    if not own.samefile(other):
        with other.open("rb") as namespace:
            changed = ctypes.CDLL(None).setns(namespace.fileno(), MOUNTS)
        assert changed == 0, "the client's mount namespace is closed"


def become(job: dict[str, Any], streams: list[int], search: list[str]) -> None:
    """Give this fork the streams, folder, environment, search path and threads of `python ARGUMENTS`."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*job["search"], *(str(Path(path).resolve()) for path in own if path), *search]
    sys.executable = job["executable"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    import numpy as np
    import torch

    if snakemake := sys.modules.get("snakemake.workflow"):
        snakemake.Workflow._rundir = job["folder"]  # set on import
    np.random.seed(None)  # noqa: NPY002
    random.seed()
    # OpenMP read the server's environment on import.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))


def run(module: str, *words: str) -> NoReturn:
    """Run a module, then end without freeing each object, which would copy memory that forks share."""
    sys.argv[1:] = words
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        code = ending.code
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, like Python's exit
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def serve(path: str) -> tuple[dict[str, Any], list[int]]:
    """Answer clients until the starting process and all commands end; returns in each fork that runs a command.

    A fork copies the tables of all memory pages, so a command has one, and this process waits for them all.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    sources: list[Any] = [listener, sys.stdin]
    commands: list[Command] = []
    while sources or commands:
        watched = [part for command in commands for part in (command.ended, command.client)]
        ready, _, _ = select.select([*sources, *watched], [], [])
        for command in commands[:]:
            if command.ended in ready:
                command.answer()
                commands.remove(command)
            elif command.client in ready:
                command.forward()
        if sys.stdin in ready:  # closed: the starting process has ended
            sources.clear()
            listener.close()
        elif listener in ready:
            client, _ = listener.accept()
            try:
                job, streams = receive(client)
            except ConnectionError:  # a test may kill it at any moment
                client.close()
                continue
            if not (pid := os.fork()):
                see_mounts_of(client)
                client.close()
                listener.close()
                for command in commands:
                    command.close()
                return job, streams
            commands.append(Command(pid, os.pidfd_open(pid), client))
            for stream in streams:
                os.close(stream)
    os._exit(0)


def main() -> None:
    search = sys.path[1:]
    gc.disable()
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:  # the command that needs it reports it
            print(f"fork server: {name} is not installed", file=sys.stderr)
    if snakemake := sys.modules.get("snakemake.cli"):
        snakemake.get_argument_parser()  # finds the plugins of this environment
    for folder in sys.argv[2:]:
        importlib.import_module("drawn").draw_no_weights()
        sys.meta_path.insert(0, Loaded(folder))
    os.fsync = lambda file: None  # no test cuts the power
    assert threading.active_count() == 1, f"threads do not survive a fork: {threading.enumerate()}"
    gc.collect()
    gc.freeze()
    gc.enable()
    job, streams = serve(sys.argv[1])
    become(job, streams, search)
    run(*job["arguments"])


if __name__ == "__main__":
    main()
