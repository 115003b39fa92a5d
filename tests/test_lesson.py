"""What a lesson settles before it starts: packages, world, minutes, and the learner's folder."""

import errno
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from coursekit import lesson
from coursekit.data import Dataset, Split
from coursekit.lesson import __main__ as cli
from coursekit.lesson import speed
from coursekit.lesson.plan import _spoken
from coursekit.lesson.workspace import prepare

ROOT = Path(__file__).resolve().parents[1]


def dataset(name):
    """Four pictures of two classes under a name."""
    split = Split(np.zeros((4, 3, 2, 2), np.uint8), np.arange(4) % 2)
    return Dataset(name, split, split, split, ("a", "b"))


# -------------------------------------------------------------------------------- the plan


@pytest.mark.parametrize(("column", "world"), list(enumerate(lesson.WORLDS)))
def test_each_world_has_its_column(column, world, monkeypatch):
    name, budget = world
    monkeypatch.setenv("COURSEKIT_BUDGET", budget)
    plan = lesson.Plan(dataset(name), minutes=(40, 4, 20, 2), epochs=(0, 1, 2, 3))
    assert plan.epochs == column
    assert plan.minutes == (40, 4, 20, 2)[column]
    assert plan.full == (budget == "full")
    assert pickle.loads(pickle.dumps(plan)).epochs == column  # goes to another process


def test_the_plan_says_world_and_time(monkeypatch):
    monkeypatch.setattr("coursekit.lesson.plan.relative_time", lambda: 2.0)
    monkeypatch.setenv("COURSEKIT_BUDGET", "full")
    monkeypatch.setenv("COURSEKIT_DATA", "bundled")
    told = repr(lesson.Plan(dataset("bundled"), minutes=(60, 4, 20, 2)))
    assert "the bundled pictures, drawn by code (4 for training) at the full budget" in told
    assert "as COURSEKIT_DATA=bundled asks" in told
    assert "it takes about 40 minutes; with COURSEKIT_BUDGET=quick, 4 minutes." in told
    assert "Your numbers will differ" in told
    told = repr(lesson.Plan(dataset("cifar10"), minutes=(60, 4, 20, 2)))
    assert "CIFAR-10" in told and "2 hours" in told
    assert "asks" not in told and "differ" not in told


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"epochs": (1, 2, 3)},
            r"epochs: got \(1, 2, 3\); needed a tuple of 4 values, for cifar10",
        ),
        ({"epochs": 3}, "epochs: got 3; needed a tuple"),
        ({"full": (1, 2, 3, 4)}, "full: a plan has an attribute of that name"),
        ({"minutes": (1, 2)}, r"minutes: got \(1, 2\); needed a tuple"),
    ],
)
def test_a_row_that_does_not_fit_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        lesson.Plan(dataset("bundled"), **{"minutes": (1, 1, 1, 1), **rows})


def test_other_data_and_unknown_rows_are_named():
    with pytest.raises(ValueError, match="data: got one named 'mine'; needed one of"):
        lesson.Plan(dataset("mine"), minutes=(1, 1, 1, 1))
    plan = lesson.Plan(dataset("bundled"), minutes=(1, 1, 1, 1), epochs=(1, 1, 1, 1))
    with pytest.raises(AttributeError, match=r"no row 'epoch'; there are \['epochs'\]"):
        _ = plan.epoch


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (0.2, "a minute"),
        (1.6, "2 minutes"),
        (9.4, "9 minutes"),
        (13, "15 minutes"),
        (95, "1.5 hours"),
    ],
)
def test_minutes_are_told_as_people_tell_them(minutes, told):
    assert _spoken(minutes) == told


def test_speed_is_a_ratio_to_the_reference(monkeypatch):
    """Of a processor three times as slow, whose clock a busy machine does not move."""
    seconds = iter(3 * speed.REFERENCE_SECONDS * np.arange(100))
    monkeypatch.setattr(speed.time, "thread_time", lambda: next(seconds))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: 1 / 0)
    assert speed.relative_time.__wrapped__() == pytest.approx(3)


def test_speed_is_measured_once():
    assert speed.relative_time() == speed.relative_time() > 0


@pytest.mark.parametrize("path", sorted((ROOT / "lessons").glob("[0-9]*.py")), ids=lambda p: p.stem)
def test_no_lesson_asks_for_the_world_by_itself(path):
    """Sizes and bars stand in the plan; a cell that asked again could contradict it."""
    source = path.read_text(encoding="utf-8")
    assert source.count("lesson.Plan(") == 1 and source.count("print(plan)") == 1
    asks = re.findall(r"\bFULL\b|\bbudget\(\)|COURSEKIT_BUDGET|ds\.name *==|plan\.full\b", source)
    # Results are kept under a name at the full budget alone: one line, the same in each lesson.
    assert asks in ([], ["plan.full"])


# -------------------------------------------------------------------------------- packages


def test_missing_packages_are_told_in_one_line():
    lesson.require("numpy", "json")
    with pytest.raises(lesson.PackageMissing, match="no_such_package") as caught:
        lesson.require("numpy", "no_such_package")
    (line,) = caught.value._render_traceback_()
    assert "\n" not in line and "%pip install no_such_package" in line and "make lab" in line


# -------------------------------------------------------------------------------- the folder


def test_work_is_made_from_exercises_and_never_overwritten(tmp_path, capsys):
    exercises, work = tmp_path / "exercises", tmp_path / "work"
    shutil.copytree(ROOT / "exercises", exercises)
    names = sorted(path.name for path in exercises.glob("*.ipynb"))
    arguments = [str(work), "--exercises", str(exercises), "--notebooks", str(ROOT / "notebooks")]
    assert cli.main(arguments) == 0
    assert sorted(p.name for p in work.iterdir()) == sorted([*names, "start.ipynb"])
    mine = work / names[0]
    mine.write_text("my own", encoding="utf-8")
    (work / names[1]).unlink()
    assert cli.main(arguments) == 0
    assert mine.read_text(encoding="utf-8") == "my own"
    assert (work / names[1]).read_bytes() == (exercises / names[1]).read_bytes()
    assert f"copied {names[1]};" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "as you left them" in capsys.readouterr().out


def test_start_page_leads_to_every_lesson_and_its_solved_edition(tmp_path):
    work = tmp_path / "work"
    prepare(work, ROOT / "exercises", ROOT / "notebooks")
    page = json.loads((work / "start.ipynb").read_text(encoding="utf-8"))
    text = "".join(page["cells"][0]["source"])
    assert "make grade NOTEBOOK=work/01_fc_nets.ipynb" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 2 * len(list((ROOT / "exercises").glob("*.ipynb")))
    assert all((work / link).exists() for link in links)
    rows = re.findall(r"^\| \*\*\[.+\| (\d+) \| ([\d.]+) hours \|", text, re.MULTILINE)
    assert len(rows) == len(links) / 2
    assert all(int(exercises) > 0 and float(hours) > 0 for exercises, hours in rows)


def test_a_folder_that_cannot_be_work_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main([str(tmp_path / "file"), "--exercises", str(ROOT / "exercises")]) == 2
    assert cli.main([str(ROOT / "exercises"), "--exercises", str(ROOT / "exercises")]) == 2
    assert cli.main([str(tmp_path / "work"), "--exercises", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    for message in ("is a file", "neither empty nor a folder of lessons", "found no notebook"):
        assert message in said
    assert not (tmp_path / "work").exists()


def test_work_is_not_mixed_with_other_files(tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    assert cli.main([str(tmp_path / "thesis"), "--exercises", str(ROOT / "exercises")]) == 2
    assert "neither empty nor a folder of lessons" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_what_is_hidden_does_not_keep_a_folder_from_being_work(tmp_path):
    """As a first `make lab` leaves that is killed while it writes, or a file browser."""
    (tmp_path / "work").mkdir()
    for name in (".unfinished-00000000-1-0-start.ipynb", ".DS_Store"):
        (tmp_path / "work" / name).write_text("{")
    assert cli.main([str(tmp_path / "work"), "--exercises", str(ROOT / "exercises")]) == 0
    assert (tmp_path / "work" / "start.ipynb").is_file()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_that_lead_nowhere_are_told_or_left_alone(tmp_path, capsys):
    work = tmp_path / "work"
    work.symlink_to(tmp_path / "gone")
    assert cli.main([str(work), "--exercises", str(ROOT / "exercises")]) == 2
    assert "is a link that leads nowhere; needed a folder" in capsys.readouterr().err
    work.unlink()
    work.mkdir()
    (work / "start.ipynb").touch()
    (work / "01_fc_nets.ipynb").symlink_to(tmp_path / "on a disk that is not there")
    assert cli.main([str(work), "--exercises", str(ROOT / "exercises")]) == 0
    assert sorted(tmp_path.iterdir()) == [work]  # the learner's link is not written through


def test_a_disk_that_is_full_is_told_with_the_folder(tmp_path, capsys, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert cli.main([str(tmp_path / "work"), "--exercises", str(ROOT / "exercises")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / 'work'}: ") and os.strerror(errno.ENOSPC) in said


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"cells": []}', '{"cells": [{"cell_type": "markdown"}]}', '{"cells": 1}'],
)
def test_a_damaged_exercise_is_named_before_anything_is_copied(tmp_path, capsys, content):
    exercises = tmp_path / "exercises"
    exercises.mkdir()
    shutil.copy(ROOT / "exercises" / "01_fc_nets.ipynb", exercises)
    (exercises / "02_broken.ipynb").write_text(content, encoding="utf-8")
    assert cli.main([str(tmp_path / "work"), "--exercises", str(exercises)]) == 2
    assert "02_broken.ipynb is not a notebook" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
