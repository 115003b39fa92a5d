# Convolution: forward, dx and dweight are one product with other pointers (the table in _conv.h).
# 3 x 3 kernels of stride 1 on many channels take the shorter way of _cython_winograd.pxi.

cdef enum:
    WIDE = 16           # channels of dx from which on they fill the tile of a convolution
    STRIP_PIXELS = 256  # of dout over which dweight is summed at one go


# --- forward --------------------------------------------------------------------------------------

cdef void convolve_strips(
    const floating* x, bint last, const floating* panel, const floating* bias, floating* out,
    const Py_ssize_t* pixel, floating* rows, const Conv* c, Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t s, n, y, count, b, k, r, p, q, width = c.tile.width
    cdef int i, height
    cdef const void* a[ROWS]
    cdef void* to[ROWS]
    for s in range(start, stop):
        n = s // c.strips
        y = s % c.strips * c.strip
        count = min(c.strip, c.OH - y)
        load_rows(x + n * c.C * c.H * c.W, last, c.C, c.H, c.W,
                  y * c.sh - c.ph, (count - 1) * c.sh + c.kh, c.pw, c.line, rows)
        for b in range(parts(c.K, width)):
            k = b * width
            for r in range(parts(count * c.OW, c.tile.rows)):
                p = r * c.tile.rows
                height = min(<Py_ssize_t>c.tile.rows, count * c.OW - p)
                for i in range(c.tile.rows):
                    q = p + min(i, height - 1)
                    a[i] = rows + pixel[q]
                    to[i] = out + ((n * c.OH + y) * c.OW + q) * c.K + k
                c.tile.product(a, c.kh, c.line, c.taps, 1, panel + k * c.kh * c.taps, bias + k,
                               to, height, min(width, c.K - k))


cdef void convolve_all(
    const floating[::1] x, bint last, const floating[::1] packed, const floating[::1] bias,
    floating[::1] out, const Py_ssize_t[::1] pixel, floating[:, ::1] rows, Conv c,
) except *:
    cdef Py_ssize_t units = c.N * c.strips
    cdef int t
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        convolve_strips(&x[0], last, &packed[0], &bias[0], &out[0], &pixel[0], &rows[t, 0], &c,
                        units * t // c.threads, units * (t + 1) // c.threads)


def convolve(x, weight, bias, out, stride, padding, int num_threads):
    """``out``, channels last, from pictures in any order and from filters in any order."""
    cdef Conv c = geometry(x, out, weight.shape[2:], stride, padding, num_threads)
    if out.size == 0:
        return
    if pays(&c):
        return winograd(x, weight, bias, out, c)
    cut(&c, c.OH, (STRIP_BYTES // (c.line * x.itemsize) - c.kh) // c.sh)
    matrix = weight.transpose(2, 3, 1, 0).reshape(1, -1, c.K)
    packed = panels(matrix, c.tile.width)
    shift = np.zeros(c.tile.width * parts(c.K, c.tile.width), x.dtype)
    if bias is not None:
        shift[: c.K] = bias
    pixel = np.add.outer(np.arange(c.strip) * c.sh * c.line, np.arange(c.OW) * c.sw * c.C).ravel()
    rows = workspace((num_threads, ((c.strip - 1) * c.sh + c.kh) * c.line), x.dtype)
    x, last = flat(x)
    if x.itemsize == 4:
        convolve_all[float](x, last, packed, shift, flat(out)[0], pixel, rows, c)
    else:
        convolve_all[double](x, last, packed, shift, flat(out)[0], pixel, rows, c)


def conv2d_forward(x, weight, bias, out, *, stride, padding, int num_threads=1):
    """``out``; see :func:`coursekit.kernels.conv2d_forward`."""
    convolve(x, weight, bias, out, stride, padding, num_threads)


# --- gradient of the input ------------------------------------------------------------------------

cdef void scatter_strips(
    const floating* dout, bint last, const floating* panel, floating* dx, const Py_ssize_t* pixel,
    floating* douts, floating* rows, const Conv* c, Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t s, n, y, count, top, first, end, pixels, gap, i, b, j, q, p, h
    cdef Py_ssize_t width = c.tile.width, padded = parts(c.taps, width) * width
    cdef int r, height
    cdef const void* a[ROWS]
    cdef void* to[ROWS]
    for s in range(start, stop):
        n = s // c.strips
        y = s % c.strips * c.strip
        count = min(c.strip, c.H - y)
        # Row h of dout reaches rows h * sh - ph, ..., h * sh - ph + kh - 1 of dx.
        top = min(c.OH, parts(max(0, y + c.ph - c.kh + 1), c.sh))
        end = min(c.OH, parts(y + count + c.ph, c.sh))
        load_rows(dout + n * c.K * c.OH * c.OW, last, c.K, c.OH, c.OW,
                  top, end - top, 0, c.OW * c.K, douts)
        memset(rows, 0, count * c.line * sizeof(floating))
        for i in range(c.kh):
            first = min(c.OH, parts(max(0, y + c.ph - i), c.sh))
            end = min(c.OH, parts(max(0, y + count + c.ph - i), c.sh))
            pixels = (end - first) * c.OW
            # The pixels of a tile lie far apart: neighbours add to the same numbers, and the
            # second would wait for the first.
            gap = parts(pixels, c.tile.rows)
            for b in range(padded // width):
                j = b * width
                for q in range(gap):
                    height = 0
                    for r in range(c.tile.rows):
                        p = q + r * gap
                        if p < pixels:
                            height = r + 1
                        else:
                            p = q
                        a[r] = douts + ((first - top) * c.OW + p) * c.K
                        to[r] = rows + (first * c.sh + i - c.ph - y) * c.line + pixel[p] + j
                    c.tile.product(a, 1, 0, c.K, 1, panel + (i * padded + j) * c.K, NULL,
                                   to, height, min(width, c.taps - j))
        for h in range(count):
            memcpy(dx + ((n * c.H + y + h) * c.W) * c.C, rows + h * c.line + c.pw * c.C,
                   c.W * c.C * sizeof(floating))


cdef void scatter_all(
    const floating[::1] dout, bint last, const floating[::1] packed, floating[::1] dx,
    const Py_ssize_t[::1] pixel, floating[:, ::1] douts, floating[:, ::1] rows, Conv c,
) except *:
    cdef Py_ssize_t units = c.N * c.strips
    cdef int t
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        scatter_strips(&dout[0], last, &packed[0], &dx[0], &pixel[0], &douts[t, 0], &rows[t, 0],
                       &c, units * t // c.threads, units * (t + 1) // c.threads)


def scatter(dout, weight, dx, stride, padding, int num_threads):
    """``dx``, channels last: every pixel of ``dout`` adds filters to the window it came from."""
    cdef Conv c = geometry(dx, dout, weight.shape[2:], stride, padding, num_threads)
    cut(&c, c.H, STRIP_BYTES // (max(c.line, c.K * c.OW) * dx.itemsize))
    matrices = weight.transpose(2, 0, 3, 1).reshape(c.kh, c.K, c.taps)
    packed = panels(matrices, c.tile.width)
    pixel = np.add.outer(np.arange(parts(c.strip, c.sh)) * c.sh * c.line,
                         np.arange(c.OW) * c.sw * c.C).ravel()
    douts = workspace((num_threads, (parts(c.strip + c.kh, c.sh) + 1) * c.OW * c.K), dx.dtype)
    rows = workspace((num_threads, c.strip * c.line), dx.dtype)
    dout, last = flat(dout)
    if dx.itemsize == 4:
        scatter_all[float](dout, last, packed, flat(dx)[0], pixel, douts, rows, c)
    else:
        scatter_all[double](dout, last, packed, flat(dx)[0], pixel, douts, rows, c)


def conv2d_backward_input(dout, weight, dx, *, stride, padding, int num_threads=1):
    """``dx``; see :func:`coursekit.kernels.conv2d_backward_input`."""
    if dx.size == 0:
        return
    kh, kw = weight.shape[2:]
    ph, pw = kh - 1 - padding[0], kw - 1 - padding[1]
    if tuple(stride) == (1, 1) and min(ph, pw) >= 0 and weight.shape[1] >= WIDE:
        # It is a convolution of dout with the filters turned round, the channels exchanged.
        turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        convolve(dout, turned, None, dx, (1, 1), (ph, pw), num_threads)
    else:
        scatter(dout, weight, dx, stride, padding, num_threads)


# --- gradients of weight and bias -----------------------------------------------------------------

cdef cloned_void add_rows(
    const floating* x, Py_ssize_t n, Py_ssize_t width, double* sums,
) noexcept nogil:
    """Sums of ``n`` rows, four in the type of the array before they are added up in double."""
    cdef Py_ssize_t q, l
    for q in range(0, n - 3, 4):
        for l in range(width):
            sums[l] += ((x[l] + x[width + l]) + (x[2 * width + l] + x[3 * width + l]))
        x += 4 * width
    for q in range(n % 4):
        for l in range(width):
            sums[l] += x[q * width + l]


cdef void correlate_strips(
    const floating* x, bint x_last, const floating* dout, bint dout_last, floating* dweight,
    double* dbias, const Py_ssize_t* tap, floating* rows, floating* douts, const Conv* c,
    Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t s, n, y, count, g, b, k, r, j, q
    cdef Py_ssize_t width = c.tile.width, size = c.kh * c.taps
    cdef Py_ssize_t plane = ((c.strip - 1) * c.sh + c.kh) * c.line
    cdef Py_ssize_t pixels = c.strip * c.OW
    cdef int i, height
    cdef const floating* panel
    cdef const void* a[ROWS]
    cdef void* to[ROWS]
    for s in range(start, stop):
        n = s // c.strips * c.group
        y = s % c.strips * c.strip
        count = min(c.strip, c.OH - y)
        for g in range(min(c.group, c.N - n)):
            load_rows(x + (n + g) * c.C * c.H * c.W, x_last, c.C, c.H, c.W,
                      y * c.sh - c.ph, (count - 1) * c.sh + c.kh, c.pw, c.line,
                      rows + g * plane)
            load_panels(dout + (n + g) * c.K * c.OH * c.OW, dout_last, c.K, c.OH * c.OW,
                        y * c.OW, count * c.OW, width, douts + g * pixels * width,
                        c.group * pixels * width)
        for b in range(parts(c.K, width)):
            k = b * width
            panel = douts + k * c.group * pixels
            for g in range(min(c.group, c.N - n)):
                add_rows(panel + g * pixels * width, count * c.OW, width, dbias + k)
            for r in range(parts(size, c.tile.rows)):
                j = r * c.tile.rows
                height = min(<Py_ssize_t>c.tile.rows, size - j)
                for g in range(min(c.group, c.N - n)):
                    for i in range(c.tile.rows):
                        q = j + min(i, height - 1)
                        a[i] = rows + g * plane + tap[q]
                        to[i] = dweight + k * size + q * width
                    c.tile.product(a, count, c.sh * c.line, c.OW, c.sw * c.C,
                                   panel + g * pixels * width, NULL, to,
                                   height, width // 2 if c.K - k <= width // 2 else width)


cdef void correlate_all(
    const floating[::1] x, bint x_last, const floating[::1] dout, bint dout_last,
    floating[:, ::1] dweight, double[:, ::1] dbias, const Py_ssize_t[::1] tap,
    floating[:, ::1] rows, floating[:, ::1] douts, Conv c,
) except *:
    cdef Py_ssize_t units = parts(c.N, c.group) * c.strips
    cdef int t
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        correlate_strips(&x[0], x_last, &dout[0], dout_last, &dweight[t, 0], &dbias[t, 0], &tap[0],
                         &rows[t, 0], &douts[t, 0], &c,
                         units * t // c.threads, units * (t + 1) // c.threads)


def conv2d_backward_weight(dout, x, dweight, dbias, *, stride, padding, int num_threads=1):
    """``dweight``, ``dbias``; see :func:`coursekit.kernels.conv2d_backward_weight`."""
    if dout.size == 0:
        dweight[...] = 0
        dbias[...] = 0
        return
    cdef Conv c = geometry(x, dout, dweight.shape[2:], stride, padding, num_threads)
    if pays(&c):
        return winograd_weight(dout, x, dweight, dbias, c)
    cut(&c, c.OH, min(STRIP_PIXELS // c.OW,
                      (STRIP_BYTES // (c.line * x.itemsize) - c.kh) // c.sh))
    plane = ((c.strip - 1) * c.sh + c.kh) * c.line
    c.group = 1
    if c.strips == 1:
        c.group = max(1, min(STRIP_PIXELS // (c.OH * c.OW), c.N // (2 * c.threads)))
    columns = parts(c.K, c.tile.width) * c.tile.width
    size = c.kh * c.taps
    sums = workspace((num_threads, columns * size), x.dtype)
    sums[...] = 0
    dbiases = np.zeros((num_threads, columns))
    tap = np.add.outer(np.arange(c.kh) * c.line, np.arange(c.taps)).ravel()
    rows = workspace((num_threads, c.group * plane), x.dtype)
    douts = workspace((num_threads, c.group * c.strip * c.OW * columns), x.dtype)
    x, x_last = flat(x)
    dout, dout_last = flat(dout)
    if x.itemsize == 4:
        correlate_all[float](x, x_last, dout, dout_last, sums, dbiases, tap, rows, douts, c)
    else:
        correlate_all[double](x, x_last, dout, dout_last, sums, dbiases, tap, rows, douts, c)
    total = sums.sum(axis=0)[: columns * size].reshape(-1, size, c.tile.width)
    total = total.transpose(0, 2, 1).reshape(columns, c.kh, c.kw, c.C)[: c.K]
    dweight[...] = total.transpose(0, 3, 1, 2)
    dbias[...] = dbiases.sum(axis=0)[: c.K]
