"""The one room that needs PyTorch says so, and is the only one."""

import subprocess
import sys
from pathlib import Path


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_without_torch_the_port_says_what_to_install():
    result = python("import sys; sys.modules['torch'] = None; import coursekit.port")
    last = result.stderr.strip().splitlines()[-1]
    assert last == "ImportError: coursekit.port needs PyTorch: pip install torch torchvision"


def test_a_torch_that_does_not_load_is_not_called_missing(tmp_path):
    (tmp_path / "torch.py").write_text("import missing_library")
    result = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import coursekit.port")
    last = result.stderr.strip().splitlines()[-1]
    assert last == "ModuleNotFoundError: No module named 'missing_library'"


def test_without_torch_all_other_rooms_import():
    package = Path(__file__).resolve().parents[1] / "coursekit"
    rooms = {folder.parent.name for folder in package.glob("*/__init__.py")} - {"port"}
    assert {"nn", "training", "checks"} <= rooms
    imports = ", ".join(f"coursekit.{room}" for room in sorted(rooms))
    result = python(f"import sys; sys.modules['torch'] = None; import {imports}")
    assert result.returncode == 0, result.stderr
