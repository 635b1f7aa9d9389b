"""Mutations of the numerical code: small changes of one expression or statement.

A mutation's name is its file, its function and its change, so it stays the same when lines move.
Text is not mutated: docstrings, annotations, messages, log lines, errors, help.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

OPERATOR_PAIRS = (
    *("Add Sub", "Sub Add", "Mult Div", "Div Mult", "FloorDiv Mult", "Mod FloorDiv", "Pow Mult", "LShift RShift"),
    *("RShift LShift", "Lt LtE", "LtE Lt", "Gt GtE", "GtE Gt", "Eq NotEq", "NotEq Eq", "And Or", "Or And"),
)
OPERATORS = {getattr(ast, a): getattr(ast, b) for a, b in map(str.split, OPERATOR_PAIRS)}
NAME_PAIRS = (
    *("min max", "amin amax", "argmin argmax", "minimum maximum", "floor ceil", "any all", "sin cos", "train eval"),
    *("cumsum cumprod", "zeros ones", "zeros_like ones_like", "randn rand", "std var"),
)
OTHER_NAME = {a: b for pair in NAME_PAIRS for a, b in (pair.split(), reversed(pair.split()))} | {
    "mean": "sum",
    "no_grad": "enable_grad",
    "inference_mode": "enable_grad",
}
# Functions and methods that can be replaced by their first operand.
PASSES = re.compile(
    "abs|ceil|clamp|clamp_|clamp_max|clamp_min|clip|detach|double|exp|flip|float|floor|leaky_relu|log|log2|relu"
    "|reversed|rint|round|rsqrt|sigmoid|softmax|softplus|sorted|sqrt|square|tanh"
)
# Functions whose keyword arguments give the dimensions or the way of a reduction or resampling.
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
    """Counts equal changes of one function."""

    @property
    def name(self) -> str:
        """Independent of the function's place in its file."""
        again = f" #{self.number}" if self.number else ""
        return f"{self.path} {self.function}: {self.before} -> {self.after}{again}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutations(path: Path, root: Path) -> list[Mutation]:
    """Every mutation of a module, in the order of lines."""
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
        number = counts[function, before, after]
        name = str(path.relative_to(root))
        found.append(Mutation(name, function, node.lineno, start, end, before, after, kind, number))
        counts[function, before, after] += 1
    return found


def _changes(node: ast.AST, function: str) -> Iterator[tuple[ast.expr | ast.stmt, str, str, str]]:
    """Node, function, kind and new text of every change below a node."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.expr | ast.stmt):
        for kind, after in _of_node(node):
            yield node, function, kind, after
    for test in _tests(node):
        yield test, function, "branches", f"(not ({ast.unparse(test)}))"
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            called = _called(child) if isinstance(child, ast.Call) else ""
            if name != "decorator_list" or called in ("no_grad", "inference_mode"):
                yield from _changes(child, function)


def _is_text(node: ast.AST) -> bool:
    """Messages, errors, log lines, declarations of settings, checks of lengths, and a script's last lines."""
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.keyword(arg="strict") | ast.Expr(value=ast.Constant()):
            return True
        case ast.If():
            return ast.unparse(node.test).startswith("__name__")
        case ast.Call():
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
            other = ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
            yield "arithmetic", f"({ast.unparse(other)})"
        case ast.AugAssign():
            if type(node.op) in OPERATORS and not _is_joined(node.value):
                yield "arithmetic", ast.unparse(ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value))
            yield "statement", "pass"
        case ast.Compare() if len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
            other = ast.Compare(node.left, [OPERATORS[type(node.ops[0])]()], node.comparators)
            yield "comparison", f"({ast.unparse(other)})"
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
            for name in ("lower", "upper"):  # plain numbers change as constants
                bound = getattr(node, name)
                if bound is not None and not isinstance(bound, ast.Constant | ast.UnaryOp):
                    changed = ast.Slice(node.lower, node.upper, node.step)
                    setattr(changed, name, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
                    yield "off by one", ast.unparse(changed)
        case ast.Attribute() if node.attr in OTHER_NAME:
            yield "other function", ast.unparse(ast.Attribute(node.value, OTHER_NAME[node.attr]))
        case ast.Name() if node.id in ("min", "max", "any", "all"):
            yield "other function", OTHER_NAME[node.id]
        case ast.Call():
            yield from _calls(node)
        case ast.Expr(value=ast.Call()) if not _is_text(node.value) and "super()" not in ast.unparse(node):
            yield "statement", "pass"


def _tests(node: ast.AST) -> list[ast.expr]:
    """The conditions of a statement or a comprehension, except those that lead to errors and log lines."""
    if isinstance(node, ast.If):
        only_text = all(isinstance(line, ast.Raise) or _is_text(getattr(line, "value", line)) for line in node.body)
        found = [] if only_text else [node.test]
    else:
        found = node.ifs if isinstance(node, ast.comprehension) else []
    return [test for test in found if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))]


def _is_joined(node: ast.expr) -> bool:
    """Text, a list or a path, for which `+`, `*`, `%` and `/` do not calculate."""
    return isinstance(node, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


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
