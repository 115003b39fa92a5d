"""What is written is whole or not there, whoever writes and whatever goes wrong."""

import ast
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coursekit import atomic
from coursekit.atomic import folder_written_whole, written_whole

ROOT = Path(__file__).resolve().parents[1]
needs_posix = pytest.mark.skipif(os.name == "nt", reason="rights and signals of POSIX")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    for text in ("old", "new"):
        with written_whole(path) as part:
            assert part.parent == path.parent and part.suffix == ".txt"
            part.write_text(text)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == text and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "disk full"), KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [True, False])
def test_after_an_error_all_is_as_it_was(tmp_path, error, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text("old")
    with pytest.raises(BaseException) as caught, written_whole(path) as part:
        part.write_text("half")
        raise error
    assert caught.type is (type(error) if isinstance(error, OSError) else error)
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_text() == "old"


def test_a_disk_that_cannot_store_it_is_an_error(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), written_whole(tmp_path / "a") as part:
        part.write_text("new")
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


# --- as open() does it ----------------------------------------------------------------------------


@needs_posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_a_new_file_and_a_new_folder_have_the_rights_of_others(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "plain").write_text("")
        (tmp_path / "plain folder").mkdir()
        with written_whole(tmp_path / "ours") as part:
            part.write_text("")
        with folder_written_whole(tmp_path / "our folder") as part:
            (part / "x").touch()
    finally:
        os.umask(before)
    for ours, plain in (("ours", "plain"), ("our folder", "plain folder")):
        assert (tmp_path / ours).stat().st_mode == (tmp_path / plain).stat().st_mode


@needs_posix
def test_an_old_file_keeps_its_rights(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with written_whole(path) as part:
        part.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and path.read_text() == "new"


def test_a_file_that_may_not_be_written_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to everything
    with pytest.raises(PermissionError, match=re.escape(str(path))), written_whole(path):
        pytest.fail("the work is done before anyone learns that it is for nothing")
    assert path.read_text() == "old" and names(tmp_path) == ["a"]


@needs_posix
def test_a_link_leads_to_its_file(tmp_path):
    (tmp_path / "shelf").mkdir()
    for target in ("a", "new"):
        link = tmp_path / f"to {target}"
        link.symlink_to(Path("shelf") / target)
        with written_whole(link) as part:
            part.write_text("x")
        assert link.is_symlink() and (tmp_path / "shelf" / target).read_text() == "x"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))), written_whole(tmp_path):
        pytest.fail("refused too late")


@needs_posix
def test_a_device_is_written_to_and_stays_one(tmp_path):
    with written_whole(os.devnull) as part:
        part.write_text("x")
    assert Path(os.devnull).is_char_device()


def test_long_names_and_short_ones(tmp_path):
    for name in ("a" * 251 + ".npz", "é" * 125 + ".pt", ".hidden", "no ending"):
        with written_whole(tmp_path / name) as part:
            part.write_text("x")
        assert (tmp_path / name).read_text() == "x"


def test_two_threads_may_write_one_file(tmp_path):
    path, texts = tmp_path / "a", [str(k) * 100_000 for k in range(8)]

    def write(text):
        for _ in range(5):
            with written_whole(path) as part:
                part.write_text(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts and names(tmp_path) == ["a"]


# --- killed ---------------------------------------------------------------------------------------

KILLED = """
import sys, time
from coursekit.atomic import folder_written_whole, written_whole
with written_whole(sys.argv[1]) as part, folder_written_whole(sys.argv[1] + ".d") as folder:
    part.write_text("half")
    (folder / "x").touch()
    print("ready", flush=True)
    time.sleep(60)
"""


@needs_posix
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    path = tmp_path / "epoch_3.npz"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        left = names(tmp_path)
        assert len(left) == 2
        with written_whole(tmp_path / "other") as part:  # while it lives, its files are its own
            part.write_text("x")
        assert set(left) < set(names(tmp_path))
        process.send_signal(signal.SIGKILL)
    assert set(left) < set(names(tmp_path)) and not path.exists()
    with written_whole(tmp_path / "epoch_4.npz") as part:  # whatever the name
        part.write_text("x")
    assert names(tmp_path) == ["epoch_4.npz", "other"]


def test_what_others_left_is_removed_after_a_day(tmp_path):
    ours, foreign = atomic._HOST, "0" * 8
    (tmp_path / f".unfinished-{foreign}-1-0-a").touch()
    (tmp_path / f".unfinished-{foreign}-1-1-a").touch()
    (tmp_path / f".unfinished-{ours}-{os.getpid()}-x-a").touch()  # of one with our number before us
    (tmp_path / ".unfinished-business").touch()
    (tmp_path / "unfinished").touch()
    old = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / f".unfinished-{foreign}-1-1-a", (old, old))
    with written_whole(tmp_path / "a") as part:
        part.write_text("x")
    kept = [".unfinished-business", f".unfinished-{foreign}-1-0-a", "a", "unfinished"]
    assert names(tmp_path) == sorted(kept)


# --- used everywhere ------------------------------------------------------------------------------


def test_a_folder_appears_whole_or_not(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_written_whole(tmp_path / "a" / "set") as part:
        (part / "x").touch()
        raise ZeroDivisionError
    assert names(tmp_path / "a") == []
    for content in "xy":  # the second is too late: another process made it
        with folder_written_whole(tmp_path / "a" / "set") as part:
            (part / content).touch()
    assert names(tmp_path / "a") == ["set"] and names(tmp_path / "a" / "set") == ["x"]


WRITES = {
    *("os.replace", "os.rename", "shutil.copy", "shutil.copyfile", "shutil.copyfileobj"),
    *("shutil.move", "tempfile.mkstemp", "tempfile.mkdtemp", "tempfile.NamedTemporaryFile"),
    *("write_text", "write_bytes", "savefig", "save_file", "tofile"),
    *("np.save", "np.savez", "np.savez_compressed", "np.savetxt", "torch.save"),
    *("torch.onnx.export", "json.dump", "pickle.dump", "to_csv", "to_json"),
}
OTHERWISE = {  # file and function: why not in a block of written_whole
    ("atomic.py", "written_whole"): "this is how",
    ("atomic.py", "folder_written_whole"): "this is how",
    ("download.py", "__call__"): "pooch takes the file to its place once its md5 is right",
    ("download.py", "_complete"): "a part that the next attempt goes on with",
    ("files.py", "_copy_members"): "called in such a block",
    ("trainer.py", "_write"): "called in such a block",
    ("show.py", "_encode"): "to memory",
}


def is_write(call):
    """Whether a call writes to a file, as far as its name tells."""
    if not isinstance(call, ast.Call):
        return False
    name = ast.unparse(call.func)
    if name.rpartition(".")[2] == "open":
        modes = [*call.args[:2], *(k.value for k in call.keywords)]
        return any(re.search(r"""^['"][wxa]|['"]r.?[+]""", ast.unparse(m)) for m in modes)
    return name in WRITES or name.rpartition(".")[2] in WRITES


def in_place(path):
    """Yield the functions of a module, and the lines in them, that write outside such a block."""

    def visit(node, function, whole):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        elif isinstance(node, ast.With):
            whole = whole or any("written_whole(" in ast.unparse(i) for i in node.items)
        if is_write(node) and not whole:
            yield (path.name, function), f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function, whole)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "", False)


def test_nothing_is_written_in_any_other_way():
    files = [
        *ROOT.glob("coursekit/**/*.py"),
        *ROOT.glob("benchmarks/*.py"),
        ROOT / "lessons/build.py",
    ]
    found = [place for path in files for place in in_place(path)]
    assert [line for place, line in found if place not in OTHERWISE] == []
    assert {place for place, _ in found} == set(OTHERWISE)
