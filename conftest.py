"""Make a plain `pytest --nbval` strict, green and the same everywhere.

Notebooks run on the bundled data at the quick budget, on one thread, with no bars. Each of these is
an environment variable, and one that is already set wins:
`COURSEKIT_DATA=cifar10 COURSEKIT_BUDGET=full pytest --nbval` runs the lessons at full length.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if importlib.util.find_spec("coursekit") is None:  # not installed: test this folder's
    sys.path.insert(0, str(HERE))

from coursekit.grading.environment import notebook_environment  # noqa: E402

# Installed, coursekit brings the plugin under this very name, and pytest loads it once.
pytest_plugins = ["coursekit.grading.plugin"]

# Lessons 4 to 6 are about PyTorch: where that is missing there is nothing to run.
collect_ignore_glob = [
    pattern
    for pattern in ("notebooks/0[456]_*", "exercises/0[456]_*")
    if not all(map(importlib.util.find_spec, ("torch", "torchvision")))
]

CELL_SECONDS = {"quick": 300.0, "full": 3600.0}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the environment that kernels inherit, and nbval's options where none were given."""
    os.environ.update(notebook_environment(budget="quick", data="bundled"))
    option = config.option
    if not hasattr(option, "nbval"):
        return  # nbval is not installed; the other tests need none
    if not option.nbval_kernel_name:
        option.nbval_current_env = True  # the kernel of this environment, whatever is stored
    option.nbval_sanitize_with = option.nbval_sanitize_with or str(HERE / "nbval_sanitize.cfg")
    if option.nbval_cell_timeout == 2000:  # nbval's default; a dead kernel is noticed only then
        option.nbval_cell_timeout = CELL_SECONDS.get(os.environ["COURSEKIT_BUDGET"], 300.0)
