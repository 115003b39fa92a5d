"""Pictures to learn from: CIFAR-10, MNIST and a bundled stand-in, split, batched, augmented.

`load()` gives a `Dataset`; which one is up to its argument or the environment:

- `COURSEKIT_DATA`: "auto" (default), "cifar10", "bundled", or a folder;
- `COURSEKIT_BUDGET`: "full" (default) or "quick", read by `budget()`;
- `COURSEKIT_CACHE`: where downloads are kept.

`from_folder()` and `from_arrays()` make a `Dataset` of pictures of your own.
"""

from .dataset import Dataset, Split
from .files import DataError, cache_dir
from .loading import budget, cifar10_root, load, load_mnist
from .own import from_arrays, from_folder

__all__ = [
    "DataError",
    "Dataset",
    "Split",
    "budget",
    "cache_dir",
    "cifar10_root",
    "from_arrays",
    "from_folder",
    "load",
    "load_mnist",
]
