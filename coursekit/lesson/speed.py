"""How fast is this machine, compared with the one on which the lessons' minutes were taken?"""

import time
from functools import cache

import numpy as np

REFERENCE_SECONDS = 0.013
"""What `_work` takes on the machine that the lessons' minutes come from: one thread, AVX-512."""


@cache
def relative_time() -> float:
    """How many times as long as there a lesson takes here, to within a factor of two or so.

    Times a fixed piece of the lessons' own work with the threads that NumPy has now: a matrix
    product that a processor's arithmetic limits, and a ReLU that its memory limits.
    """
    return min(_work() for _ in range(5)) / REFERENCE_SECONDS


def _work() -> float:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((256, 3072), (3072, 512)))
    begun = time.perf_counter()
    for _ in range(2):
        np.maximum(x @ w, 0)
        np.maximum(x, 0)
    return time.perf_counter() - begun
