"""Alt texts arrive where they are read: in JupyterLab, in nbconvert's pages, in nbval's eyes."""

import subprocess
import sys

import nbformat
import pytest

from coursekit.grading.environment import notebook_environment

ALT = "A parabola: the growth grows."


def drawing(sample):
    """A notebook of two cells from the built sample lesson: the imports, and a figure."""
    notebook = nbformat.read(sample / "notebooks" / "sample_lesson.ipynb", as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    (shows,) = [c for c in cells if any(ALT in str(output) for output in c.outputs)]
    notebook.cells = [next(c for c in cells if "import matplotlib" in c.source), shows]
    return notebook, shows.outputs[0]


@pytest.mark.parametrize(
    ("mime", "old", "new", "passes"),
    [
        # Equal code draws other bytes where another FreeType is installed.
        pytest.param("text/html", "base64,iVBOR", "base64,/_+0other", True, id="bytes"),
        pytest.param("text/html", ALT, "A line.", False, id="alt"),
        pytest.param("text/plain", ALT, "A line.", False, id="plain text"),
    ],
)
def test_nbval_compares_a_pictures_texts_but_not_its_bytes(
    sample, tmp_path, mime, old, new, passes
):
    """Strictly, and with no settings but those of coursekit's own plugin."""
    notebook, output = drawing(sample)
    assert old in output.data[mime]
    output.data[mime] = output.data[mime].replace(old, new)
    nbformat.write(notebook, tmp_path / "drawing.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "coursekit.grading.plugin", "--nbval"),
            *("--nbval-current-env", "-p", "no:cacheprovider", "drawing.ipynb"),
        ],
        cwd=tmp_path,
        env=notebook_environment(budget="quick", data="bundled"),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == (0 if passes else 1), run.stdout + run.stderr
    assert ("Cell outputs differ" in run.stdout) is not passes, run.stdout
