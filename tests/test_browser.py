"""Figures in a real JupyterLab, in a real browser: what a screen reader gets to read out."""

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from urllib.parse import quote

import nbformat
import pytest

from coursekit.grading.environment import notebook_environment

ALT = "A parabola: the growth grows."
LIVE_ALT = "A line that became longer."
ODD_ALT = """p < 0.05 & "it's" 5 > 3, not &lt; <img alt='x'>"""

SECONDS = 120  # for whatever the page is waited for
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)
MISSING = [
    what
    for what, there in [
        ("jupyterlab", find_spec("jupyterlab")),
        ("selenium", find_spec("selenium")),
        (f"one of {', '.join(BROWSERS)} on the path", FOUND),
        ("chromedriver on the path", shutil.which("chromedriver")),
    ]
    if not there
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"a browser test needs {' and '.join(MISSING)}"),
]
# The alt texts of the page's pictures, in order; a picture without a width is not yet drawn.
PICTURES = """
    return [...document.querySelectorAll(".jp-OutputArea-output img")]
        .map(img => ({alt: img.alt, width: img.naturalWidth}))
"""
# A notebook that is told to run before its kernel is there does nothing.
READY = """
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return Boolean(session?.isReady && session.session?.kernel?.status === "idle");
"""


def until(wanted, what):
    """Ask `wanted` until it gives something true; return that."""
    deadline = time.monotonic() + SECONDS
    while not (value := wanted()):
        assert time.monotonic() < deadline, f"waited {SECONDS} s for {what}"
        time.sleep(0.2)
    return value


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of this environment, with nobody's settings; its folder and its address."""
    home = tmp_path_factory.mktemp("lab")
    folder, runtime = home / "folder", home / "runtime"
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    for path in (folder, runtime, settings):
        path.mkdir(parents=True)
    # Cells out of sight are part of the page too.
    tracker = settings / "tracker.jupyterlab-settings"
    tracker.write_text('{"windowingMode": "none"}', encoding="utf-8")
    env = notebook_environment(budget="quick", data="bundled") | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    options = ["--no-browser", "--ip=127.0.0.1", "--ServerApp.port=0", "--expose-app-in-browser"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    with (home / "log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:

        def address():
            assert server.poll() is None, (home / "log").read_text(encoding="utf-8")
            for path in runtime.glob("jpserver-*.json"):
                return json.loads(path.read_text(encoding="utf-8"))

        info = until(address, "JupyterLab to start")
        yield folder, f"{info['url']}lab/tree/{{}}?reset&token={info['token']}"
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = FOUND
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def opened(lab, browser, notebook, name):
    """Put the notebook into the lab's folder and open it there, in a page with nothing else."""
    folder, address = lab
    nbformat.write(notebook, folder / name)
    browser.get(address.format(quote(name)))
    count = len(notebook.cells)
    cells = "return document.querySelectorAll('.jp-Notebook .jp-Cell').length"
    until(lambda: browser.execute_script(cells) == count, f"the {count} cells of {name}")
    until(lambda: browser.execute_script(READY), f"the kernel of {name}")


def read_out(browser, count):
    """The alt texts of the page's pictures, once `count` of them were drawn."""

    def drawn():
        pictures = browser.execute_script(PICTURES)
        return len(pictures) == count and all(p["width"] for p in pictures) and pictures

    return [picture["alt"] for picture in until(drawn, f"{count} pictures")]


def odd_figure(notebook):
    """Add a cell whose figure's alt text is full of what HTML gives a meaning."""
    source = f"fig, ax = plt.subplots()\nplots.show(fig, {ODD_ALT!r}, format='jpeg')"
    notebook.cells.append(nbformat.v4.new_code_cell(source))


def test_stored_figures_are_read_out_in_jupyterlab(sample, lab, browser):
    """Nobody trusts this notebook: JupyterLab cleans its HTML before showing it."""
    notebook = nbformat.read(sample / "notebooks" / "sample_lesson.ipynb", as_version=4)
    opened(lab, browser, notebook, "stored.ipynb")
    assert read_out(browser, 2) == [ALT, LIVE_ALT]


def test_figures_drawn_in_jupyterlab_are_read_out(sample, lab, browser):
    """A still one, a live one whose picture was replaced twice, and an odd one."""
    notebook = nbformat.read(sample / "notebooks" / "sample_lesson.ipynb", as_version=4)
    odd_figure(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    opened(lab, browser, notebook, "drawn.ipynb")
    assert browser.execute_script(PICTURES) == []
    browser.execute_script("jupyterapp.commands.execute('notebook:run-all-cells')")
    assert read_out(browser, 3) == [ALT, LIVE_ALT, ODD_ALT]
