"""The order of test files for a mutated module: files with the fewest imports between come first.

No file is left out: a test reaches modules also through commands that it starts.
"""

import ast
from collections import deque
from collections.abc import Iterator
from pathlib import Path

READ_CODE_AS_TEXT = ("test_mutations.py", "test_digests_follow_code.py")  # would fail on any change
Distances = dict[Path, dict[Path, int]]


def distances(root: Path) -> Distances:
    """The number of imports between each test file of the project in `root` and each module that it reaches."""
    helpers = [path for path in (root / "tests").rglob("*.py") if not path.stem.startswith("test_")]
    modules = {path.stem: path for path in helpers}  # the helpers of tests are imported by their file's name
    for path in sorted((root / "pipeline" / "bright_pipeline").rglob("*.py")):
        modules[".".join(path.relative_to(root / "pipeline").with_suffix("").parts).removesuffix(".__init__")] = path
    imports = {path: set(imported(path, modules)) for path in modules.values()}
    found: Distances = {}
    for test in sorted((root / "tests").rglob("test_*.py")):
        if test.name in READ_CODE_AS_TEXT:
            continue
        reached = found[test] = dict.fromkeys(imported(test, modules), 1)
        waiting = deque(reached)
        while waiting:
            path = waiting.popleft()
            for further in imports[path] - reached.keys():
                reached[further] = reached[path] + 1
                waiting.append(further)
    return found


def imported(path: Path, modules: dict[str, Path]) -> Iterator[Path]:
    """The imports of a file, and the modules that it names as "module:attribute", as families name networks."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            case ast.Constant(value=str(text)):
                names = [text.partition(":")[0]]
            case _:
                continue
        yield from (modules[name] for name in names if name in modules)


def near_and_far(found: Distances, module: Path) -> tuple[list[Path], list[Path]]:
    """The test files with the fewest imports between, first the one of its name; all others, nearer ones first."""
    fewest = min((reached[module] for reached in found.values() if module in reached), default=0)
    near = [test for test, reached in found.items() if reached.get(module) == fewest]
    far = [test for test in found if test not in near]
    near.sort(key=lambda test: (module.stem not in test.stem, len(found[test])))
    return near, sorted(far, key=lambda test: found[test].get(module, 10**6))
