"""`bright COMMAND`: every command of the project by its name, those that people call and those of the stages.

`bright STAGE CONFIG ENTRY` is a stage in its short form (bright reconstruct config/demo.yaml autoencoders.main):
settings, inputs and outputs are the ones that the workflow gives it.
"""

import ast
import difflib
import os
import runpy
import subprocess
import sys
from pathlib import Path

from pipeline.base.errors import InputError

PACKAGE = Path(__file__).parents[1]
REPLACED = {"cost": "bright estimate", "gpu_check": "make gpu-check"}
"""Earlier commands, and what does their work now."""


def commands() -> dict[str, str]:
    """The module of each command, by the command's name: those that people call, then the stages'."""
    people = {path.stem: f"pipeline.commands.{path.stem}" for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))}
    stages = {path.stem: f"pipeline.{path.stem}" for path in sorted(PACKAGE.glob("[a-z]*.py"))}
    return people | stages


def described(module: str) -> str:
    """The first sentence of a module's docstring; the module is read, not imported."""
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").removeprefix("Command: ").removeprefix("Stage: ")


def listing() -> str:
    """All commands, a line each."""
    found = commands()
    width = max(map(len, found))
    parts = {"Commands": "pipeline.commands", "Stages, as the workflow calls them": "pipeline"}
    lines = [
        "bright COMMAND [ARGUMENT]...  (bright COMMAND --help tells more)",
        "bright STAGE CONFIG ENTRY     (a stage by hand: bright reconstruct config/demo.yaml autoencoders.main)",
    ]
    for title, prefix in parts.items():
        here = {name: module for name, module in found.items() if module == f"{prefix}.{name}"}
        lines += ["", f"{title}:", *(f"  {name:{width}}  {described(module)}" for name, module in here.items())]
    return "\n".join(lines)


def is_short(module: str, arguments: list[str]) -> bool:
    """Whether a stage is told a config and an entry, not settings and files."""
    of_config = len(arguments) > 1 and Path(arguments[0]).suffix in (".yaml", ".yml") and arguments[1][0].isalpha()
    return of_config and not module.startswith("pipeline.commands.")


def by_hand(stage: str, config: Path, entry: str, further: list[str]) -> None:
    """Run a stage for one entry of a config; `further` arguments go to its command."""
    from pipeline.config.root import read_config
    from pipeline.plan.arguments import commands as commands_of
    from pipeline.plan.arguments import find_entry
    from pipeline.stages.common import Jobs

    for words in commands_of(find_entry(Jobs(read_config(config)), stage, entry)):
        if code := subprocess.run([sys.executable, "-m", *words, *further]).returncode:
            sys.exit(code)


def main() -> None:
    """Run a command, as `python -m` would; without one, list them."""
    name, *arguments = sys.argv[1:] or ["--help"]
    name = name.replace("-", "_") if name[0] != "-" else name
    found = commands()
    if name in ("--help", "-h", "help"):
        try:
            print(listing(), flush=True)
        except BrokenPipeError:  # whoever reads it has enough, such as `head -1`; nothing is left to be flushed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        return
    if name in REPLACED:
        sys.exit(f"error: no such command: {name!r}; use `{REPLACED[name]}`")
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        print(f"error: no such command: {name!r}; {f'did you mean {near[0]}?' if near else 'bright --help lists them'}")
        sys.exit(2)
    if is_short(found[name], arguments):
        config, entry, *further = arguments
        try:
            by_hand(name, Path(config), entry, further)
        except InputError as error:
            sys.exit(f"error: {error}")
        return
    sys.argv = [f"bright {name}", *arguments]
    runpy.run_module(found[name], run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
