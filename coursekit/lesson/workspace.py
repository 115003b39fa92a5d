"""The folder a learner works in: a copy of exercises/ that updates of the course never touch."""

import json
import os
import re
from pathlib import Path

from coursekit.atomic import written_whole

START = "start.ipynb"
_MINUTES = re.compile(r"\b(\d+) minutes\b")


def prepare(work: Path, exercises: Path, notebooks: Path) -> list[str]:
    """Copy to `work` the exercises that are not there yet, and write its start page.

    A file that is there is the learner's: it is never written to. The start page is ours and is
    written anew each time.

    Args:
        work: made where it is missing.
        exercises: the learners' edition.
        notebooks: the solved edition, to which the start page links.

    Returns:
        the names of the files copied.

    Raises:
        ValueError: `exercises` holds no notebook or a damaged one, or `work` is a file or a folder
            with something else in it.
    """
    lessons = sorted(exercises.glob("[0-9]*.ipynb"))
    if not lessons:
        raise ValueError(
            f"exercises: found no notebook in {exercises}; needed the learners' edition"
        )
    if os.path.lexists(work) and not work.is_dir():
        found = "a file" if work.exists() else "a link that leads nowhere"
        raise ValueError(f"work: {work} is {found}; needed a folder")
    visible = work.is_dir() and any(not path.name.startswith(".") for path in work.iterdir())
    if visible and not (work / START).is_file():
        raise ValueError(
            f"work: {work} is neither empty nor a folder of lessons made before; needed another"
        )
    page = json.dumps(_start_page(work, lessons, notebooks), indent=1, ensure_ascii=False)
    work.mkdir(parents=True, exist_ok=True)
    _put(work / START, (page + "\n").encode())
    copied = [path.name for path in lessons if not os.path.lexists(work / path.name)]
    for name in copied:
        _put(work / name, (exercises / name).read_bytes())
    return copied


def _put(path: Path, content: bytes) -> None:
    with written_whole(path) as part:
        part.write_bytes(content)


def _start_page(work: Path, lessons: list[Path], notebooks: Path) -> dict:
    """Return the start page as a notebook of one text."""
    rows = []
    for path in lessons:
        title, exercises, minutes = _outline(path)
        solved = os.path.relpath(notebooks / path.name, work).replace(os.sep, "/")
        rows.append(
            f"| **[{title}]({path.name})** | {exercises} | {minutes / 60:.1f} hours | "
            f"[solved]({solved}) |"
        )
    text = f"""\
# Start here

Open a lesson in the first column, and run its cells from top to bottom (Shift+Enter). Where a cell
says that your code goes there, write it, and run the check below it.

| lesson | exercises | time for them | with all results |
|---|---|---|---|
{chr(10).join(rows)}

- **The lessons in this folder are yours.** They are copies: an update of the course never changes
  them. To start one over, rename or delete it and run `make lab` again, which makes this page anew.
- **An exercise can wait.** *Run All Cells* goes through a lesson with unsolved exercises, too: it
  then uses the course's own solution and says so.
- **How far am I?** In a terminal: `make grade NOTEBOOK={work.name}/{lessons[0].name}`."""
    return {
        "cells": [
            {
                "cell_type": "markdown",
                "id": "start-here",
                "metadata": {},
                "source": text.splitlines(keepends=True),
            }
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _outline(path: Path) -> tuple[str, int, int]:
    """Return a lesson's title, how many exercises it has, and their minutes."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title = "".join(cells[0]["source"]).partition("\n")[0].lstrip("# ")
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"exercises: {path} is not a notebook ({error!r})") from None
    told = [text for text in texts if "Difficulty" in text and _MINUTES.search(text)]
    exercises = sum(tag.startswith("exercise:") for tag in tags)
    return title, exercises, sum(int(_MINUTES.findall(text)[-1]) for text in told)
