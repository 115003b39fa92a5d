"""Fixtures all tests share."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("coursekit", deadline=None)  # no test here measures time
settings.load_profile("coursekit")


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator, new for every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """A project folder that holds the sample lesson, built, and the root's pytest settings."""
    import build

    root = Path(__file__).resolve().parents[1]
    folder = tmp_path_factory.mktemp("project")
    for name in ("conftest.py", "nbval_sanitize.cfg", "pyproject.toml"):
        shutil.copy(root / name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_DATA", "bundled")
        patch.setenv("COURSEKIT_BUDGET", "quick")
        options = ["--lessons", str(root / "tests"), "--out", str(folder), "--allow-bundled"]
        assert build.main(["sample_lesson", *options]) == 0
    return folder


@pytest.fixture
def no_false_alarm():
    """A function that asserts that a right answer passes on every seed tried.

    COURSEKIT_RIGHT_SEEDS=50 tries so many of each; a slow one gets a single seed by default.
    """
    from coursekit.checks import check

    def assert_passes(name, functions, slow=False):
        functions = functions if isinstance(functions, tuple) else (functions,)
        seeds = int(os.environ.get("COURSEKIT_RIGHT_SEEDS", "1" if slow else "2"))
        for seed in range(seeds):
            check(name, *functions, seed=100 + seed)

    return assert_passes
