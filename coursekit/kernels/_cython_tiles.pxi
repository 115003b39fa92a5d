# What all convolutions start from: the product chosen for this processor (see _conv.h first), the
# shapes, and moving numbers to where the product wants them: filters and gradients into panels,
# pictures into padded strips with their channels last.

cdef extern from "_conv.h":
    ctypedef struct Tile "ck_tile":
        const char* name
        int rows, width
        void (*product)(
            const void** a, Py_ssize_t outer, Py_ssize_t jump, Py_ssize_t inner, Py_ssize_t step,
            const void* panel, const void* bias, void** out, int rows, int width,
        ) noexcept nogil
        void (*transform)(
            int kind, const void* x, Py_ssize_t row, Py_ssize_t column,
            void* to, Py_ssize_t to_row, Py_ssize_t to_column, Py_ssize_t count,
        ) noexcept nogil

    enum:
        CK_SPREAD_INPUT, CK_SPREAD_FILTER, CK_GATHER_OUTPUT, CK_SPREAD_DOUT, CK_GATHER_DFILTER

    void CK_PREFETCH(const void* p) nogil
    Tile ck_tiles[3][2]
    int ck_tiles_that_run()

cdef enum:
    ROWS = 8                # of a tile, at most
    STRIP_BYTES = 1 << 18   # of padded pictures that a thread holds, in its level-2 cache
    CACHE_LINE = 64         # bytes

cdef int chosen_tile = ck_tiles_that_run() - 1


def tiles():
    """The instruction sets this processor can run convolutions on, from slow to fast."""
    return [ck_tiles[i][0].name.decode() for i in range(ck_tiles_that_run())]


def use_tile(str name):
    """Run convolutions on one of :func:`tiles`; at first it is the last."""
    global chosen_tile
    chosen_tile = tiles().index(name)


cdef struct Conv:
    Py_ssize_t N, C, H, W, K, OH, OW, kh, kw, sh, sw, ph, pw
    Py_ssize_t taps     # kw * C: numbers side by side that a row of the kernel meets
    Py_ssize_t line     # (W + 2 * pw) * C: numbers in a padded row
    Py_ssize_t strip    # rows of a picture that a thread takes at once
    Py_ssize_t strips   # in a picture
    Py_ssize_t group    # pictures that are taken at once, where they are small
    Py_ssize_t down, across, squares, row  # see _cython_winograd.pxi
    Tile tile
    int threads


cdef Conv geometry(x, out, kernel_size, stride, padding, int num_threads):
    cdef Conv c
    c.N, c.C, c.H, c.W = x.shape
    _, c.K, c.OH, c.OW = out.shape
    c.kh, c.kw = kernel_size
    c.sh, c.sw = stride
    c.ph, c.pw = padding
    c.taps = c.kw * c.C
    c.line = (c.W + 2 * c.pw) * c.C
    c.tile = ck_tiles[chosen_tile][x.itemsize == 8]
    c.threads = num_threads
    return c


cdef inline Py_ssize_t parts(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """How many parts of at most ``size`` make ``n``."""
    return (n + size - 1) // size


cdef void cut(Conv* c, Py_ssize_t rows, Py_ssize_t at_most) noexcept:
    """Cut ``rows`` of a picture into strips, of which every thread should get a few."""
    c.strips = max(parts(rows, max(1, at_most)), min(rows, parts(4 * c.threads, c.N)))
    c.strip = parts(rows, c.strips)
    c.strips = parts(rows, c.strip)


# --- moving numbers to where the product wants them ---------------------------------------------

def flat(array):
    """The memory of pictures as it lies, and whether the channels are last in it."""
    last = array.transpose(0, 2, 3, 1)
    return (last.reshape(-1), True) if last.flags.c_contiguous else (array.reshape(-1), False)


def workspace(shape, dtype):
    """An empty array whose rows begin with a cache line; for that the last axis may grow."""
    *rows, n = shape
    n += -n % CACHE_LINE
    room = np.empty(math.prod(rows) * n * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : len(room) - CACHE_LINE + start].view(dtype).reshape(*rows, n)


def panels(matrices, int width):
    """Matrices (M, depth, columns) as M x panels of (depth, width), filled up with zeros."""
    m, depth, columns = matrices.shape
    blocks = parts(columns, width)
    packed = workspace((m * blocks * depth * width,), matrices.dtype)
    view = packed[: m * blocks * depth * width].reshape(m, blocks, depth, width)
    view[:, -1] = 0
    for k in range(0, columns, width):
        view[:, k // width, :, : columns - k] = matrices[:, :, k : k + width]
    return packed


cdef void interleave(
    const floating* x, Py_ssize_t plane, Py_ssize_t channels, Py_ssize_t rows, Py_ssize_t width,
    floating* to, Py_ssize_t line, Py_ssize_t step,
) noexcept nogil:
    """Channels first to last: ``to[h * line + w * step + c] = x[c * plane + h * width + w]``."""
    # Eight channels at a time: more streams than that, often 4096 bytes apart, push each other out
    # of the level-1 cache. They are too short for the processor to see where they go next.
    cdef Py_ssize_t b, c, h, w
    for b in range(0, channels, 8):
        for h in range(rows):
            for c in range(b + 8, b + 16):
                for w in range(0, width, 16):
                    CK_PREFETCH(x + c * plane + h * width + w)
            for w in range(width):
                for c in range(b, min(b + 8, channels)):
                    to[h * line + w * step + c] = x[c * plane + h * width + w]


cdef void load_rows(
    const floating* x, bint last, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t first,
    Py_ssize_t count, Py_ssize_t pad, Py_ssize_t line, floating* to,
) noexcept nogil:
    """Rows of one picture, channels last, in lines of ``line`` numbers, with zeros around them."""
    cdef Py_ssize_t h, edge = pad * C, rest = line - (pad + W) * C
    cdef Py_ssize_t stop = first + count, top = min(max(0, first), stop)
    cdef Py_ssize_t bottom = max(top, min(H, stop))
    cdef floating* start = to + (top - first) * line
    memset(to, 0, (top - first) * line * sizeof(floating))
    memset(to + (bottom - first) * line, 0, (stop - bottom) * line * sizeof(floating))
    for h in range(bottom - top):
        memset(start + h * line, 0, edge * sizeof(floating))
        if last:
            memcpy(start + h * line + edge, x + (top + h) * W * C, W * C * sizeof(floating))
        memset(start + (h + 1) * line - rest, 0, rest * sizeof(floating))
    if not last:
        interleave(x + top * W, H * W, C, bottom - top, W, start + edge, line, C)


cdef void load_panels(
    const floating* x, bint last, Py_ssize_t K, Py_ssize_t plane, Py_ssize_t first,
    Py_ssize_t count, Py_ssize_t width, floating* to, Py_ssize_t panel,
) noexcept nogil:
    """``count`` pixels of one picture, each ``width`` channels in a panel of their own."""
    cdef Py_ssize_t b, k, q, n
    for b in range(parts(K, width)):
        k = b * width
        n = min(width, K - k)
        if n < width:
            memset(to, 0, count * width * sizeof(floating))
        if last:
            for q in range(count):
                memcpy(to + q * width, x + (first + q) * K + k, n * sizeof(floating))
        else:
            interleave(x + k * plane + first, plane, n, 1, count, to, 0, width)
        to += panel
