"""Which statements of a notebook a check depends on, told without running any of them.

A notebook is a list of top-level statements. A check needs those above it that bind or change a
name that it uses, and what those use, from name to name. All that touch a needed name are taken, in
their order, so what is left out could not have changed what is needed: trainings, plots, trials.
Statements that set something beyond their own names are always taken: imports (a module may
register things), ``sys.path``, a module's attribute, `exec`, ``%run``.
"""

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager

_BUILTINS = frozenset(dir(builtins)) | {"get_ipython", "display"}  # IPython gives the last two
_OPAQUE = {"exec", "globals", "locals", "vars", "setattr", "delattr"}
_SETTING_MAGICS = {
    *("run", "load_ext", "reload_ext", "autoreload", "cd", "env", "set_env", "config"),
    *("writefile", "file"),  # these make modules that later cells may import
}
_BOUND = re.compile(
    r"^(?:async\s+)?(?:def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]*)?=(?!=)", re.MULTILINE
)
_OPTIONS = re.compile(r"^(?:\s*-\w+(?:\s*\d+)?)*\s*")
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Statement:
    """A top-level statement of a code cell, or a whole cell that is not Python.

    Attributes:
        cell: index of its cell in the notebook.
        code: its text.
        line: where it begins in the cell, from 1.
        binds: global names that it assigns, imports or defines.
        uses: global names that it reads, in function bodies too.
        changes: global names whose objects it may change in place.
        defines: functions and classes among `binds`.
        unfinished: True if it holds a ``raise NotImplementedError``.
        always: True if it sets something beyond its names.
        problem: why its cell is not Python, or "".
        node: its syntax tree, if it has one.
    """

    cell: int
    code: str
    binds: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    defines: frozenset[str] = frozenset()
    unfinished: bool = False
    always: bool = False
    problem: str = ""
    node: ast.stmt | None = field(default=None, compare=False)
    line: int = 1

    @property
    def imports(self) -> bool:
        """Whether it is an import."""
        return isinstance(self.node, _IMPORTS)


def statements(cells: Iterable[tuple[int, str]]) -> list[Statement]:
    """Return the statements of code cells, given as (index, source), in order."""
    parsed: list[tuple[int, str, list[ast.stmt] | str]] = []
    for index, source in cells:
        try:
            text, body = parse(source)
            parsed.append((index, text, body))
        except SyntaxError as error:
            parsed.append((index, source, _told(error)))
    nodes = [node for _, _, tree in parsed if isinstance(tree, list) for node in tree]
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, _IMPORTS)
        for alias in node.names
    }
    functions = {node.name for node in nodes if isinstance(node, _DEFINITIONS)}
    found: list[Statement] = []
    for index, text, tree in parsed:
        if isinstance(tree, str):
            bound = frozenset(a or b for a, b in _BOUND.findall(text))
            found.append(Statement(index, "", binds=bound, problem=tree))
        else:
            found += [_statement(index, text, node, modules, functions) for node in tree]
    return found


def needed(above: Sequence[Statement], names: Iterable[str]) -> tuple[set[int], set[str]]:
    """Return which of the statements `above` to run before a use of `names`.

    Also the names that the use itself depends on, from name to name; the statements that are always
    run depend on further ones.
    """
    core = _closure(above, set(), set(names))
    always = {i for i, s in enumerate(above) if s.always}
    return _closure(above, *core, always)[0], core[1]


def _closure(
    above: Sequence[Statement], taken: set[int], names: set[str], more: Iterable[int] = ()
) -> tuple[set[int], set[str]]:
    taken, names, found = set(taken), set(names), set(more)
    while True:
        taken |= found
        names.update(*(above[i].uses for i in found))
        found = {i for i, s in enumerate(above) if names & (s.binds | s.changes)} - taken
        if not found:
            return taken, names


def parse(source: str) -> tuple[str, list[ast.stmt]]:
    """Return a cell as Python, with its magics as calls, and its statements.

    Raises:
        SyntaxError: it is neither Python nor IPython.
    """
    awaits = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a string, as any cell may have it
        try:
            text = source
            try:
                tree = compile(text, "cell", "exec", ast.PyCF_ONLY_AST | awaits)
            except SyntaxError:
                blank = len(source) - len(source.lstrip("\n"))  # IPython drops these lines
                text = "\n" * blank + TransformerManager().transform_cell(source)
                tree = compile(text, "cell", "exec", ast.PyCF_ONLY_AST | awaits)
            compile(text, "cell", "exec", awaits)  # finds what a tree allows: a return outside, say
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or "nested too deeply") from None
    return text, tree.body


def _code(text: str, node: ast.stmt) -> tuple[int, str]:
    """The first line of a statement, decorators included, and its text."""
    decorators = getattr(node, "decorator_list", [])
    if not decorators:
        return node.lineno, ast.get_source_segment(text, node) or ""
    first = min(decorator.lineno for decorator in decorators)
    return first, "\n".join(text.split("\n")[first - 1 : node.end_lineno])


def names_of(code: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the global names that code binds, and those that it reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            binds, uses = _globals(symtable.symtable(code, "cell", "exec"))
        except SyntaxError:  # an await outside a function: take every name there is
            tree = compile(code, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            binds = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
            uses = {node.id for node in names}
    return frozenset(binds), frozenset(uses) - _BUILTINS


def _globals(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    symbols, module = table.get_symbols(), table.get_type() == "module"
    binds = {s.get_name() for s in symbols if module and (s.is_assigned() or s.is_imported())}
    uses = {s.get_name() for s in symbols if s.is_referenced() and (module or s.is_global())}
    for child in table.get_children():
        uses |= _globals(child)[1]
    return binds, uses


def _statement(
    cell: int, text: str, node: ast.stmt, modules: set[str], functions: set[str]
) -> Statement:
    line, code = _code(text, node)
    binds, uses = names_of(code)
    magics, always = [], False
    for name, inside in _magics(node):
        always |= name in _SETTING_MAGICS
        try:
            magics.append(names_of(inside))
        except (SyntaxError, ValueError):
            continue  # a file's text, a command of the shell
    here = list(_outside_functions(node))
    changes = frozenset(_changed(here, modules, functions))
    return Statement(
        cell,
        code,
        binds.union(*(names for names, _ in magics)),
        uses.union(*(names for _, names in magics)),
        changes - modules - _BUILTINS,
        binds & {n.name for n in here if isinstance(n, _DEFINITIONS)},
        any(
            _root(n.exc) == "NotImplementedError"
            for n in ast.walk(node)
            if isinstance(n, ast.Raise)
        ),
        always or isinstance(node, _IMPORTS) or any(_sets_beyond(n, modules) for n in here),
        node=node,
        line=line,
    )


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the statement does: everything but the bodies of functions."""
    yield node
    if not isinstance(node, _FUNCTIONS):
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)


def _root(node: ast.AST | None) -> str:
    """The name that ``name.attribute[...](...)`` begins with, or ""."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _stored(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute | ast.Subscript):
        return False
    return isinstance(node.ctx, ast.Store | ast.Del)


def _discarded(node: ast.AST) -> ast.Call | None:
    """The call of a statement that is only a call: it is there for what it does."""
    if isinstance(node, ast.Expr):
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        return value if isinstance(value, ast.Call) else None
    return None


def _changed(nodes: list[ast.AST], modules: set[str], functions: set[str]) -> Iterator[str]:
    for node in nodes:
        if _stored(node):
            yield _root(node)
        elif call := _discarded(node):
            root = _root(call.func)
            if isinstance(call.func, ast.Attribute):
                yield root
            elif root not in modules | _BUILTINS:  # a function of the notebook's own may fill these
                named = {arg.id for arg in call.args if isinstance(arg, ast.Name)}
                yield from named - functions


def _sets_beyond(node: ast.AST, modules: set[str]) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OPAQUE:
        return True
    if _stored(node):
        return _root(node) in modules
    call = _discarded(node)
    path = ast.unparse(call.func).split(".") if call else []
    if call is None or path[0] not in modules or not all(map(str.isidentifier, path)):
        return False
    if len(path) > 2:
        return True  # sys.path.append, np.random.seed: of a module's part
    names = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
    return names <= modules | _BUILTINS  # torch.manual_seed(0), plots.use_style()


def _magics(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The magics in a statement: their names, and the code inside."""
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if _root(call.func) == "get_ipython" and call.func.attr.endswith("_magic"):
            given = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            texts = [text for text in given if isinstance(text, str)]
            if texts:
                yield texts[0], _OPTIONS.sub("", texts[-1]) if len(texts) > 1 else ""


def _told(error: SyntaxError) -> str:
    """A syntax error as a learner reads it: the line in the cell, and what is wrong there."""
    line = f"line {error.lineno} of the cell: " if error.lineno else ""
    text = f"\n    {error.text.strip()}" if error.text and error.text.strip() else ""
    return f"{type(error).__name__}: {line}{error.msg}{text}"
