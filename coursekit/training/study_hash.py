"""A hash of what a study's numbers depend on: code, settings, data. Not of how code is written.

The same on every machine and every Python: comments, blank lines, docstrings and layout do not
count, and the syntax tree is spelt out here, since ``ast.dump`` differs between versions.
"""

import ast
import dis
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any
from zlib import crc32

import numpy as np

from coursekit.data.dataset import Dataset
from coursekit.training.study_guard import StudyError, canonical

_IGNORED = {"kind", "type_comment", "type_params"}  # fields some versions of Python lack


def hash_of(content: Any) -> str:
    """16 hexadecimal digits that are equal for equal json content."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_data(data: Dataset) -> dict[str, Any]:
    """Name, sizes and a checksum of every picture and label."""
    checksum = 0
    for split in (data.train, data.val, data.test):
        for array in (split.images, split.labels.astype("<i8")):
            checksum = crc32(np.ascontiguousarray(array).data, checksum)
    sizes = {name: len(getattr(data, name)) for name in ("train", "val", "test")}
    return {"name": data.name, **sizes, "checksum": f"{checksum:08x}"}


def describe_code(run: Callable) -> list[str]:
    """What ``run`` is made of: its own syntax tree and all that it names, one text each.

    Functions and classes from the module (or notebook) of ``run`` are followed, also through each
    other; what comes from elsewhere counts by name only. A constant counts with its value.

    Raises:
        StudyError: ``run`` is no plain function, its source cannot be read, or it names an object
            whose content a hash cannot see, such as an array.
    """
    if not inspect.isfunction(run) or run.__name__ == "<lambda>":
        raise StudyError(
            f"run: got {run!r}; needed a function made with def, whose code can be hashed, "
            "or name=None to keep nothing"
        )
    found: set[str] = set()
    _visit("run", run, run.__module__, found, set())
    return sorted(found)


def _visit(name: str, thing: Any, module: str, found: set[str], seen: set[int]) -> None:
    """Describe ``thing``, which the code calls ``name``, and all that it names in turn."""
    if id(thing) in seen:
        return
    if isinstance(thing, ModuleType):
        found.add(f"{name}: module {thing.__name__}")
        return
    unwrapped = inspect.unwrap(thing) if callable(thing) else thing
    home = getattr(unwrapped, "__module__", None)
    if callable(unwrapped) and hasattr(unwrapped, "__name__") and home != module:
        # The package, not the file: moving a function within one changes nothing.
        found.add(f"{name}: {str(home).partition('.')[0]}.{unwrapped.__name__}")
    elif inspect.isfunction(unwrapped):
        seen.add(id(thing))
        _visit_function(name, unwrapped, module, found, seen)
    elif inspect.isclass(unwrapped):
        seen.add(id(thing))
        _visit_class(name, unwrapped, module, found, seen)
    else:
        found.add(f"{name}: {_constant(name, unwrapped)}")


def _constant(name: str, value: Any) -> str:
    try:
        return json.dumps(canonical(name, value))
    except StudyError as error:
        raise StudyError(
            f"run names {name!r}, a {type(value).__name__} defined outside of it, and the study's "
            "hash cannot see what is in it: make it inside the function, or pass it as a setting"
        ) from error


def _visit_function(
    name: str, function: FunctionType, module: str, found: set[str], seen: set[int]
) -> None:
    try:
        tree = _parse(inspect.getsource(function))
    except (OSError, TypeError, SyntaxError) as error:
        raise StudyError(
            f"run: the source of {function.__qualname__} cannot be read, so a change of it would "
            "go unnoticed; write it to a file or a notebook cell, or use name=None to keep nothing"
        ) from error
    found.add(f"{name}: {_spell(tree)}")
    # The source shows the defaults' expressions; what they came to at the time may be another.
    for i, value in enumerate(function.__defaults__ or ()):
        _visit(f"{name}, default {i}", value, module, found, seen)
    for argument, value in (function.__kwdefaults__ or {}).items():
        _visit(f"{name}, default {argument}", value, module, found, seen)
    outside = {**function.__globals__, **_closure(function)}
    for used in sorted({*function.__code__.co_freevars, *_names(function.__code__)}):
        if used in outside:  # else a builtin
            _visit(used, outside[used], module, found, seen)


def _visit_class(name: str, kind: type, module: str, found: set[str], seen: set[int]) -> None:
    """A class of a notebook has no source of its own: its bases, members and methods have."""
    found.add(f"{name}: class of {', '.join(sorted(vars(kind).get('__annotations__', ())))}")
    for base in kind.__bases__:
        _visit(f"{name}, base", base, module, found, seen)
    for member, value in sorted(vars(kind).items()):
        function = getattr(value, "fget", value)  # a property
        function = inspect.unwrap(function) if callable(function) else function
        function = getattr(function, "__func__", function)
        if inspect.isfunction(function):
            if function.__module__ == module and function.__code__.co_filename != "<string>":
                _visit(f"{name}.{member}", function, module, found, seen)  # not a generated one
        elif not (member.startswith("__") and member.endswith("__")):
            _visit(f"{name}.{member}", value, module, found, seen)


def _closure(function: FunctionType) -> dict[str, Any]:
    """Values of the names that a function inside a function takes from around it."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def _names(code: CodeType) -> Iterator[str]:
    """Global names that ``code`` or a function inside it uses."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _parse(source: str) -> list[ast.stmt]:
    """Statements of a function's source, which may stand inside another function's."""
    if source[0].isspace():  # textwrap.dedent would trip over a text that is not indented
        return ast.parse(f"if True:\n{source}").body[0].body  # type: ignore[attr-defined]
    return ast.parse(source).body


def _spell(node: Any) -> str:
    """A syntax tree as text, without docstrings, places, and fields that are empty."""
    if isinstance(node, list):
        return f"[{' '.join(_spell(item) for item in node if not _is_docstring(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [
        f"{name}={_spell(value)}"
        for name, value in ast.iter_fields(node)
        if name not in _IGNORED and value not in (None, [])
    ]
    return f"{type(node).__name__}({' '.join(parts)})"


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
