"""Where the numerical code can be mutated, and how: small changes of one expression or statement.

A site's name is its file, its function and its change, so that it stays the same when lines move.
Text is left alone: docstrings, annotations, messages, log lines, errors, help.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
PAIRS = ("min max", "amin amax", "argmin argmax", "minimum maximum", "floor ceil", "any all", "sin cos", "train eval")
OTHER_NAME = {a: b for pair in PAIRS for a, b in (pair.split(), reversed(pair.split()))} | {
    "mean": "sum",
    "cumsum": "cumprod",
    "cumprod": "cumsum",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "ones": "zeros",
    "ones_like": "zeros_like",
    "randn": "rand",
    "rand": "randn",
    "std": "var",
    "var": "std",
    "no_grad": "enable_grad",
    "inference_mode": "enable_grad",
}
# Functions and methods whose result stands where their first operand could stand.
PASSES = re.compile(
    "abs|ceil|clamp|clamp_|clamp_max|clamp_min|clip|detach|double|exp|flip|float|floor|leaky_relu|log|log2|relu"
    "|reversed|rint|round|rsqrt|sigmoid|softmax|softplus|sorted|sqrt|square|tanh"
)
# Functions whose keyword arguments say over what, or how, is reduced or resampled.
REDUCTIONS = re.compile(
    "all|amax|amin|any|argmax|argmin|argsort|average|cat|concatenate|cov|cross_entropy|interpolate|max|mean|median"
    "|min|mse_loss|norm|percentile|prod|quantile|softmax|sort|sorted|stack|std|sum|topk|var|vector_norm"
)
SYMMETRIC = {"max", "min", "maximum", "minimum", "gcd", "mse_loss", "l1_loss", "array_equal", "equal", "allclose"}
UNORDERED = SYMMETRIC | {"isinstance", "issubclass", "getattr", "hasattr", "setattr"}
MODULES = {"torch", "F", "np", "numpy", "math", "nn"}
TEXTUAL = {"Field", "Option", "Argument", "print", "Progress"}
LOGGERS = {"logger", "logging", "warnings", "progress"}


@dataclass(frozen=True)
class Mutation:
    """One change: bytes `start` to `end` of the file become `after`."""

    path: str
    function: str
    line: int
    start: int
    end: int
    before: str
    after: str
    kind: str
    number: int = 0
    """Counts the same changes of one function."""

    @property
    def name(self) -> str:
        """The same wherever the function lies in its file."""
        again = f" #{self.number}" if self.number else ""
        return f"{self.path} {self.function}: {self.before} -> {self.after}{again}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutations(path: Path, root: Path) -> list[Mutation]:
    """Every mutation of a module, in the order of its lines."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutation] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for node, function, kind, after in _changes(ast.parse(source), ""):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = " ".join(ast.unparse(node).split())
        key = (function, before, after)
        found.append(
            Mutation(str(path.relative_to(root)), function, node.lineno, start, end, before, after, kind, counts[key])
        )
        counts[key] += 1
    return found


Change = tuple[ast.expr | ast.stmt, str, str, str]


def _changes(node: ast.AST, function: str) -> Iterator[Change]:
    """Node, function, kind and new text of every change below a node."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.expr | ast.stmt):
        for kind, after in _of_node(node):
            yield node, function, kind, after
    for test in _tests(node):
        yield test, function, "branches", f"(not ({ast.unparse(test)}))"
    for child in _children(node):
        yield from _changes(child, function)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What below a node is code with numbers."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text(child) and (name != "decorator_list" or _is_gradient(child)):
                yield child


def _is_gradient(decorator: ast.AST) -> bool:
    return isinstance(decorator, ast.Call) and _called(decorator) in ("no_grad", "inference_mode")


def _is_text(node: ast.AST) -> bool:
    """Messages, errors, log lines, declarations of settings, checks of lengths, and a script's last lines."""
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return True
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__"):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Call):
        return _called(node) in TEXTUAL or _receiver(node) in LOGGERS or _called(node).endswith(("Error", "Image"))
    return False


def _called(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _receiver(node: ast.Call) -> str:
    """The name of the object or module whose method is called, if it is a plain name."""
    return getattr(node.func.value, "id", "") if isinstance(node.func, ast.Attribute) else ""


def _of_node(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """Kind and new text of every change of this node itself."""
    match node:
        case ast.BinOp() if type(node.op) in OPERATORS and not (_is_joined(node.left) or _is_joined(node.right)):
            yield "arithmetic", _parts(node.left, OPERATORS[type(node.op)](), node.right)
        case ast.AugAssign():
            if type(node.op) in OPERATORS and not _is_joined(node.value):
                yield "arithmetic", ast.unparse(ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value))
            yield "statement", "pass"
        case ast.Compare() if len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
            yield (
                "comparison",
                f"({ast.unparse(ast.Compare(node.left, [OPERATORS[type(node.ops[0])]()], node.comparators))})",
            )
        case ast.BoolOp():
            yield "condition", f"({ast.unparse(ast.BoolOp(OPERATORS[type(node.op)](), node.values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "sign", f"({ast.unparse(node.operand)})"
        case ast.IfExp() if not (_is_joined(node.body) or _is_joined(node.orelse)):
            yield "branches", f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"
        case ast.Constant(value=bool()):
            yield "constant", str(not node.value)
        case ast.Constant(value=int()):
            yield "constant", str(node.value + 1)
        case ast.Constant(value=float()):
            yield "constant", repr(node.value * 2 or 1.0)
        case ast.Slice():
            yield from _slices(node)
        case ast.Attribute() if node.attr in OTHER_NAME:
            yield "other function", ast.unparse(ast.Attribute(node.value, OTHER_NAME[node.attr]))
        case ast.Name() if node.id in ("min", "max", "any", "all"):
            yield "other function", OTHER_NAME[node.id]
        case ast.Call():
            yield from _calls(node)
        case ast.Expr(value=ast.Call()) if not _is_text(node.value) and "super()" not in ast.unparse(node):
            yield "statement", "pass"


def _tests(node: ast.AST) -> list[ast.expr]:
    """The conditions on which a statement or a comprehension goes one way or the other, but to errors and log lines."""
    if isinstance(node, ast.If):
        only_text = all(isinstance(line, ast.Raise) or _is_text(getattr(line, "value", line)) for line in node.body)
        found = [] if only_text else [node.test]
    else:
        found = node.ifs if isinstance(node, ast.comprehension) else []
    return [test for test in found if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))]


def _parts(left: ast.expr, op: ast.AST, right: ast.expr) -> str:
    return f"({ast.unparse(ast.BinOp(left, op, right))})"  # type: ignore[arg-type]


def _is_joined(node: ast.expr) -> bool:
    """A text, a list, a path: what `+`, `*`, `%` and `/` do not calculate with."""
    return isinstance(node, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _slices(node: ast.Slice) -> Iterator[tuple[str, str]]:
    """Off by one at each bound that is no plain number (those change as constants)."""
    for name in ("lower", "upper"):
        bound = getattr(node, name)
        if bound is not None and not isinstance(bound, ast.Constant | ast.UnaryOp):
            changed = ast.Slice(node.lower, node.upper, node.step)
            setattr(changed, name, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
            yield "off by one", ast.unparse(changed)


def _calls(node: ast.Call) -> Iterator[tuple[str, str]]:
    """Swapped arguments, calls left out, keywords left out, ranges off by one."""
    name, positional = _called(node), node.args
    plain = not any(isinstance(argument, ast.Starred) for argument in positional)
    if name not in UNORDERED and plain:
        for first, (a, b) in enumerate(pairwise(positional)):
            if type(a) is type(b) and ast.dump(a) != ast.dump(b) and not _is_joined(a):
                yield "swapped arguments", _call(node, [*positional[:first], b, a, *positional[first + 2 :]])
    if name == "range" and plain:
        last = len(positional) - 1 if len(positional) < 3 else 1
        shorter = ast.BinOp(positional[last], ast.Sub(), ast.Constant(1))
        yield "off by one", _call(node, [*positional[:last], shorter, *positional[last + 1 :]])
    if PASSES.fullmatch(name):
        if isinstance(node.func, ast.Attribute) and _receiver(node) not in MODULES:
            yield "call left out", f"({ast.unparse(node.func.value)})"
        elif positional and plain:
            yield "call left out", f"({ast.unparse(positional[0])})"
    if REDUCTIONS.fullmatch(name):
        for left_out in node.keywords:
            kept = [keyword for keyword in node.keywords if keyword is not left_out]
            yield "keyword left out", ast.unparse(ast.Call(node.func, positional, kept))


def _call(node: ast.Call, arguments: list[ast.expr]) -> str:
    return ast.unparse(ast.Call(node.func, arguments, node.keywords))
