"""A kernel that runs pieces of a learner's notebook and survives whatever they do."""

import contextlib
import logging
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

KEPT = 100_000
"""So many of the last characters that a piece prints are kept."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_PLACE = re.compile(r"^(?:Cell|File) .*?\bline (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Ran:
    """What became of a piece of code.

    Attributes:
        printed: the end of what it printed.
        error: the name of its exception, "Timeout", "KernelDied", or "" if it ran through.
        message: the exception's message.
        line: where in the cell it was raised, if that is known.
        fatal: True if the kernel is lost.
    """

    printed: str = ""
    error: str = ""
    message: str = ""
    line: int | None = None
    fatal: bool = False


class Kernel:
    """A kernel of this very Python; make one with :func:`kernel`."""

    def __init__(self, client: "_Client", seconds: float) -> None:
        self._client, self._seconds = client, seconds

    def run(self, code: str, line: int = 1) -> Ran:
        """Run a piece of code that begins in this line of its cell; what it raises is returned."""
        client = self._client
        client.printed, client.reply = "", {}
        # Errors and tracebacks then tell the cell's lines; IPython drops lines that are empty.
        cell = nbformat.v4.new_code_cell("#" * (line > 1) + "\n" * (line - 1) + code)
        client.nb.cells = [cell]
        try:
            client.execute_cell(cell, 0, store_history=False)
        except CellTimeoutError:
            text = f"not finished after {self._seconds:g} seconds: an endless loop?"
            return Ran(client.printed, "Timeout", text, fatal=True)
        except (DeadKernelError, RuntimeError, OSError):
            return Ran(
                client.printed, "KernelDied", "the code stopped its Python process", fatal=True
            )
        reply, printed = client.reply, plain(client.printed)
        if any(load.get("source") == "ask_exit" for load in reply.get("payload") or []):
            return Ran(printed, "KernelDied", "the code stopped its Python process", fatal=True)
        if reply.get("status") != "error":
            return Ran(printed)
        places = _PLACE.findall(plain("\n".join(reply.get("traceback") or [])))
        return Ran(
            printed,
            str(reply.get("ename")),
            plain(str(reply.get("evalue"))).rstrip(),
            int(places[0]) if places else None,
        )


@contextlib.contextmanager
def kernel(environment: Mapping[str, str], folder: Path, seconds: float) -> Iterator[Kernel]:
    """Give a new kernel that starts in `folder` and allows each piece of code so many seconds.

    Raises:
        RuntimeError: it does not start.
    """
    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    client = _Client(
        nbformat.v4.new_notebook(),
        km=manager,
        log=_silent(),
        timeout=math.ceil(seconds),
        iopub_timeout=math.ceil(seconds),
        allow_errors=True,
        shutdown_kernel="immediate",
    )
    # What is written past Python, by a dying process above all, belongs into no table.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with client.setup_kernel(cwd=str(folder), env=dict(environment), cleanup_kc=True, **quiet):
        yield Kernel(client, seconds)


def plain(text: str) -> str:
    """Return `text` without escape codes and control characters."""
    return _ESCAPES.sub("", text)


class _Client(NotebookClient):
    """Keeps the end of what is printed and the reply; pictures and the rest are dropped."""

    printed = ""
    reply: dict[str, Any]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, on_cell_executed=self._keep_reply, **settings)

    def _keep_reply(self, execute_reply: dict[str, Any] | None, **_: Any) -> None:
        self.reply = (execute_reply or {}).get("content", {})

    def output(
        self, outs: Any, msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> None:
        if msg["msg_type"] == "stream" and msg["content"].get("name") == "stdout":
            self.printed = (self.printed + msg["content"].get("text", ""))[-KEPT:]


class _ThisPython(KernelSpecManager):
    """Knows one kernel, this Python's, whatever else is installed for the user."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, language="python", display_name=kernel_name)


def _silent() -> logging.Logger:
    """A logger that says nothing: a kernel's end is told in the verdict."""
    logger = logging.getLogger("coursekit.grading.kernel")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
