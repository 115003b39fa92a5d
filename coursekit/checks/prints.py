"""What a learner's function prints while it is checked: seen once, not once for every call."""

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from coursekit.checks.notebook import shell


class Kept:
    """What was printed, and in a notebook displayed, while :func:`kept` held it back."""

    def __init__(self) -> None:
        self._out, self._err = _tape(), _tape()
        self._displayed: Any = None  # IPython's record

    def __bool__(self) -> bool:
        displayed = self._displayed is not None and self._displayed.outputs
        return bool(_text(self._out) or _text(self._err) or displayed)

    def show(self) -> None:
        """Let it out, first what was meant for stdout."""
        for stream, tape in ((sys.stdout, self._out), (sys.stderr, self._err)):
            text = _text(tape)
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        if self._displayed is not None:
            self._displayed.show()


@contextmanager
def kept() -> Iterator[Kept]:
    """Hold back all that is printed and displayed inside the block."""
    found = Kept()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(found._out))
        stack.enter_context(redirect_stderr(found._err))
        if shell() is not None:
            from IPython.utils.capture import capture_output

            found._displayed = stack.enter_context(capture_output(stdout=False, stderr=False))
        yield found


def _tape() -> io.TextIOWrapper:
    """A text stream with a ``buffer``, as a terminal's has one."""
    raw = io.BytesIO()
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="", write_through=True)


def _text(tape: io.TextIOWrapper) -> str:
    raw = tape.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode("utf-8", "replace")
