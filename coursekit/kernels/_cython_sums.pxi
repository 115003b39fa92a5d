# What batch and layer norm are made of. Every loop over an array is one of two kinds:
#
# - moments: sums about a point near the mean, in the width of the array over a few elements at a
#   time, whose sums are added up in double. Differences from the mean keep what a large mean would
#   swallow; a few elements at a time keep the speed of float32.
# - combinations: an affine function of x, and of the gradient, written out.
#
# "rows" walk (N, C) for some neighbouring channels at once; "runs" walk (N, C, S) for one channel,
# whose S values lie side by side. A row of layer norm is a single run. A point is rounded to the
# array's type, `mean - point` is not and goes into the constant term.

cdef enum:
    GROUP = 4      # rows whose sum is taken in the array's own type
    TILE = 1024    # channels that a thread takes at once, at most; their sums fit on its stack
    LANES = 32     # independent sums in a run, so that additions need not wait for each other
    QUARTER = 8    # of them; folded by four, then added up in double
    BLOCK = 1024   # elements of a run whose sums are taken in the array's own type
    SAMPLES = 7    # values whose mean is the first guess at the mean of all


cdef inline const floating* at(const floating* p, Py_ssize_t i) noexcept nogil:
    """``p + i``; what is not there stays not there."""
    return p if p == NULL else p + i


cdef inline Py_ssize_t tile(Py_ssize_t columns, int threads) noexcept nogil:
    """How many columns a thread takes at once: long pieces of a row are read fastest."""
    return max(1, min(<Py_ssize_t>TILE, (columns + threads - 1) // threads))


# --- moments ------------------------------------------------------------------------------------

cdef cloned_void rows_group(
    const floating* x, const floating* g, Py_ssize_t C, Py_ssize_t width,
    const floating* point, double* first, double* second,
) noexcept nogil:
    # The branches stand outside, and the loops over GROUP inside: that is how both vectorise.
    cdef Py_ssize_t j, r
    cdef floating d, s, t
    if g == NULL:
        for j in range(width):
            s = 0
            t = 0
            for r in range(GROUP):
                d = x[r * C + j] - point[j]
                s += d
                t += d * d
            first[j] += s
            second[j] += t
    else:
        for j in range(width):
            s = 0
            t = 0
            for r in range(GROUP):
                s += g[r * C + j]
                t += g[r * C + j] * (x[r * C + j] - point[j])
            first[j] += s
            second[j] += t


cdef cloned_void rows_single(
    const floating* x, const floating* g, Py_ssize_t width,
    const floating* point, double* first, double* second,
) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating d, e
    for j in range(width):
        d = x[j] - point[j]
        e = d if g == NULL else g[j]
        first[j] += e
        second[j] += e * d


cdef inline Py_ssize_t row_blocks(Py_ssize_t N) noexcept nogil:
    """Into how many blocks to split ``N`` rows, whatever the number of threads."""
    return max(1, min(64, N // 1024))


cdef void rows_moments_part(
    const floating* x, const floating* g, Py_ssize_t N, Py_ssize_t C, Py_ssize_t width,
    const floating* point, double* first, double* second,
) noexcept nogil:
    cdef Py_ssize_t n = 0, j
    for j in range(width):
        first[j] = 0
        second[j] = 0
    while n + GROUP <= N:
        rows_group(x + n * C, at(g, n * C), C, width, point, first, second)
        n += GROUP
    while n < N:
        rows_single(x + n * C, at(g, n * C), width, point, first, second)
        n += 1


cdef void rows_moments(
    const floating* x, const floating* g, Py_ssize_t N, Py_ssize_t C, const floating* point,
    double* sums, int threads,
) noexcept nogil:
    """Sums over the rows: of a column at ``sums[j]`` and ``sums[C + j]``.

    Behind these 2 * C is room for as many in each block. Threads take blocks of rows, or parts of
    the columns where there are fewer blocks than threads; a column's sums are the same either way.
    """
    cdef Py_ssize_t blocks = row_blocks(N), tasks, width, k, b, j, n
    width = tile(C, <int>((threads + blocks - 1) // blocks))
    tasks = (C + width - 1) // width
    for k in prange(blocks * tasks, num_threads=threads, schedule="static"):
        b = k // tasks
        j = k % tasks * width
        n = N * b // blocks
        rows_moments_part(x + n * C + j, at(g, n * C + j), N * (b + 1) // blocks - n, C,
                          min(width, C - j), point + j,
                          sums + (2 * b + 2) * C + j, sums + (2 * b + 3) * C + j)
    for j in range(2 * C):
        sums[j] = 0
    for b in range(1, blocks + 1):
        for j in range(2 * C):
            sums[j] += sums[2 * b * C + j]


cdef cloned_void runs_moments(
    const floating* x, const floating* g, const floating* w, Py_ssize_t N, Py_ssize_t stride,
    Py_ssize_t S, floating point, double* sums, double* products,
) noexcept nogil:
    """Sums over ``N`` runs of ``S``; the gradient is ``g``, or ``g * w`` with ``w`` along a run."""
    cdef Py_ssize_t n, i, k, stop, filled = 0
    cdef floating d, e
    cdef double total, product
    cdef floating first[LANES]
    cdef floating second[LANES]
    cdef double wide_first[QUARTER]
    cdef double wide_second[QUARTER]
    for k in range(LANES):
        first[k] = 0
        second[k] = 0
    for k in range(QUARTER):
        wide_first[k] = 0
        wide_second[k] = 0
    for n in range(N):
        i = 0
        while i < S:
            stop = min(S, i + BLOCK)
            filled += stop - i
            while i + LANES <= stop:
                for k in range(LANES):
                    d = x[i + k] - point
                    e = d if g == NULL else (g[i + k] if w == NULL else g[i + k] * w[i + k])
                    first[k] += e
                    second[k] += e * d
                i += LANES
            for k in range(stop - i):
                d = x[i + k] - point
                e = d if g == NULL else (g[i + k] if w == NULL else g[i + k] * w[i + k])
                first[k] += e
                second[k] += e * d
            i = stop
            if filled >= BLOCK or n == N - 1:
                for k in range(QUARTER):
                    wide_first[k] += ((first[k] + first[k + QUARTER])
                                      + (first[k + 2 * QUARTER] + first[k + 3 * QUARTER]))
                    wide_second[k] += ((second[k] + second[k + QUARTER])
                                       + (second[k + 2 * QUARTER] + second[k + 3 * QUARTER]))
                for k in range(LANES):
                    first[k] = 0
                    second[k] = 0
                filled = 0
        x += stride
        if g != NULL:
            g += stride
    total = 0
    product = 0
    for k in range(QUARTER):
        total += wide_first[k]
        product += wide_second[k]
    sums[0] = total
    products[0] = product


cdef inline double mean_and_var(
    double n, double point, double first, double second, double* var,
) noexcept nogil:
    cdef double offset = first / n
    var[0] = max(second / n - offset * offset, 0.0)
    return point + offset


cdef inline bint far_off(double mean, double var, double point) noexcept nogil:
    """Whether so much of the squares about ``point`` is its distance that the rest is rough."""
    return (mean - point) * (mean - point) > 8 * var


cdef void rows_mean_and_var(
    const floating* x, Py_ssize_t N, Py_ssize_t C, double* mean, double* var, floating* point,
    double* sums, int threads,
) noexcept nogil:
    """One pass about a guess, and a second about the mean of the first if the guess was bad."""
    cdef Py_ssize_t j, k, attempt
    cdef bint again
    for j in range(C):
        mean[j] = 0
    for k in range(SAMPLES):
        for j in range(C):
            mean[j] += x[k * N // SAMPLES * C + j] / <double>SAMPLES
    for attempt in range(2):
        again = attempt == 0
        for j in range(C):
            if attempt == 0 or far_off(mean[j], var[j], point[j]):
                point[j] = <floating>mean[j]
                again = True
        if not again:
            return
        rows_moments(x, NULL, N, C, point, sums, threads)
        for j in range(C):
            mean[j] = mean_and_var(N, point[j], sums[j], sums[C + j], &var[j])


cdef void runs_mean_and_var(
    const floating* x, Py_ssize_t N, Py_ssize_t stride, Py_ssize_t S, double* mean, double* var,
) noexcept nogil:
    """One pass about a guess, and a second about the mean of the first if the guess was bad."""
    cdef Py_ssize_t k, i, attempt
    cdef double first, second
    cdef floating point
    mean[0] = 0
    for k in range(SAMPLES):
        i = k * N * S // SAMPLES
        mean[0] += x[i // S * stride + i % S] / <double>SAMPLES
    for attempt in range(2):
        point = <floating>mean[0]
        runs_moments(x, NULL, NULL, N, stride, S, point, &first, &second)
        mean[0] = mean_and_var(<double>N * S, point, first, second, var)
        if not far_off(mean[0], var[0], point):
            return


# --- combinations -------------------------------------------------------------------------------

cdef cloned_void rows_combine(
    const floating* x, const floating* g, floating* out, Py_ssize_t N, Py_ssize_t C,
    const floating* point, const floating* a, const floating* b, const floating* c,
) noexcept nogil:
    """``out = a * (x - point) + b``, plus ``c * g``, with coefficients by column."""
    cdef Py_ssize_t n, j
    for n in range(N):
        if g == NULL:
            for j in range(C):
                out[j] = a[j] * (x[j] - point[j]) + b[j]
        else:
            for j in range(C):
                out[j] = c[j] * g[j] + (a[j] * (x[j] - point[j]) + b[j])
            g += C
        x += C
        out += C


cdef cloned_void runs_combine(
    const floating* x, const floating* g, const floating* w, floating* out, Py_ssize_t N,
    Py_ssize_t stride, Py_ssize_t S, floating point, floating a, floating b, floating c,
) noexcept nogil:
    """``out = a * (x - point) + b``, plus ``c * g`` or ``c * g * w``, over ``N`` runs of ``S``."""
    cdef Py_ssize_t n, i
    for n in range(N):
        if g == NULL:
            for i in range(S):
                out[i] = a * (x[i] - point) + b
        elif w == NULL:
            for i in range(S):
                out[i] = c * g[i] + (a * (x[i] - point) + b)
        else:
            for i in range(S):
                out[i] = c * (g[i] * w[i]) + (a * (x[i] - point) + b)
        x += stride
        out += stride
        if g != NULL:
            g += stride


cdef struct Line:
    double a, b, c  # of a combination


cdef inline Line forward_line(
    double w, double b, double rest, double var, double eps,
) noexcept nogil:
    cdef Line line
    line.a = w / sqrt(var + eps)
    line.b = b - line.a * rest
    line.c = 0
    return line


cdef inline Line backward_line(
    double n, double w, double rest, double var, double eps, bint batch_stats,
    double dbias, double* dweight,
) noexcept nogil:
    """The coefficients of dx; ``dweight`` comes as the sum of the gradient times x - point."""
    cdef double inv_std = 1 / sqrt(var + eps)
    cdef Line line
    dweight[0] = (dweight[0] - rest * dbias) * inv_std
    line.a = 0
    line.b = 0
    line.c = w * inv_std
    if batch_stats:
        line.a = -line.c * inv_std * dweight[0] / n
        line.b = -line.c * dbias / n - line.a * rest
    return line
