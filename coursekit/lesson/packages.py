"""Are the packages there that a lesson needs beyond coursekit's own?"""

from importlib.util import find_spec

_TITLES = {"torch": "PyTorch"}


class PackageMissing(ImportError):
    """A lesson's package is not installed. Jupyter shows the message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of the traceback (its hook, hence the name)."""
        return [str(self)]


def require(*packages: str) -> None:
    """Raise `PackageMissing`, in one line with the command that repairs it, unless all are there.

    Args:
        packages: names as imported, which are also those that pip knows.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        title = _TITLES.get(missing[0], missing[0])
        raise PackageMissing(
            f"This lesson needs {title}, which is not installed here: run `%pip install "
            f"{' '.join(missing)}` in a cell or `make lab` in the repository, then restart the "
            "kernel."
        )
