"""An interrupt as a learner should see it: what was kept and how to go on, without a traceback."""

import sys
from functools import partial
from types import TracebackType
from typing import Any


def explain_interrupt(interrupt: KeyboardInterrupt, message: str) -> None:
    """Add ``message`` to an interrupt and make it, with earlier ones, all that is shown of it.

    It stays the ``KeyboardInterrupt`` it was, so "Run All", a shell's loop and debuggers take it
    for what it is. Jupyter asks an exception how to show it; a plain script asks
    ``sys.excepthook``, which is replaced here unless somebody else already has.
    """
    interrupt.add_note(message)
    shown: Any = interrupt
    shown._render_traceback_ = partial(str.splitlines, "\n".join(interrupt.__notes__))
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    lines = getattr(error, "_render_traceback_", None)
    if isinstance(error, KeyboardInterrupt) and lines is not None:
        print(*lines(), sep="\n", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
