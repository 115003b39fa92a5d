"""Deep learning on CIFAR-10, from a matrix product to a fast run: the notebooks' package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("coursekit")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
