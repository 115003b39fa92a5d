"""Deep learning on CIFAR-10, from a matrix product to a fast run: the notebooks' package."""

__version__ = "0.2.0"

__all__ = ["__version__", "get_num_threads", "set_num_threads"]

_blas_limit = None


def set_num_threads(n: int) -> None:
    """Compute on ``n`` threads, in one pool.

    The compiled kernels get ``n`` threads. For ``n`` > 1 the BLAS is limited to one: two pools,
    whose idle threads go on spinning for a while, would fight for the same cores. ``n`` = 1 gives
    the BLAS back what it had. Without compiled kernels the BLAS does the work, on ``n`` threads. In
    a forked child the compiled kernels go on with one.

    Args:
        n: number of threads, at most the number of cores for speed.

    Raises:
        ValueError: ``n`` is not an integer of at least 1, or far more than there are cores.
    """
    from threadpoolctl import threadpool_limits

    from coursekit import kernels

    global _blas_limit
    kernels.set_num_threads(n)
    if _blas_limit is not None:
        _blas_limit.restore_original_limits()
        _blas_limit = None
    if n > 1:
        blas = 1 if kernels.info().openmp else n
        _blas_limit = threadpool_limits(blas, user_api="blas")


def get_num_threads() -> int:
    """Number of threads the kernels compute on; 1 where they are not compiled."""
    from coursekit import kernels

    return kernels.get_num_threads()
