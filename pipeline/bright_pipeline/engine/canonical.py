"""The canonical form of a module: two modules with the same canonical form compute the same numbers.

It is text that does not depend on the Python version and the formatting. It omits comments, docstrings, log lines and
progress, the help of options, descriptions of fields, error messages and imports for types. A log line with a call that
could draw a random number stays. In modules of families it also omits the declarations of settings, which are in a
digest by value.
"""

import ast
from collections.abc import Iterator

# Without effect on numbers: the prefix of a string (`kind`), whether a name is read or written (`ctx`, which follows
# from its position), types in comments.
OMITTED_FIELDS = {"ctx", "kind", "type_comment"}

STATEMENT_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)
REDUCED = (ast.Call, ast.Raise, ast.Assert)  # nodes that omit part of a field that is no list of statements

HARMLESS_CALLS = {"abs", "dict", "float", "int", "len", "list", "max", "min", "repr", "round", "sorted", "str", "sum"}
HARMLESS_METHODS = {"encode", "format", "items", "join", "keys", "values"}

WORDS_OF_CALLS = {"Option": {"help", "metavar"}, "Argument": {"help", "metavar"}, "Field": {"description"}}
DECLARATIONS = {"Field", "operational"}
VALIDATORS = {"field_validator", "model_validator"}


def canonical(tree: ast.Module, declares_settings: bool = False) -> str:
    """The canonical form of a module; `declares_settings`: of a family."""
    if declares_settings:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases:
                node.body = [statement for statement in node.body if not _is_declaration(statement)]
    return _text(tree)


def running_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes that contain the statements of a module, and the statements, except imports for types."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            within = getattr(node, name, None)
            if isinstance(within, list) and within and isinstance(within[0], STATEMENT_HOLDERS):
                waiting += [one for one in within if not _is_for_types(one)]


def _text(node: object) -> str:
    if isinstance(node, ast.AST):
        kind, fields = type(node), []
        for name in node._fields:
            if name in OMITTED_FIELDS:
                continue
            value = getattr(node, name, None)
            if kind in REDUCED or isinstance(value, list):
                value = _value(node, name)
            if isinstance(value, str):
                fields.append(f"{name}={value!r},")
            elif value is not None and value != []:
                fields.append(f"{name}={_text(value)},")
        return f"{kind.__name__}({''.join(fields)})"
    if isinstance(node, list):
        return f"[{''.join([f'{_text(item)},' for item in node])}]"
    return repr(node)


def _value(node: ast.AST, name: str) -> object:
    """A field of a node, without the parts that cannot change a number."""
    value = getattr(node, name, None)
    if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
        return [statement for statement in value if _counts(statement)]
    match node:
        case ast.Call(func=function, args=args, keywords=keywords) if name in ("args", "keywords"):
            called = _last_name(function)
            if called == "Progress" and _is_harmless(node):
                return []
            omitted = WORDS_OF_CALLS.get(called, set())
            return args if name == "args" else [keyword for keyword in keywords if keyword.arg not in omitted]
        case ast.Raise(exc=ast.Call(func=function)) if name == "exc" and _last_name(function) == "InputError":
            return function
        case ast.Assert() if name == "msg":
            return None
    return value


def _counts(statement: ast.stmt) -> bool:
    """Whether a statement can change a number."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return False
        case ast.Import(names=[]) | ast.ImportFrom(names=[]):
            return False
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=subject), attr=method)) as call):
            reports = subject == "logger" or (subject == "progress" and method == "advance")
            return not (reports and _is_harmless(call))
    return not _is_for_types(statement)


def _is_harmless(call: ast.Call) -> bool:
    """Whether the call's arguments have no side effects."""
    for argument in (*call.args, *call.keywords):
        for node in ast.walk(argument):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in HARMLESS_CALLS | {"Progress"}:
                    continue
                case ast.Call(func=ast.Attribute(attr=name)) if name in HARMLESS_METHODS:
                    continue
                case ast.Call() | ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                    return False
    return True


def _is_for_types(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, whose body never runs."""
    return isinstance(node, ast.If) and not node.orelse and _last_name(node.test) == "TYPE_CHECKING"


def _is_declaration(statement: ast.stmt) -> bool:
    """Whether a statement of a settings class declares a field or checks its value."""
    match statement:
        case ast.AnnAssign(value=ast.Call(func=function)):
            return _last_name(function) in DECLARATIONS
        case ast.FunctionDef(name="_check"):  # of a `Section`
            return True
        case ast.FunctionDef(decorator_list=decorators):
            return any(_last_name(one.func if isinstance(one, ast.Call) else one) in VALIDATORS for one in decorators)
    return False


def _last_name(node: ast.AST) -> str:
    """`Option` for `typer.Option` and `Option`; empty if the node is not a name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
