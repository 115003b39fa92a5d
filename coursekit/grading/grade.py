"""Grade a learner's notebook: run it, and say of each exercise whether its check passed.

The notebook is copied, run by ``pytest --nbval`` on the bundled data at the quick budget, and the
verdicts are read from pytest's JUnit file by exercise name. With a reference (the notebook as it
was handed out) the checks are put back as they were, so that an altered or deleted one changes
nothing, and what they print is compared as well. Grading runs the learner's code: a stranger's
belongs in a container.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.grading.environment import notebook_environment
from coursekit.grading.plugin import named_tags

PASSED, FAILED, MISSING = "passed", "failed", "not attempted"


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise: `outcome` is "passed", "failed" or "not attempted"."""

    exercise: str
    outcome: str
    message: str = ""


def grade(path: Path, reference: Path | None = None, *, cell_seconds: float = 300) -> list[Verdict]:
    """Return a verdict for each exercise that `reference` (else the notebook itself) declares.

    Raises:
        ValueError: a file is no notebook, or no exercise is declared.
        RuntimeError: pytest itself could not run.
    """
    notebook = _read(path)
    declared = _checks(notebook if reference is None else _read(reference))
    if not declared:
        raise ValueError(f"{reference or path}: no cell is tagged exercise:NAME; nothing to grade")
    if reference is not None:
        _restore(notebook, declared)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, copy)
        found = _run(copy, home=path.resolve().parent, cell_seconds=cell_seconds)
    return [found.get(name, Verdict(name, MISSING, "its check is gone")) for name in declared]


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ValueError(f"{path}: not a readable notebook: {error}") from None


def _checks(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the check cell of each exercise, in order."""
    checks: dict[str, NotebookNode] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for name in named_tags(cell.metadata.get("tags", []), "exercise"):
                checks.setdefault(name, cell)
    return checks


def _restore(notebook: NotebookNode, reference: dict[str, NotebookNode]) -> None:
    """Put the reference's checks into `notebook`, and have nbval compare what they print."""
    for position, cell in enumerate(notebook.cells):
        for name in named_tags(cell.metadata.get("tags", []), "exercise"):
            if name in reference:
                check = nbformat.from_dict(reference[name])
                check.metadata.tags = [f"exercise:{name}", "nbval-check-output"]
                check.id = cell.get("id", check.id)
                notebook.cells[position] = check


def _run(notebook: Path, home: Path, cell_seconds: float) -> dict[str, Verdict]:
    """Run pytest on `notebook`, alone in its folder, so that no settings around it are found."""
    junit = notebook.with_suffix(".xml")
    env = notebook_environment(budget="quick", data="bundled")
    env |= {"COURSEKIT_BUDGET": "quick", "COURSEKIT_DATA": "bundled"}
    env.pop("PYTEST_ADDOPTS", None)
    # Last on the path: a learner's own modules beside the notebook stay importable.
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(home)]))
    config = notebook.with_name("pytest.ini")
    config.write_text("[pytest]\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pytest", "-p", "coursekit.grading.plugin", "-c", str(config)),
        # Lax: a learner's own cells may print what they like; only restored checks are compared.
        *("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={cell_seconds:g}"),
        *("-p", "no:cacheprovider", f"--junitxml={junit}", str(notebook)),
    ]
    run = subprocess.run(
        command,
        cwd=notebook.parent,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if not junit.is_file() or run.returncode not in (0, 1):
        raise RuntimeError(f"pytest stopped with code {run.returncode}:\n{run.stdout[-2000:]}")
    return _verdicts(junit)


def _verdicts(junit: Path) -> dict[str, Verdict]:
    """Read the verdicts by the property ``exercise``; of an exercise checked twice, both count."""
    verdicts: dict[str, Verdict] = {}
    for case in ET.parse(junit).iter("testcase"):
        names = [p.get("value", "") for p in case.iter("property") if p.get("name") == "exercise"]
        found = [case.find(kind) for kind in ("failure", "error", "skipped")]
        trouble = [element for element in found if element is not None]
        for name in names:
            if trouble:
                text = trouble[0].get("message") or trouble[0].text or ""
                first = text.splitlines()[0].strip() if text.strip() else "failed"
                verdicts[name] = Verdict(name, FAILED, first)
            else:
                verdicts.setdefault(name, Verdict(name, PASSED))
    return verdicts
