# Winograd's convolution for 3 x 3 kernels of stride 1: 16 products where there were 36. The sums
# before and after them, and why that works, are in _conv_winograd.h. A "square" is 2 x 2 outputs
# with the 4 x 4 inputs they see; u counts its 16 places.
#
# A thread takes about SQUARES at once. Of 64 channels and 64 filters its level-2 cache then holds
#
#     spread[u][square][channel]        256 KiB    the inputs
#     filters[panel][u][channel][32]    256 KiB    of which level 1 holds the 8 KiB of one u
#     sums[u][square][32]               128 KiB    products, on their way to outputs

cdef enum:
    SQUARES = 64
    NARROW = 16   # channels or filters from which on the products outweigh the sums
    CENTRE = 5    # the u whose product goes into each of the four outputs, once and with a plus


cdef bint pays(Conv* c) noexcept:
    """Whether Winograd's way is open, shorter, and needs no more room than twice the pictures."""
    cdef Py_ssize_t pictures = c.N * (c.C * c.H * c.W + c.K * c.OH * c.OW)
    return (
        c.kh == c.kw == 3 and c.sh == c.sw == 1 and min(c.C, c.K) >= NARROW
        and 16 * c.threads * (SQUARES * (c.C + c.K) + c.C * c.K) <= 2 * pictures
    )


cdef void cut_squares(Conv* c, Py_ssize_t itemsize) noexcept:
    """Lay out the work in strips of rows of squares, or in groups of small pictures."""
    c.down = parts(c.OH, 2)
    c.across = parts(c.OW, 2)
    cut(c, c.down, SQUARES // c.across)
    c.group = 1
    if c.strips == 1:
        c.group = max(1, min(SQUARES // (c.down * c.across), c.N // (2 * c.threads)))
    c.squares = c.group * c.strip * c.across
    c.row = parts(c.C * itemsize, CACHE_LINE) * CACHE_LINE // itemsize


cdef Py_ssize_t spread(
    int kind, Py_ssize_t size, const floating* x, bint last, Py_ssize_t channels, Py_ssize_t H,
    Py_ssize_t W, Py_ssize_t pad_h, Py_ssize_t pad_w, floating* rows, floating* to,
    Py_ssize_t plane, Py_ssize_t block, const Conv* c, Py_ssize_t unit,
) noexcept nogil:
    """Spread all squares of a unit, ``block`` channels at a time side by side; return how many."""
    cdef Py_ssize_t n = unit // c.strips * c.group, first = unit % c.strips * c.strip
    cdef Py_ssize_t count = min(c.strip, c.down - first)
    cdef Py_ssize_t line = (2 * c.across + size - 2) * channels
    cdef Py_ssize_t g, y, w, b, square = 0
    for g in range(n, min(n + c.group, c.N)):
        load_rows(x + g * channels * H * W, last, channels, H, W,
                  2 * first - pad_h, 2 * count + size - 2, pad_w, line, rows)
        for y in range(count):
            for w in range(c.across):
                for b in range(parts(channels, block)):
                    c.tile.transform(
                        kind, rows + 2 * y * line + 2 * w * channels + b * block, line, channels,
                        to + (b * c.squares + square) * block, 4 * plane, plane,
                        min(block, channels - b * block))
                square += 1
    return square


# --- forward, and dx with the filters turned round ------------------------------------------------

cdef void spread_filters(
    const floating[:, :, :, :] w, floating* packed, floating* room, const Conv* c, Py_ssize_t b,
) noexcept nogil:
    """Panel ``b`` of the filters, for every u."""
    cdef Py_ssize_t width = c.tile.width, n = min(width, c.K - b * width), plane = c.C * width
    cdef Py_ssize_t d, i, j, l
    memset(room, 0, 9 * width * sizeof(floating))
    for d in range(c.C):
        for i in range(3):
            for j in range(3):
                for l in range(n):
                    room[(3 * i + j) * width + l] = w[b * width + l, d, i, j]
        c.tile.transform(CK_SPREAD_FILTER, room, 3 * width, width,
                         packed + 16 * b * plane + d * width, 4 * plane, plane, width)


cdef void gather_outputs(
    const floating* sums, Py_ssize_t plane, floating* out, const Conv* c, Py_ssize_t unit,
    Py_ssize_t k,
) noexcept nogil:
    """The outputs of a unit of squares, filters ``k`` and following."""
    cdef Py_ssize_t n = unit // c.strips * c.group, first = unit % c.strips * c.strip
    cdef Py_ssize_t width = c.tile.width, count = min(width, c.K - k)
    cdef Py_ssize_t g, y, w, i, j
    cdef floating square[4 * 32]
    cdef floating* to
    for g in range(n, min(n + c.group, c.N)):
        for y in range(first, min(first + c.strip, c.down)):
            for w in range(c.across):
                to = out + ((g * c.OH + 2 * y) * c.OW + 2 * w) * c.K + k
                if count % (width // 2) == 0 and 2 * y + 1 < c.OH and 2 * w + 1 < c.OW:
                    c.tile.transform(CK_GATHER_OUTPUT, sums, 4 * plane, plane,
                                     to, c.OW * c.K, c.K, count)
                else:  # a square at the border, or a vector with lanes for no filter
                    c.tile.transform(CK_GATHER_OUTPUT, sums, 4 * plane, plane,
                                     square, 2 * width, width, count)
                    for i in range(min(2, c.OH - 2 * y)):
                        for j in range(min(2, c.OW - 2 * w)):
                            memcpy(to + (i * c.OW + j) * c.K, square + (2 * i + j) * width,
                                   count * sizeof(floating))
                sums += width


cdef void winograd_units(
    const floating* x, bint last, const floating* filters, const floating* bias,
    const floating* zeros, floating* out, floating* rows, floating* spread_x, floating* sums,
    const Conv* c, Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t width = c.tile.width, plane = c.squares * c.row + CACHE_LINE
    cdef Py_ssize_t sums_plane = c.squares * width + CACHE_LINE
    cdef Py_ssize_t unit, squares, b, u, r, s
    cdef int i, height
    cdef const void* a[ROWS]
    cdef void* to[ROWS]
    for unit in range(start, stop):
        squares = spread(CK_SPREAD_INPUT, 4, x, last, c.C, c.H, c.W, c.ph, c.pw,
                         rows, spread_x, plane, c.row, c, unit)
        for b in range(parts(c.K, width)):
            for u in range(16):
                for r in range(parts(squares, c.tile.rows)):
                    height = min(<Py_ssize_t>c.tile.rows, squares - r * c.tile.rows)
                    for i in range(c.tile.rows):
                        s = r * c.tile.rows + min(i, height - 1)
                        a[i] = spread_x + u * plane + s * c.row
                        to[i] = sums + u * sums_plane + s * width
                    c.tile.product(a, 1, 0, c.C, 1, filters + (16 * b + u) * c.C * width,
                                   bias + b * width if u == CENTRE else zeros, to, height,
                                   width if c.K - b * width > width // 2 else width // 2)
            gather_outputs(sums, sums_plane, out, c, unit, b * width)


cdef void winograd_all(
    const floating[::1] x, bint last, const floating[:, :, :, :] w, floating[::1] filters,
    const floating[::1] bias, const floating[::1] zeros, floating[::1] out,
    floating[:, ::1] rows, floating[:, ::1] spread_x, floating[:, ::1] sums, Conv c,
) except *:
    cdef Py_ssize_t units = parts(c.N, c.group) * c.strips
    cdef Py_ssize_t blocks = parts(c.K, c.tile.width)
    cdef Py_ssize_t b
    cdef int t
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        for b in range(blocks * t // c.threads, blocks * (t + 1) // c.threads):
            spread_filters(w, &filters[0], &sums[t, 0], &c, b)
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        winograd_units(&x[0], last, &filters[0], &bias[0], &zeros[0], &out[0], &rows[t, 0],
                       &spread_x[t, 0], &sums[t, 0], &c,
                       units * t // c.threads, units * (t + 1) // c.threads)


cdef winograd(x, weight, bias, out, Conv c):
    """``out``, channels last."""
    cut_squares(&c, x.itemsize)
    blocks = parts(c.K, c.tile.width)
    filters = workspace((blocks * 16 * c.C * c.tile.width,), x.dtype)
    shift = np.zeros(blocks * c.tile.width, x.dtype)
    if bias is not None:
        shift[: c.K] = bias
    zeros = np.zeros(c.tile.width, x.dtype)
    line = (2 * c.across + 2) * c.C
    rows = workspace((c.threads, (2 * c.strip + 2) * line + CACHE_LINE), x.dtype)
    spread_x = workspace((c.threads, 16 * (c.squares * c.row + CACHE_LINE)), x.dtype)
    sums = workspace((c.threads, 16 * (c.squares * c.tile.width + CACHE_LINE)), x.dtype)
    x, last = flat(x)
    to = flat(out)[0]
    if x.itemsize == 4:
        winograd_all[float](x, last, weight, filters, shift, zeros, to, rows, spread_x, sums, c)
    else:
        winograd_all[double](x, last, weight, filters, shift, zeros, to, rows, spread_x, sums, c)


# --- gradients of weight and bias -----------------------------------------------------------------

cdef void winograd_weight_units(
    const floating* x, bint x_last, const floating* dout, bint dout_last, floating* dfilters,
    double* dbias, floating* rows, floating* spread_x, floating* spread_dout, const Conv* c,
    Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t width = c.tile.width, plane = c.squares * c.row + CACHE_LINE
    cdef Py_ssize_t dout_plane = parts(c.K, width) * c.squares * width + CACHE_LINE
    cdef Py_ssize_t unit, squares, b, u, r, d
    cdef int i, height
    cdef const floating* panel
    cdef const void* a[ROWS]
    cdef void* to[ROWS]
    for unit in range(start, stop):
        squares = spread(CK_SPREAD_INPUT, 4, x, x_last, c.C, c.H, c.W, c.ph, c.pw,
                         rows, spread_x, plane, c.row, c, unit)
        spread(CK_SPREAD_DOUT, 2, dout, dout_last, c.K, c.OH, c.OW, 0, 0,
               rows, spread_dout, dout_plane, width, c, unit)
        for b in range(parts(c.K, width)):
            for u in range(16):
                panel = spread_dout + u * dout_plane + b * c.squares * width
                if u == CENTRE:  # there a square has the sum of its four numbers
                    add_rows(panel, squares, width, dbias + b * width)
                for r in range(parts(c.C, c.tile.rows)):
                    height = min(<Py_ssize_t>c.tile.rows, c.C - r * c.tile.rows)
                    for i in range(c.tile.rows):
                        d = r * c.tile.rows + min(i, height - 1)
                        a[i] = spread_x + u * plane + d
                        to[i] = dfilters + ((16 * b + u) * c.C + d) * width
                    c.tile.product(a, 1, 0, squares, c.row, panel, NULL, to, height,
                                   width if c.K - b * width > width // 2 else width // 2)


cdef void gather_dfilters(
    floating[:, ::1] dfilters, floating[:, :, :, ::1] dweight, floating* room, const Conv* c,
    Py_ssize_t b,
) noexcept nogil:
    """The gradient of panel ``b``, from what the threads found."""
    cdef Py_ssize_t width = c.tile.width, size = c.C * width, at = 16 * b * size
    cdef Py_ssize_t n = min(width, c.K - b * width)
    cdef Py_ssize_t t, d, i, j, l
    for t in range(1, c.threads):
        for l in range(16 * size):
            dfilters[0, at + l] += dfilters[t, at + l]
    for d in range(c.C):
        c.tile.transform(CK_GATHER_DFILTER, &dfilters[0, at + d * width], 4 * size, size,
                         room, 3 * width, width, width)
        for l in range(n):
            for i in range(3):
                for j in range(3):
                    dweight[b * width + l, d, i, j] = room[(3 * i + j) * width + l]


cdef void winograd_weight_all(
    const floating[::1] x, bint x_last, const floating[::1] dout, bint dout_last,
    floating[:, ::1] dfilters, double[:, ::1] dbias, floating[:, :, :, ::1] dweight,
    floating[:, ::1] rows, floating[:, ::1] spread_x, floating[:, ::1] spread_dout, Conv c,
) except *:
    cdef Py_ssize_t units = parts(c.N, c.group) * c.strips
    cdef Py_ssize_t blocks = parts(c.K, c.tile.width)
    cdef Py_ssize_t b
    cdef int t
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        memset(&dfilters[t, 0], 0, dfilters.shape[1] * sizeof(floating))
        winograd_weight_units(&x[0], x_last, &dout[0], dout_last, &dfilters[t, 0], &dbias[t, 0],
                              &rows[t, 0], &spread_x[t, 0], &spread_dout[t, 0], &c,
                              units * t // c.threads, units * (t + 1) // c.threads)
    for t in prange(c.threads, nogil=True, num_threads=c.threads, schedule="static"):
        for b in range(blocks * t // c.threads, blocks * (t + 1) // c.threads):
            gather_dfilters(dfilters, dweight, &spread_x[t, 0], &c, b)


cdef winograd_weight(dout, x, dweight, dbias, Conv c):
    """``dweight``, ``dbias``."""
    cut_squares(&c, x.itemsize)
    columns = parts(c.K, c.tile.width) * c.tile.width
    dfilters = workspace((c.threads, 16 * c.C * columns), x.dtype)
    dbiases = np.zeros((c.threads, columns))
    lines = max((2 * c.strip + 2) * (2 * c.across + 2) * c.C, 4 * c.strip * c.across * c.K)
    rows = workspace((c.threads, lines + CACHE_LINE), x.dtype)
    spread_x = workspace((c.threads, 16 * (c.squares * c.row + CACHE_LINE)), x.dtype)
    spread_dout = workspace((c.threads, 16 * (c.squares * columns + CACHE_LINE)), x.dtype)
    x, x_last = flat(x)
    dout, dout_last = flat(dout)
    if x.itemsize == 4:
        winograd_weight_all[float](x, x_last, dout, dout_last, dfilters, dbiases, dweight,
                                   rows, spread_x, spread_dout, c)
    else:
        winograd_weight_all[double](x, x_last, dout, dout_last, dfilters, dbiases, dweight,
                                    rows, spread_x, spread_dout, c)
    dbias[...] = dbiases.sum(axis=0)[: c.K]
