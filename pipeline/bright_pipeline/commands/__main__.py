"""`bright COMMAND`: run a command for people, or that of a stage, by its name."""

import difflib
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

from bright_pipeline.base.errors import error_line
from bright_pipeline.base.process import kernel_choice
from bright_pipeline.engine.code import described

PACKAGE = Path(__file__).parents[1]


def commands() -> dict[str, str]:
    """Command -> its module: the commands for people, then the stages whose name no command has."""
    modules: dict[str, str] = {}
    for package, folder in {"bright_pipeline.commands": PACKAGE / "commands", "bright_pipeline": PACKAGE}.items():
        modules = {path.stem: f"{package}.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))} | modules
    return modules


def listing() -> str:
    """All commands, one line each."""
    modules = commands()
    width = max(map(len, modules))
    lines = [
        "bright COMMAND [ARGUMENT]...  (help: bright COMMAND --help)",
        "bright STAGE CONFIG ENTRY     (a stage by hand: bright reconstruct config/demo.yaml autoencoders.main)",
    ]
    packages = {"Commands": "bright_pipeline.commands", "Stages, as the workflow calls them": "bright_pipeline"}
    for title, package in packages.items():
        lines += ["", f"{title}:"]
        own = [(name, module) for name, module in modules.items() if module == f"{package}.{name}"]
        lines += [f"  {name:{width}}  {described(module)}" for name, module in own]
    return "\n".join(lines)


def main() -> None:
    """Run a command, as `python -m` would; list all commands if none is given."""
    os.environ.update(kernel_choice())
    sys.path.append(str(Path.cwd()))  # for model families beside the config, as in the workflow
    name, *arguments = sys.argv[1:] or ["--help"]
    name = name.replace("-", "_") if name[0] != "-" else name
    modules = commands()
    if name in ("--help", "-h", "help"):
        try:
            print(listing(), flush=True)
        except BrokenPipeError:  # a reader such as `head -1` closed the pipe: leave nothing to flush
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        return
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1)
        print(f"error: no such command: {name!r}; {f'did you mean {near[0]}?' if near else 'bright --help lists them'}")
        sys.exit(2)
    # A stage whose arguments are a config and an entry, not settings and files.
    has_config = len(arguments) > 1 and Path(arguments[0]).suffix in (".yaml", ".yml") and arguments[1][:1].isalpha()
    sys.argv = [f"bright {name}", *arguments]
    try:
        if modules[name].startswith("bright_pipeline.commands."):
            from bright_pipeline.engine.command import run_stage

            run_stage(getattr(importlib.import_module(modules[name]), name))
        elif has_config:
            from bright_pipeline.config.root import read_config
            from bright_pipeline.engine import shards
            from bright_pipeline.stages.common import Jobs

            config, entry, *options = arguments  # added to the settings and files that the workflow gives the stage
            for words in shards.commands(shards.find_entry(Jobs(read_config(Path(config))), name, entry)):
                if code := subprocess.run([sys.executable, "-P", "-m", *words, *options]).returncode:
                    sys.exit(code)
        else:
            runpy.run_module(modules[name], run_name="__main__", alter_sys=False)
    except Exception as error:  # such as a package of an extra that is not installed
        if (line := error_line(error)) is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
