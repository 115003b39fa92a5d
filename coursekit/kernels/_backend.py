"""Which backend runs, why, and on how many threads.

A backend is a module that has every kernel under the same name; adding a kernel means adding
one function to each of the three files and one checked front door beside ``_optimizer_step``.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

VARIABLE = "COURSEKIT_KERNELS"
MODULES = {
    "loops": "coursekit.kernels.loops",
    "numpy": "coursekit.kernels.numpy_backend",
    "cython": "coursekit.kernels._cython",
}


@dataclass(frozen=True)
class KernelInfo:
    """What :func:`info` reports; ``str()`` of it is one line for a person."""

    backend: str
    reason: str
    openmp: bool
    threads: int
    simd: str

    def __str__(self) -> str:
        openmp = "with OpenMP" if self.openmp else "without OpenMP"
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        return f"kernels: {self.backend} ({self.reason}), {openmp}, {threads}, SIMD: {self.simd}"


def choose(environ: Mapping[str, str]) -> tuple[str, str, ModuleType]:
    """Pick a backend: ``(name, reason, module)``.

    Raises:
        ValueError: ``COURSEKIT_KERNELS`` is not the name of a backend.
        ImportError: it names the compiled backend, which is not there.
    """
    forced = environ.get(VARIABLE, "")
    if forced and forced not in MODULES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(MODULES)}, got {forced!r}")
    if forced in ("loops", "numpy"):
        return forced, f"{VARIABLE}={forced}", importlib.import_module(MODULES[forced])
    try:
        module = importlib.import_module(MODULES["cython"])
    except ImportError as error:
        if forced:
            raise ImportError(
                f"{VARIABLE}=cython, but the compiled extension cannot be imported ({error}); "
                "install coursekit where there is a C compiler, with COURSEKIT_REQUIRE_FAST=1 "
                "to see why it does not build"
            ) from error
        reason = f"the compiled extension cannot be imported: {error}"
        return "numpy", reason, importlib.import_module(MODULES["numpy"])
    return "cython", f"{VARIABLE}=cython" if forced else "the compiled extension imports", module


name, reason, backend = choose(os.environ)


@contextmanager
def use(backend_name: str) -> Iterator[None]:
    """Compute by another backend within a ``with`` block, in all threads.

    Front doors look the backend up at every call, so whatever runs inside is switched.

    Raises:
        ValueError: ``backend_name`` is not "loops", "numpy" or "cython".
        ImportError: it is the compiled backend, which is not there.
    """
    global name, reason, backend
    if backend_name not in MODULES:
        raise ValueError(f"backend_name must be one of {', '.join(MODULES)}, got {backend_name!r}")
    before = name, reason, backend
    name, _, backend = choose({VARIABLE: backend_name})
    reason = f"kernels.use({backend_name!r})"
    try:
        yield
    finally:
        name, reason, backend = before


def info() -> KernelInfo:
    """Tell which backend runs and why, OpenMP, threads, and the SIMD path chosen at run time."""
    return KernelInfo(name, reason, backend.HAS_OPENMP, get_num_threads(), backend.simd_path())


# One thread is the default on purpose. These kernels wait for memory, not for arithmetic, and a
# second pool of spinning threads beside the BLAS's own costs more than it brings
# (benchmarks/optimizer_step.py measures it).
_num_threads = 1

# A pool of threads costs memory and address space for each, and a runtime of OpenMP that cannot
# start them ends the process.
MOST_THREADS = max(64, os.cpu_count() or 1)

_owner = os.getpid()


def set_num_threads(n: int) -> None:
    """Let compiled kernels use up to ``n`` threads; serial backends go on with one.

    More than one thread pays only where the BLAS itself runs on one thread. A forked child goes on
    with one, too.

    Raises:
        ValueError: ``n`` is not an integer of at least 1, or is larger than 64 and the number of
            processors.
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, got {n!r}")
    if n > MOST_THREADS:
        raise ValueError(
            f"n must be at most {MOST_THREADS} on {os.cpu_count()} processors, got {n}"
        )
    _num_threads = n


def get_num_threads() -> int:
    """Number of threads a kernel call may use: 1 unless OpenMP is compiled in and asked for.

    It is 1 in a process that was forked after this package had been imported: of OpenMP's threads
    a fork copies none, but all that waits for them.
    """
    return _num_threads if backend.HAS_OPENMP and os.getpid() == _owner else 1
