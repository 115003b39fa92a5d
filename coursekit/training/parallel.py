"""Run many jobs side by side: over the cores of one machine or, through joblib, over a cluster."""

import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext
from typing import Any, Literal

from coursekit.training.callbacks import progress_is_on
from coursekit.training.interrupts import explain_interrupt


def run_jobs(
    function: Callable[..., Any],
    arguments: Iterable[tuple],
    *,
    total: int,
    done: int = 0,
    n_jobs: int = -1,
    one_thread: bool = True,
    order: Literal["given", "finished"] = "given",
    kept: str = "",
) -> Generator[Any, None, None]:
    """Yield ``function(*a)`` for every ``a``, behind a progress bar.

    Inside ``with joblib.parallel_config(backend="dask")`` (or "ray") the cluster does the work.

    Args:
        function: may run in another process.
        arguments: one tuple a job.
        total: length of the bar.
        done: where the bar begins.
        n_jobs: processes; -1 uses every core.
        one_thread: limit BLAS and OpenMP to one thread in each job, so that jobs side by side do
            not fight for the cores, and sums are added in one order.
        order: results in the order given, or each as soon as it is there.
        kept: what becomes of the finished jobs, for the message of an interrupt.

    Raises:
        Exception: the first of a job, after the results that were there before it. Closing the
            generator, too, cancels the jobs that have not begun.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    return_as = {"given": "generator", "finished": "generator_unordered"}[order]
    # One job a batch: a result is handed on when it is there, not when its neighbours are. Idle
    # processes go after seconds, not minutes: they outlive a notebook's kernel, and who waits for
    # its output waits for them.
    # Large arrays come as maps of a file, which a job may write to: the writing stays its own.
    parallel = Parallel(
        n_jobs=n_jobs, return_as=return_as, batch_size=1, idle_worker_timeout=10, mmap_mode="c"
    )
    results = parallel(delayed(_call)(function, one_thread, *a) for a in arguments)
    bar = tqdm(results, total=total, initial=done, unit="run", disable=not progress_is_on())
    try:
        for result, error, trace in bar:
            if error is not None:
                if error.__traceback__ is None:  # it came from another process and lost its own
                    error.add_note(trace)
                raise error
            done += 1
            yield result
    except KeyboardInterrupt as interrupt:
        explain_interrupt(interrupt, f"interrupted after {done} of {total} runs{kept}")
        raise
    finally:
        bar.close()
        results.close()  # joblib then warns that jobs were cancelled


def _call(function: Callable[..., Any], one_thread: bool, *arguments: Any) -> tuple:
    """Return ``(result, None, "")`` or ``(None, error, its traceback)``.

    An error raised here would overtake finished results that still wait to be handed on.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1) if one_thread else nullcontext():
        try:
            return function(*arguments), None, ""
        except Exception as error:
            return None, error, traceback.format_exc()
