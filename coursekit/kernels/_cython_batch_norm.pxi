# Batch norm over (N, C, S). With S == 1 the channels lie side by side, else each has runs of S.

cdef void combine_backwards(
    const floating* x, const floating* g, floating* out, Py_ssize_t start, Py_ssize_t stop,
    Py_ssize_t C, const floating* point, const floating* a, const floating* b, const floating* c,
) noexcept nogil:
    """Rows ``stop`` down to ``start`` of ``out``: the last ones read are those still in a cache."""
    # By rows: two threads that write to parts of one row were slower than one thread.
    cdef Py_ssize_t n
    while start < stop:
        n = max(start, stop - max(1, 65536 // C))
        rows_combine(x + n * C, at(g, n * C), out + n * C, stop - n, C, point, a, b, c)
        stop = n


cdef void bn_forward_columns(
    const floating* x, const floating* weight, const floating* bias, double* mean, double* var,
    floating* point, floating* a, floating* b, double* sums, Py_ssize_t N, Py_ssize_t C,
    double eps, bint batch_stats, int threads,
) noexcept nogil:
    """Statistics and coefficients of all channels of (N, C)."""
    cdef Py_ssize_t j
    cdef Line line
    if batch_stats:
        rows_mean_and_var(x, N, C, mean, var, point, sums, threads)
    for j in range(C):
        point[j] = <floating>mean[j]
        line = forward_line(
            1 if weight == NULL else weight[j], 0 if bias == NULL else bias[j],
            mean[j] - point[j], var[j], eps,
        )
        a[j] = <floating>line.a
        b[j] = <floating>line.b


cdef void bn_forward_runs(
    const floating* x, double w, double b, double* mean, double* var, floating* out,
    Py_ssize_t N, Py_ssize_t stride, Py_ssize_t S, double eps, bint batch_stats,
) noexcept nogil:
    """One channel of (N, C, S)."""
    cdef floating point
    cdef Line line
    if batch_stats:
        runs_mean_and_var(x, N, stride, S, mean, var)
    point = <floating>mean[0]
    line = forward_line(w, b, mean[0] - point, var[0], eps)
    runs_combine(x, NULL, NULL, out, N, stride, S, point, <floating>line.a, <floating>line.b, 0)


cdef void bn_forward_all(
    const floating[:, :, ::1] x, const floating[::1] weight, const floating[::1] bias,
    double[::1] mean, double[::1] var, floating[:, :, ::1] out,
    double eps, bint batch_stats, int num_threads,
) except *:
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], S = x.shape[2], k, c
    cdef const floating* xp = &x[0, 0, 0]
    cdef const floating* wp = NULL
    cdef const floating* bp = NULL
    cdef double* mp = &mean[0]
    cdef double* vp = &var[0]
    cdef floating* op = &out[0, 0, 0]
    cdef int threads = shares(N * C * S, num_threads)
    cdef floating* scratch
    cdef double* sums
    if weight is not None:
        wp = &weight[0]
    if bias is not None:
        bp = &bias[0]
    if S == 1:
        scratch = <floating*>malloc(3 * (C + 1) * sizeof(floating))
        sums = <double*>malloc((2 + 2 * row_blocks(N)) * (C + 1) * sizeof(double))
        if scratch == NULL or sums == NULL:
            free(scratch)
            free(sums)
            raise MemoryError()
        with nogil:
            bn_forward_columns(xp, wp, bp, mp, vp, scratch, scratch + C, scratch + 2 * C, sums,
                               N, C, eps, batch_stats, threads)
        for k in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            combine_backwards(xp, NULL, op, N * k // threads, N * (k + 1) // threads, C,
                              scratch, scratch + C, scratch + 2 * C, NULL)
        free(scratch)
        free(sums)
    else:
        for c in prange(C, nogil=True, num_threads=threads, schedule="static"):
            bn_forward_runs(
                xp + c * S, 1 if wp == NULL else wp[c], 0 if bp == NULL else bp[c],
                mp + c, vp + c, op + c * S, N, C * S, S, eps, batch_stats,
            )


def batch_norm_forward(x, weight, bias, mean, var, out, *, double eps, bint batch_stats,
                       int num_threads=1):
    """``out``, ``mean``, ``var``; see :func:`coursekit.kernels.batch_norm_forward`."""
    if x.itemsize == 4:
        bn_forward_all[float](x, weight, bias, mean, var, out, eps, batch_stats, num_threads)
    else:
        bn_forward_all[double](x, weight, bias, mean, var, out, eps, batch_stats, num_threads)


cdef void bn_backward_columns(
    const floating* g, const floating* x, const floating* weight, const double* mean,
    const double* var, floating* dweight, floating* dbias, floating* point, floating* a,
    floating* b, floating* c, double* sums, Py_ssize_t N, Py_ssize_t C,
    double eps, bint batch_stats, int threads,
) noexcept nogil:
    """Gradients of scale and shift, and coefficients, of all channels of (N, C)."""
    cdef Py_ssize_t j
    cdef Line line
    for j in range(C):
        point[j] = <floating>mean[j]
    rows_moments(x, g, N, C, point, sums, threads)
    for j in range(C):
        line = backward_line(N, 1 if weight == NULL else weight[j], mean[j] - point[j], var[j],
                             eps, batch_stats, sums[j], &sums[C + j])
        dbias[j] = <floating>sums[j]
        dweight[j] = <floating>sums[C + j]
        a[j] = <floating>line.a
        b[j] = <floating>line.b
        c[j] = <floating>line.c


cdef void bn_backward_runs(
    const floating* g, const floating* x, double w, double mean, double var, floating* dx,
    floating* dweight, floating* dbias, Py_ssize_t N, Py_ssize_t stride, Py_ssize_t S,
    double eps, bint batch_stats,
) noexcept nogil:
    """One channel of (N, C, S)."""
    cdef double first, second
    cdef floating point = <floating>mean
    cdef Line line
    runs_moments(x, g, NULL, N, stride, S, point, &first, &second)
    line = backward_line(<double>N * S, w, mean - point, var, eps, batch_stats, first, &second)
    dbias[0] = <floating>first
    dweight[0] = <floating>second
    if dx != NULL:
        runs_combine(x, g, NULL, dx, N, stride, S, point,
                     <floating>line.a, <floating>line.b, <floating>line.c)


cdef void bn_backward_all(
    const floating[:, :, ::1] g, const floating[:, :, ::1] x, const floating[::1] weight,
    const double[::1] mean, const double[::1] var, floating[:, :, ::1] dx,
    floating[::1] dweight, floating[::1] dbias, double eps, bint batch_stats, int num_threads,
) except *:
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], S = x.shape[2], k, c
    cdef const floating* gp = &g[0, 0, 0]
    cdef const floating* xp = &x[0, 0, 0]
    cdef const floating* wp = NULL
    cdef const double* mp = &mean[0]
    cdef const double* vp = &var[0]
    cdef floating* dxp = NULL
    cdef floating* dwp = &dweight[0]
    cdef floating* dbp = &dbias[0]
    cdef int threads = shares(N * C * S, num_threads)
    cdef floating* scratch
    cdef double* sums
    if weight is not None:
        wp = &weight[0]
    if dx is not None:
        dxp = &dx[0, 0, 0]
    if S == 1:
        scratch = <floating*>malloc(4 * (C + 1) * sizeof(floating))
        sums = <double*>malloc((2 + 2 * row_blocks(N)) * (C + 1) * sizeof(double))
        if scratch == NULL or sums == NULL:
            free(scratch)
            free(sums)
            raise MemoryError()
        with nogil:
            bn_backward_columns(gp, xp, wp, mp, vp, dwp, dbp, scratch, scratch + C,
                                scratch + 2 * C, scratch + 3 * C, sums, N, C, eps, batch_stats,
                                threads)
        if dxp != NULL:
            for k in prange(threads, nogil=True, num_threads=threads, schedule="static"):
                combine_backwards(xp, gp, dxp, N * k // threads, N * (k + 1) // threads, C,
                                  scratch, scratch + C, scratch + 2 * C, scratch + 3 * C)
        free(scratch)
        free(sums)
    else:
        for c in prange(C, nogil=True, num_threads=threads, schedule="static"):
            bn_backward_runs(
                gp + c * S, xp + c * S, 1 if wp == NULL else wp[c], mp[c], vp[c],
                dxp + c * S if dxp != NULL else NULL, dwp + c, dbp + c,
                N, C * S, S, eps, batch_stats,
            )


def batch_norm_backward(dout, x, weight, mean, var, dx, dweight, dbias, *, double eps,
                        bint batch_stats, int num_threads=1):
    """``dx``, ``dweight``, ``dbias``; see :func:`coursekit.kernels.batch_norm_backward`."""
    if x.itemsize == 4:
        bn_backward_all[float](dout, x, weight, mean, var, dx, dweight, dbias, eps, batch_stats,
                               num_threads)
    else:
        bn_backward_all[double](dout, x, weight, mean, var, dx, dweight, dbias, eps, batch_stats,
                                num_threads)
