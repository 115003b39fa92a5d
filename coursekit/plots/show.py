"""Show a figure in a notebook: with a text for those who cannot see it, in reproducible bytes.

The output is HTML, one ``<img>`` with the picture inside, because JupyterLab, Colab and nbconvert
give that its alt text; JupyterLab gives an ``image/png`` output none, whatever its metadata says.
There is no ``image/png`` beside it: all of them would pass it over, and the notebook would be twice
as large. The alt text is the output's plain text as well, for readers without pictures.
``pytest --nbval`` compares both, all but the picture's bytes (`coursekit.grading.plugin`).
"""

import base64
import html
import io
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

DPI = 100
_STILL: Any = object()  # "no live figure wanted", which None cannot say: None opens one


@dataclass(frozen=True)
class LiveFigure:
    """The place of a live figure in the page, as `show` hands it out; give it back to update."""

    alt: str
    display: Any


def show(
    fig: Figure,
    alt: str,
    *,
    update: LiveFigure | None = _STILL,
    format: Literal["png", "jpeg"] = "png",
) -> LiveFigure | None:
    """Display `fig` with the alt text `alt`, then close it.

    Without `update` this is one still picture and nothing is returned. For a live plot write
    ``handle = show(fig, alt, update=handle)`` in the loop, with ``handle = None`` before it: the
    first call puts the picture on the page, the later ones replace it, and the stored notebook
    holds the last. All of them need the same `alt`, so it states what the finished plot shows.
    Outside Jupyter (a script, a test) the alt text is printed where the picture would be.

    Args:
        fig: the figure; closed afterwards, so that Jupyter does not show it a second time.
        alt: one or two sentences that state the finding, not "a plot of the loss".
        format: "png", or "jpeg" for sheets of photographs, where it needs a third of the bytes.

    Raises:
        TypeError: `fig` is not a figure, or `alt` no text.
        ValueError: `alt` is empty, or differs from the alt text of the live figure in `update`;
            another format.
    """
    if not isinstance(fig, Figure):
        raise TypeError(f"show: fig must be a matplotlib Figure, got {type(fig).__name__}")
    if not isinstance(alt, str):
        raise TypeError(
            f"alt: got {type(alt).__name__}; needed a sentence on what the figure shows"
        )
    if format not in ("png", "jpeg"):
        raise ValueError(f"format: got {format!r}; needed 'png' or 'jpeg'")
    alt = " ".join(alt.split())
    if not alt:
        raise ValueError("show: alt is empty; say in a sentence what the figure shows")
    if isinstance(update, LiveFigure) and update.alt != alt:
        raise ValueError(
            "show: a live figure keeps one alt text, "
            f"it began with {update.alt!r} and now came {alt!r}"
        )
    # Close first: a closed figure can still be drawn, and a drawing error leaves none behind.
    plt.close(fig)
    picture = f"data:image/{format};base64,{_encode(fig, format)}"
    data = {
        "text/html": f'<img alt="{html.escape(alt)}" style="max-width: 100%" src="{picture}">',
        "text/plain": f"[figure] {alt}",
    }
    return _display(data, alt, update)


def _encode(fig: Figure, format: str) -> str:
    """Picture as base64; no software version or date inside, so equal figures are equal bytes.

    A plot has few colours: a palette makes the file three times smaller, and nobody can tell.
    """
    drawn, stored = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB")
    if format == "jpeg":
        image.save(stored, "jpeg", quality=75, optimize=True)
    else:
        palette = image.quantize(256, dither=Image.Dither.NONE)
        palette.save(stored, "png", optimize=True)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def _display(data: dict, alt: str, update: LiveFigure | None) -> LiveFigure | None:
    from IPython.core.interactiveshell import InteractiveShell  # slow, and a script needs none
    from IPython.display import display

    if not InteractiveShell.initialized():
        if not isinstance(update, LiveFigure):  # one line a picture, not one an update
            print(data["text/plain"])
        return None if update is _STILL else LiveFigure(alt, None)
    if update is _STILL:
        display(data, raw=True)
        return None
    if update is None:
        handle = display(data, raw=True, display_id=True)
        return LiveFigure(alt, handle)
    if update.display is not None:
        update.display.update(data, raw=True)
    return update
