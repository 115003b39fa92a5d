"""How fast is this machine, compared with the one on which the lessons' minutes were taken?"""

import time
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits

REFERENCE_SECONDS = 0.013
"""What `_work` takes on the machine that the lessons' minutes come from: one thread, AVX-512."""


@cache
def relative_time() -> float:
    """How many times as long as there a lesson takes here, to within a factor of two or so.

    Times a fixed piece of the lessons' own work: a matrix product, which a processor's arithmetic
    limits, and a ReLU, which its memory limits. It counts the processor's time on one thread, so
    that what else runs on the machine changes nothing.
    """
    with threadpool_limits(1):
        return min(_work() for _ in range(5)) / REFERENCE_SECONDS


def _work() -> float:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((256, 3072), (3072, 512)))
    begun = time.thread_time()
    for _ in range(2):
        np.maximum(x @ w, 0)
        np.maximum(x, 0)
    return time.thread_time() - begun
