"""Every lesson from the first cell to the last, as JupyterLab's "Run All" does it, in every world.

`pytest --nbval` runs the bundled pictures at the quick budget. Here is the rest: what a learner
gets who sets nothing and has no network, the learners' edition with nothing solved, and CIFAR-10.
"""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import build

ROOT = Path(__file__).resolve().parents[1]
LESSONS = [path.stem for path in build.lesson_files([])]
FIRST = LESSONS[0]
NEEDS_TORCH = {"04_pytorch", "05_residual_nets", "06_transfer_learning"}
NOWHERE = "http://[::1]:9"
NO_NETWORK = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
}
RUN_ALL = """
import sys
import nbformat
from nbclient import NotebookClient
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": folder}})
try:
    client.execute()
finally:
    nbformat.write(notebook, folder + "/run.ipynb")
"""


def run_all(notebook, folder, **environment):
    """Run a notebook's cells in order; return what each code cell printed, by cell id.

    What conftest.py set for the tests is not passed on.
    """
    ours = {name for name in os.environ if name.startswith("COURSEKIT_")} - {"COURSEKIT_KERNELS"}
    tests = {"PYTHONHASHSEED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours | tests}
    paths = filter(None, [str(ROOT), kept.get("PYTHONPATH")])
    run = subprocess.run(
        [sys.executable, "-c", RUN_ALL, str(notebook), str(folder)],
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr[-4000:]
    cells = nbformat.read(folder / "run.ipynb", as_version=4).cells
    return {
        cell.id: "".join(output.get("text", "") for output in cell.outputs)
        for cell in cells
        if cell.cell_type == "code"
    }


def needed(name):
    """Skip a lesson whose packages are not there."""
    if name in NEEDS_TORCH:
        pytest.importorskip("torch")
        pytest.importorskip("torchvision")


# The first lesson is run by CI too (`not worlds or slow`).
EACH = [
    pytest.param(name, marks=[pytest.mark.worlds, *([pytest.mark.slow] if name == FIRST else [])])
    for name in LESSONS
]


@pytest.mark.parametrize("name", EACH)
def test_nothing_set_and_no_network(name, tmp_path):
    """What `make lab` gives on a train: the bundled pictures at the full budget."""
    needed(name)
    empty = {"COURSEKIT_CACHE": str(tmp_path / "cache"), "TORCH_HOME": str(tmp_path / "torch")}
    said = run_all(ROOT / "notebooks" / f"{name}.ipynb", tmp_path, **NO_NETWORK, **empty)
    told = next(text for text in said.values() if "This lesson runs on" in text)
    assert "the bundled set, drawn by code; it is not CIFAR-10." in told
    assert "at the full budget" in told


@pytest.mark.worlds
@pytest.mark.parametrize("budget", ["quick", "full"])
@pytest.mark.parametrize("name", LESSONS)
def test_cifar10(name, budget, tmp_path):
    """Needs the data: `COURSEKIT_DATA=FOLDER pytest -m worlds`."""
    needed(name)
    data = os.environ.get("COURSEKIT_DATA", "")
    if data in ("", "auto", "bundled"):
        pytest.skip("COURSEKIT_DATA names no CIFAR-10")
    said = run_all(
        *(ROOT / "notebooks" / f"{name}.ipynb", tmp_path),
        COURSEKIT_DATA=os.path.abspath(data) if os.path.exists(data) else data,
        COURSEKIT_BUDGET=budget,
    )
    assert any(
        f"runs on CIFAR-10 (45,000 for training) at the {budget}" in t for t in said.values()
    )


@pytest.mark.parametrize("name", EACH)
def test_run_all_goes_through_the_unsolved_edition(name, tmp_path):
    """Each unsolved exercise says so in one line, and the lesson goes on with the reference."""
    needed(name)
    path = ROOT / "exercises" / f"{name}.ipynb"
    said = run_all(path, tmp_path, COURSEKIT_DATA="bundled", COURSEKIT_BUDGET="quick")
    cells = nbformat.read(path, as_version=4).cells
    checks = {
        cell.id: cell.source
        for cell in cells
        if any(tag.startswith("exercise:") for tag in cell.metadata.get("tags", []))
    }
    for cell, source in checks.items():
        lines = said[cell].splitlines()
        assert len(lines) == source.count("check("), (cell, lines)
        assert all("the lesson goes on with the course's own" in line for line in lines), lines
