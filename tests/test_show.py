"""`plots.show` and `plots.use_style`: the picture, its text, and nothing left behind."""

import base64
from html.parser import HTMLParser

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


def picture(output):
    """The attributes of the output's one HTML element, an img, and the bytes of its picture."""
    elements = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            elements.append((tag, dict(attributes)))

        def handle_data(self, data):
            raise AssertionError(f"text beside the picture: {data!r}")

    Reader().feed(output.data["text/html"])
    ((tag, attributes),) = elements
    assert tag == "img"
    kind, _, payload = attributes["src"].partition(";base64,")
    return attributes | {"kind": kind}, base64.b64decode(payload, validate=True)


def test_still_picture_carries_its_text_twice_and_is_closed(figure, in_ipython):
    with capture_output() as captured:
        assert plots.show(figure, "  It\n rises. ") is None
    (output,) = captured.outputs
    assert output.data["text/plain"] == "[figure] It rises."
    attributes, content = picture(output)
    assert attributes["alt"] == "It rises."
    assert attributes["kind"] == "data:image/png"
    assert content.startswith(b"\x89PNG")
    assert not plt.fignum_exists(figure.number)


def test_only_html_is_emitted_since_a_png_loses_its_alt_text_and_doubles_the_notebook(
    figure, in_ipython
):
    with capture_output() as captured:
        plots.show(figure, "It rises.")
    assert set(captured.outputs[0].data) == {"text/html", "text/plain"}


def test_alt_text_may_hold_what_html_gives_a_meaning(figure, in_ipython):
    alt = """p < 0.05 & "it's" 5 > 3, not &lt; <img alt='x'>"""
    with capture_output() as captured:
        plots.show(figure, alt)
    assert picture(captured.outputs[0])[0]["alt"] == alt
    assert captured.outputs[0].data["text/plain"] == f"[figure] {alt}"


def test_equal_figures_are_equal_bytes(in_ipython):
    pictures = []
    for _ in range(2):
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, 1])
        with capture_output() as captured:
            plots.show(fig, "It rises.")
        pictures.append(picture(captured.outputs[0])[1])
    assert pictures[0] == pictures[1]
    assert b"Software" not in pictures[0]


def test_jpeg(figure, in_ipython):
    with capture_output() as captured:
        plots.show(figure, "It rises.", format="jpeg")
    (output,) = captured.outputs
    attributes, content = picture(output)
    assert (attributes["alt"], attributes["kind"]) == ("It rises.", "data:image/jpeg")
    assert content.startswith(b"\xff\xd8")


def test_live_figure_shows_once_then_updates(figure, in_ipython):
    with capture_output() as captured:
        handle = plots.show(figure, "It rises.", update=None)
        again = plots.show(figure, "It rises.", update=handle)
    assert again is handle
    first, second = captured.outputs
    assert first.data["text/plain"] == second.data["text/plain"] == "[figure] It rises."
    assert picture(first)[0]["alt"] == picture(second)[0]["alt"] == "It rises."


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
