# Layer norm over the rows of (N, D).

cdef enum:
    CHUNK = 65536  # elements of the gradient between two passes over its columns


cdef cloned_void row_scale(
    const floating* x, const floating* weight, const floating* bias, floating* out, Py_ssize_t D,
    floating point, floating a, floating b,
) noexcept nogil:
    """``out = (a * (x - point) + b) * weight + bias`` over one row."""
    cdef Py_ssize_t j
    cdef floating x_hat
    for j in range(D):
        x_hat = a * (x[j] - point) + b
        if weight != NULL:
            x_hat = x_hat * weight[j]
        out[j] = x_hat + bias[j] if bias != NULL else x_hat


cdef void ln_forward_row(
    const floating* x, const floating* weight, const floating* bias, double* mean, double* var,
    floating* out, Py_ssize_t D, double eps,
) noexcept nogil:
    cdef floating point
    cdef Line line
    runs_mean_and_var(x, 1, D, D, mean, var)
    point = <floating>mean[0]
    line = forward_line(1, 0, mean[0] - point, var[0], eps)
    row_scale(x, weight, bias, out, D, point, <floating>line.a, <floating>line.b)


cdef void ln_forward_all(
    const floating[:, ::1] x, const floating[::1] weight, const floating[::1] bias,
    double[::1] mean, double[::1] var, floating[:, ::1] out, double eps, int num_threads,
) noexcept:
    cdef Py_ssize_t N = x.shape[0], D = x.shape[1], n
    cdef const floating* xp = &x[0, 0]
    cdef const floating* wp = NULL
    cdef const floating* bp = NULL
    cdef double* mp = &mean[0]
    cdef double* vp = &var[0]
    cdef floating* op = &out[0, 0]
    cdef int threads = shares(N * D, num_threads)
    if weight is not None:
        wp = &weight[0]
    if bias is not None:
        bp = &bias[0]
    for n in prange(N, nogil=True, num_threads=threads, schedule="static"):
        ln_forward_row(xp + n * D, wp, bp, mp + n, vp + n, op + n * D, D, eps)


def layer_norm_forward(x, weight, bias, mean, var, out, *, double eps, int num_threads=1):
    """``out``, ``mean`` and ``var``; see :func:`coursekit.kernels.layer_norm_forward`."""
    if x.itemsize == 4:
        ln_forward_all[float](x, weight, bias, mean, var, out, eps, num_threads)
    else:
        ln_forward_all[double](x, weight, bias, mean, var, out, eps, num_threads)


cdef void ln_backward_row(
    const floating* g, const floating* x, const floating* weight, double mean, double var,
    floating* dx, Py_ssize_t D, double eps,
) noexcept nogil:
    cdef double first, second
    cdef floating point = <floating>mean
    cdef Line line
    runs_moments(x, g, weight, 1, D, D, point, &first, &second)
    line = backward_line(D, 1, mean - point, var, eps, True, first, &second)
    runs_combine(x, g, weight, dx, 1, D, D, point,
                 <floating>line.a, <floating>line.b, <floating>line.c)


cdef cloned_void columns_group(
    const floating* g, const floating* x, Py_ssize_t D, Py_ssize_t width,
    const floating* point, const floating* a, const floating* b, double* dbias, double* dweight,
) noexcept nogil:
    cdef Py_ssize_t j, r
    cdef floating s, t
    for j in range(width):
        s = 0
        t = 0
        for r in range(GROUP):
            s += g[r * D + j]
            t += g[r * D + j] * (a[r] * (x[r * D + j] - point[r]) + b[r])
        dbias[j] += s
        dweight[j] += t


cdef cloned_void columns_single(
    const floating* g, const floating* x, Py_ssize_t width,
    floating point, floating a, floating b, double* dbias, double* dweight,
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(width):
        dbias[j] += g[j]
        dweight[j] += g[j] * (a * (x[j] - point) + b)


cdef void ln_backward_columns(
    const floating* g, const floating* x, const double* mean, const double* var,
    double* dbias, double* dweight, Py_ssize_t N, Py_ssize_t D, Py_ssize_t width, double eps,
) noexcept nogil:
    """Add ``N`` rows of ``width`` columns to ``dbias`` and ``dweight``."""
    cdef Py_ssize_t n = 0, r, rows
    cdef floating point[GROUP]
    cdef floating a[GROUP]
    cdef floating b[GROUP]
    cdef Line line
    while n < N:
        rows = min(GROUP, N - n)
        for r in range(rows):
            point[r] = <floating>mean[n + r]
            line = forward_line(1, 0, mean[n + r] - point[r], var[n + r], eps)
            a[r] = <floating>line.a
            b[r] = <floating>line.b
        if rows == GROUP:
            columns_group(g + n * D, x + n * D, D, width, point, a, b, dbias, dweight)
        else:
            for r in range(rows):
                columns_single(g + (n + r) * D, x + (n + r) * D, width, point[r], a[r], b[r],
                               dbias, dweight)
        n += rows


cdef void ln_backward_all(
    const floating[:, ::1] g, const floating[:, ::1] x, const floating[::1] weight,
    const double[::1] mean, const double[::1] var, floating[:, ::1] dx,
    double[::1] dweight, double[::1] dbias, double eps, int num_threads,
) noexcept:
    cdef Py_ssize_t N = x.shape[0], D = x.shape[1], n, c, k, start = 0, rows, chunk, width, parts
    cdef const floating* gp = &g[0, 0]
    cdef const floating* xp = &x[0, 0]
    cdef const floating* wp = NULL
    cdef const double* mp = &mean[0]
    cdef const double* vp = &var[0]
    cdef floating* dxp = NULL
    cdef double* dwp = NULL
    cdef double* dbp = NULL
    cdef int threads = shares(N * D, num_threads)
    if weight is not None:
        wp = &weight[0]
    if dx is not None:
        dxp = &dx[0, 0]
    if dweight is not None:
        dwp = &dweight[0]
    if dbias is not None:
        dbp = &dbias[0]
    # Rows for dx, then columns for the sums, while the rows are still in the cache. Whatever the
    # number of threads, each sum is added up in the same order.
    chunk = max(1, CHUNK // (GROUP * max(D, 1))) * GROUP
    width = tile(D, threads)
    parts = (D + width - 1) // width
    while start < N:
        rows = min(chunk, N - start)
        if dxp != NULL:
            for k in prange(rows, nogil=True, num_threads=threads, schedule="static"):
                n = start + k
                ln_backward_row(gp + n * D, xp + n * D, wp, mp[n], vp[n], dxp + n * D, D, eps)
        if dwp != NULL:
            for k in prange(parts, nogil=True, num_threads=threads, schedule="static"):
                c = k * width
                ln_backward_columns(gp + start * D + c, xp + start * D + c, mp + start, vp + start,
                                    dbp + c, dwp + c, rows, D, min(width, D - c), eps)
        start += rows


def layer_norm_backward(dout, x, weight, mean, var, dx, dweight, dbias, *, double eps,
                        int num_threads=1):
    """``dx``, ``dweight``, ``dbias``; see :func:`coursekit.kernels.layer_norm_backward`."""
    if x.itemsize == 4:
        ln_backward_all[float](dout, x, weight, mean, var, dx, dweight, dbias, eps, num_threads)
    else:
        ln_backward_all[double](dout, x, weight, mean, var, dx, dweight, dbias, eps, num_threads)
