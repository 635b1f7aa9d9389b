"""`bright COMMAND`: every command of the project by its name, those that people call and those of the stages."""

import ast
import difflib
import runpy
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


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
    parts = {"Commands": "pipeline.commands.", "Stages, as the workflow calls them": "pipeline."}
    lines = ["bright COMMAND [ARGUMENT]...   (bright COMMAND --help tells more)"]
    for title, prefix in parts.items():
        lines += ["", f"{title}:"]
        lines += [
            f"  {name:{width}}  {described(module)}" for name, module in found.items() if module == f"{prefix}{name}"
        ]
    return "\n".join(lines)


def main() -> None:
    """Run a command, as `python -m` would; without one, list them."""
    name, *arguments = sys.argv[1:] or ["--help"]
    found = commands()
    if name in ("--help", "-h", "help"):
        print(listing())
        return
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        print(f"error: no such command: {name!r}; {f'did you mean {near[0]}?' if near else 'bright --help lists them'}")
        sys.exit(2)
    sys.argv = [f"bright {name}", *arguments]
    runpy.run_module(found[name], run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
