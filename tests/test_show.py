"""`plots.show` and `plots.use_style`: the picture, its text, and nothing left behind."""

import base64

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from coursekit import plots


@pytest.fixture
def figure():
    """A small figure, which the test is to close."""
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1])
    yield fig
    plt.close(fig)


@pytest.fixture
def in_ipython():
    """A shell, so that `display` publishes; taken down again for the other tests."""
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()


def test_still_picture_carries_its_text_twice_and_is_closed(figure, in_ipython):
    with capture_output() as captured:
        assert plots.show(figure, "  It\n rises. ") is None
    (output,) = captured.outputs
    assert output.data["text/plain"] == "[figure] It rises."
    assert output.metadata == {"image/png": {"alt": "It rises."}}
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
    assert not plt.fignum_exists(figure.number)


def test_equal_figures_are_equal_bytes(in_ipython):
    pictures = []
    for _ in range(2):
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, 1])
        with capture_output() as captured:
            plots.show(fig, "It rises.")
        pictures.append(captured.outputs[0].data["image/png"])
    assert pictures[0] == pictures[1]
    assert b"Software" not in base64.b64decode(pictures[0])


def test_jpeg(figure, in_ipython):
    with capture_output() as captured:
        plots.show(figure, "It rises.", format="jpeg")
    (output,) = captured.outputs
    assert output.metadata == {"image/jpeg": {"alt": "It rises."}}
    assert base64.b64decode(output.data["image/jpeg"]).startswith(b"\xff\xd8")


def test_live_figure_shows_once_then_updates(figure, in_ipython):
    with capture_output() as captured:
        handle = plots.show(figure, "It rises.", update=None)
        again = plots.show(figure, "It rises.", update=handle)
    assert again is handle
    first, second = captured.outputs
    assert first.data["text/plain"] == second.data["text/plain"] == "[figure] It rises."


def test_outside_jupyter_the_text_is_printed_once(figure, capsys):
    InteractiveShell.clear_instance()
    handle = None
    for _ in range(3):
        handle = plots.show(figure, "It rises.", update=handle)
    plots.show(figure, "It falls.")
    assert capsys.readouterr().out == "[figure] It rises.\n[figure] It falls.\n"


def test_bad_arguments_are_named(figure):
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(figure, " \n")
    with pytest.raises(TypeError, match="fig must be a matplotlib Figure, got list"):
        plots.show([], "text")
    handle = plots.show(figure, "It rises.", update=None)
    with pytest.raises(ValueError, match="'It rises.' and now came 'It fell.'"):
        plots.show(figure, "It fell.", update=handle)


def test_curves_differ_in_more_than_colour():
    with mpl.rc_context():
        plots.use_style()
        fig, ax = plt.subplots()
        lines = [ax.plot([0, 1])[0] for _ in range(6)]
        plt.close(fig)
    for look in ("get_color", "get_linestyle", "get_marker"):
        assert len({str(getattr(line, look)()) for line in lines}) >= 4
    assert len({line.get_marker() for line in lines}) == 6
