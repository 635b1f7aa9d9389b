"""The order of test files for a mutated module: files with the fewest imports between come first.

No file is left out: a test reaches modules also through commands that it starts.
"""

import ast
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

READ_CODE_AS_TEXT = ("test_mutations.py", "test_digests_follow_code.py")  # would fail on any change


class Reach:
    """The imports of the project in `root` and of its tests, anywhere in a file."""

    def __init__(self, root: Path):
        self.root = root

    def nearest(self, module: Path) -> list[Path]:
        """The test files with the fewest imports between: first the one of its name, then those of few modules."""
        fewest = min((reached[module] for reached in self.distances.values() if module in reached), default=0)
        near = [test for test, reached in self.distances.items() if reached.get(module) == fewest]
        return sorted(near, key=lambda test: (module.stem not in test.stem, len(self.distances[test])))

    def others(self, module: Path) -> list[Path]:
        """All other test files, nearer ones first."""
        near = self.nearest(module)
        far = [test for test in self.distances if test not in near]
        return sorted(far, key=lambda test: self.distances[test].get(module, len(self.modules)))

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Import name -> file; the helpers of tests are imported by their file's name."""
        helpers = [path for path in (self.root / "tests").rglob("*.py") if not path.stem.startswith("test_")]
        names = {path.stem: path for path in helpers}
        for path in sorted((self.root / "pipeline").rglob("*.py")):
            names[".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__")] = path
        return names

    @cached_property
    def distances(self) -> dict[Path, dict[Path, int]]:
        """The number of imports between each test file and each module that it reaches."""
        imports = {path: set(self._imported(path)) for path in self.modules.values()}
        distances: dict[Path, dict[Path, int]] = {}
        for test in sorted((self.root / "tests").rglob("test_*.py")):
            if test.name in READ_CODE_AS_TEXT:
                continue
            found = distances[test] = dict.fromkeys(self._imported(test), 1)
            waiting = deque(found)
            while waiting:
                path = waiting.popleft()
                for imported in imports[path] - found.keys():
                    found[imported] = found[path] + 1
                    waiting.append(imported)
        return distances

    def _imported(self, path: Path) -> Iterator[Path]:
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
            yield from (self.modules[name] for name in names if name in self.modules)
