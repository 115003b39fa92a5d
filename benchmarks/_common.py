"""What every benchmark needs: medians of interleaved runs, the machine, and a JSON file at the end.

Times taken one contestant after the other compare the weather as much as the code. Here the
contestants take turns, round after round, and each is judged by its median.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from coursekit import kernels
from coursekit.atomic import written_whole

RESULTS = Path(__file__).resolve().parent / "results"


def medians_ms(
    contestants: Mapping[str, Callable[[], object]], *, rounds: int = 15, calls: int = 3
) -> dict[str, float]:
    """Median milliseconds of one call of each contestant.

    Each round lets every contestant run ``1 + calls`` times; the first, on cold caches, is not
    counted.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            run()
            for _ in range(calls):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def processor() -> str:
    """The processor's name, as the operating system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """All that a time depends on and that can be named."""
    np.ones((2, 2)) @ np.ones((2, 2))  # the BLAS is loaded, so that it can be asked
    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": _version("torch"),
        "blas": [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture")}
            | {"threads": pool["num_threads"]}
            for pool in blas
        ],
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE"),
        "kernels": str(kernels.info()),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def print_table(rows: list[Mapping[str, object]]) -> None:
    """Print rows with the same keys as a table, numbers to three digits."""
    head = list(rows[0])
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for line in [head, ["-" * width for width in widths], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def write_result(name: str, result: Mapping[str, object]) -> Path:
    """Write ``results/NAME.json``, with the machine, in one piece."""
    path = RESULTS / f"{name}.json"
    text = json.dumps({"command": " ".join(_command()), "machine": machine(), **result}, indent=2)
    with written_whole(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    print(f"wrote benchmarks/results/{path.name}")
    return path


def _command() -> list[str]:
    """What was typed, with FOLDER for a path that means nothing on another machine."""
    arguments = ["FOLDER" if Path(a).is_absolute() else a for a in sys.argv[1:]]
    return ["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]
