"""What `pytest --nbval` makes of an exercise: a name, one failure, and skips for what needs it.

A check cell carries the tag ``exercise:NAME``, a later cell that uses the learner's work carries
``needs:NAME``. With this plugin the check cell's test is called after the exercise (also in JUnit
files, as the property ``exercise``), its failure begins with the line that says what is wrong, and
cells that need a failed exercise are skipped instead of failing too. What a learner's own code
prints is no failure: a check must print the lines that are stored for it, and may print others; the
answer above it and cells that need it are compared where they store an output.

nbval itself is left alone: the tests it collected are renamed through pytest's own hooks.
"""

import os
import re
from functools import partial
from itertools import pairwise

import pytest

from coursekit.grading.tags import named_tags

_FAILED = pytest.StashKey[dict[str, set[str]]]()  # notebook -> exercises that failed
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# A picture's bytes differ between machines; its alt text, in the same HTML, does not.
_PICTURE = (r"(data:image/\w+;base64,)[\w+/=]+", r"\1PICTURE")
_NBVAL_SAYS = re.compile(r"^Cell \d+: (.+)$", re.MULTILINE)  # its verdict, before the cell's source


def _names(item: pytest.Item, kind: str) -> list[str]:
    cell = getattr(item, "cell", None)  # only nbval's items have one
    return named_tags(cell.metadata.get("tags", []), kind) if cell is not None else []


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; keep a notebook's cells on one worker where pytest-xdist is used.

    Kernels inherit that an exercise nobody has written fails its check.
    """
    os.environ["COURSEKIT_UNSOLVED"] = os.environ.get("COURSEKIT_UNSOLVED") or "fail"
    config.addinivalue_line("markers", "exercise(name): check cell of an exercise in a notebook")
    config.stash[_FAILED] = {}
    option = config.option
    nbval = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if nbval and getattr(option, "numprocesses", None) and option.dist in ("no", "load"):
        option.dist = "loadfile"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """Call the tests of check cells after their exercises; leave pictures' bytes uncompared."""
    if hasattr(collector, "sanitize_patterns"):  # nbval's; its own file of patterns adds to these
        collector.sanitize_patterns.update([_PICTURE])
    report = yield
    nodes = list(report.result or [])
    for node, after in pairwise([*nodes, None]):
        learners = _names(node, "needs") or (after is not None and _names(after, "exercise"))
        if learners and hasattr(node, "cell") and not node.cell.get("outputs"):
            node.options["check"] = False
    report.result = [_renamed(node) for node in nodes]
    return report


def _renamed(node):
    names = _names(node, "exercise")
    if not names:
        return node
    # A fresh item: pytest works a node's id out when it makes the node.
    item = type(node).from_parent(
        node.parent,
        name=" ".join([node.name, "exercise", *names]),
        cell_num=node.cell_num,
        cell=node.cell,
        options=node.options,
    )
    for name in names:
        item.add_marker(pytest.mark.exercise(name))
        item.user_properties.append(("exercise", name))
    # nbval reports "Cell N" whatever the item is called; the verbose listing shows this one.
    item.reportinfo = lambda: (item.path, 0, item.name)
    item.compare_outputs = partial(_stored_lines_are_there, item)
    return item


def _stored_lines_are_there(item, printed: list, stored: list, skip_compare=None) -> bool:
    """Compare as nbval does, but let the learner's function print what it likes."""
    here = set(_lines(item, printed))
    missing = [line for line in _lines(item, stored) if line not in here]
    item.comparison_traceback = [f"not printed: {line}" for line in missing]
    return not missing


def _lines(item, outputs: list) -> list[str]:
    texts = [output.text for output in outputs if output.get("name") == "stdout"]
    return [line for line in item.sanitize("".join(texts)).splitlines() if line.strip()]


def _failed_beside(item: pytest.Item) -> set[str]:
    """Return the exercises of the item's notebook that have failed so far, to read or to add to."""
    assert item.parent is not None  # the session alone has no parent
    return item.config.stash[_FAILED].setdefault(item.parent.nodeid, set())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a cell that needs an exercise which failed."""
    needs = _names(item, "needs")
    if not needs:
        return
    failed = _failed_beside(item)
    missing = [name for name in needs if name in failed]
    if missing:
        pytest.skip("needs exercise " + ", ".join(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Note a failed exercise, and put what is wrong in the first line of its report."""
    report = yield
    names = _names(item, "exercise")
    if names and report.failed and report.when != "teardown":
        _failed_beside(item).update(names)
        text = str(report.longrepr)
        report.longrepr = f"{headline(text, getattr(item, 'test_outputs', None))}\n{text}"
    return report


def headline(text: str, outputs: list | None) -> str:
    """Return one line that says what went wrong, from nbval's report and the cell's outputs."""
    text = _ANSI.sub("", text)
    said = _NBVAL_SAYS.search(text)
    errors = [output for output in outputs or [] if output.output_type == "error"]
    if said and said[1] == "Cell outputs differ":
        return "the check printed something other than the reference"
    if errors and not (said and said[1].startswith("Timeout")):
        first = next(iter(errors[-1].evalue.strip().splitlines()), "")
        return f"{errors[-1].ename}: {first}".removesuffix(": ")
    return said[1] if said else next(iter(text.strip().splitlines()), "failed")
