"""The environment notebooks run in: the same for pytest, the notebook builder and the grader."""

import os
from collections.abc import Mapping
from pathlib import Path

_ALWAYS = {
    "COURSEKIT_PROGRESS": "off",  # a bar's text holds timings
    "COURSEKIT_UNSOLVED": "fail",  # a learner's own notebook goes on behind an unwritten exercise
    "PYTHONHASHSEED": "0",  # the order in which sets are printed
    # One thread: sums are added in one order, and notebooks can run side by side.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger's warning lands in the outputs
}
_DATA_NAMES = ("auto", "cifar10", "bundled")


def notebook_environment(
    *, budget: str, data: str, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a copy of `base` (default: this process's) in which a kernel runs reproducibly.

    `budget` ("quick" or "full") and `data` (as `COURSEKIT_DATA`) count only where `base` does not
    set them. A relative data folder becomes absolute, since a kernel starts in the notebook's.
    """
    env = dict(os.environ if base is None else base)
    for name, value in {**_ALWAYS, "COURSEKIT_BUDGET": budget, "COURSEKIT_DATA": data}.items():
        env[name] = env.get(name) or value  # an empty variable counts as none
    if env["COURSEKIT_DATA"] not in _DATA_NAMES:
        env["COURSEKIT_DATA"] = os.path.abspath(os.path.expanduser(env["COURSEKIT_DATA"]))
    home = Path(__file__).resolve().parents[2]
    if home.name not in ("site-packages", "dist-packages"):
        # Run from a clone: its kernels use this very copy too.
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), env.get("PYTHONPATH")]))
    return env
