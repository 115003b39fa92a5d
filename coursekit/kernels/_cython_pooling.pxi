# Pooling, channels last: all channels of a pixel at a time, side by side in vector registers.
# The backward passes gather: for each pixel of dx the windows that hold it are looked up, so that
# no two threads write to one place and each number is written once.

cdef enum:
    SLICE = 32  # channels taken at a time, in local arrays of a size that the compiler knows

ctypedef unsigned char uchar

ctypedef fused index:
    uchar
    int

cdef struct Pool:
    Py_ssize_t N, C, H, W, OH, OW, kh, kw, sh, sw, ph, pw
    Py_ssize_t strip, strips  # rows of a picture that are written at once; strips in a picture
    int threads


cdef Pool pool_geometry(x, out, kernel_size, stride, padding, int num_threads):
    cdef Pool p
    p.N, p.C, p.H, p.W = x.shape
    p.OH, p.OW = out.shape[2:]
    p.kh, p.kw = kernel_size
    p.sh, p.sw = stride
    p.ph, p.pw = padding
    p.threads = num_threads
    return p


cdef inline index* at_index(index* p, Py_ssize_t i) noexcept nogil:
    """``p + i``; what is not there stays not there."""
    return p if p == NULL else p + i


def windows_of(Py_ssize_t pixels, Py_ssize_t windows, Py_ssize_t size, stride, padding):
    """For each pixel along one axis the first window that holds it, and the first after those."""
    i = np.arange(pixels) + padding
    return np.stack([np.maximum(0, (i - size) // stride + 1), np.minimum(windows, i // stride + 1)])


cdef inline const floating* rows_of(
    const floating* x, bint last, Py_ssize_t n, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W,
    Py_ssize_t first, Py_ssize_t stop, floating* room,
) noexcept nogil:
    """Rows of picture n, channels last: where they are, or a copy where they are not."""
    if last:
        return x + (n * H + first) * W * C
    load_rows(x + n * C * H * W, False, C, H, W, first, stop - first, 0, W * C, room)
    return room


# --- forward --------------------------------------------------------------------------------------

cdef inline void max_slice(
    const floating* x, floating* out, index* argmax, Py_ssize_t top, Py_ssize_t bottom,
    Py_ssize_t left, Py_ssize_t right, Py_ssize_t n, const Pool* p,
) noexcept nogil:
    cdef Py_ssize_t i, j, k
    cdef floating best[SLICE]
    cdef int place[SLICE]
    cdef const floating* v
    cdef bint larger
    for k in range(n):
        best[k] = -INFINITY
        place[k] = <int>(top * p.kw + left)
    for i in range(top, bottom):
        for j in range(left, right):
            v = x + ((i - top) * p.W + j) * p.C
            for k in range(n):
                larger = (v[k] > best[k]) | (v[k] != v[k])  # NaN wins, as in PyTorch
                best[k] = v[k] if larger else best[k]
                place[k] = <int>(i * p.kw + j) if larger else place[k]
    for k in range(n):
        out[k] = best[k]
    for k in range(n):
        argmax[k] = <index>place[k]


cdef inline void mean_slice(
    const floating* x, floating* out, Py_ssize_t top, Py_ssize_t bottom,
    Py_ssize_t left, Py_ssize_t right, Py_ssize_t n, const Pool* p,
) noexcept nogil:
    cdef Py_ssize_t i, j, k
    cdef floating total[SLICE]
    cdef floating share = <floating>(1.0 / (p.kh * p.kw))
    cdef const floating* v
    for k in range(n):
        total[k] = -0.0
    for i in range(top, bottom):
        for j in range(left, right):
            v = x + ((i - top) * p.W + j) * p.C
            for k in range(n):
                total[k] += v[k]
    for k in range(n):
        out[k] = total[k] * share


cdef cloned_void pool_row(
    const floating* rows, floating* out, index* argmax, Py_ssize_t top, Py_ssize_t bottom,
    const Pool* p,
) noexcept nogil:
    """A row of ``out``. Of its windows, rows ``top`` to ``bottom`` are in the picture."""
    cdef Py_ssize_t w, left, right, c
    cdef const floating* x
    for w in range(p.OW):
        left = max(0, p.pw - w * p.sw)
        right = min(p.kw, p.W + p.pw - w * p.sw)
        for c in range(0, p.C, 32):
            # A slice of a length that the compiler knows stays in vector registers.
            x = rows + (w * p.sw - p.pw) * p.C + c
            if argmax == NULL and c + SLICE <= p.C:
                mean_slice(x, out + c, top, bottom, left, right, SLICE, p)
            elif argmax == NULL:
                mean_slice(x, out + c, top, bottom, left, right, p.C - c, p)
            elif c + SLICE <= p.C:
                max_slice(x, out + c, argmax + c, top, bottom, left, right, SLICE, p)
            else:
                max_slice(x, out + c, argmax + c, top, bottom, left, right, p.C - c, p)
        out += p.C
        if argmax != NULL:
            argmax += p.C


cdef void pool_strips(
    const floating* x, bint last, floating* out, index* argmax, floating* room, const Pool* p,
    Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t s, n, h, y, end, first, at
    cdef const floating* rows
    for s in range(start, stop):
        n = s // p.strips
        y = s % p.strips * p.strip
        end = min(y + p.strip, p.OH)
        first = max(0, y * p.sh - p.ph)
        rows = rows_of(x, last, n, p.C, p.H, p.W, first,
                       min(p.H, (end - 1) * p.sh - p.ph + p.kh), room)
        while y < end:
            h = y * p.sh - p.ph
            at = (n * p.OH + y) * p.OW * p.C
            pool_row(rows + (max(0, h) - first) * p.W * p.C, out + at, at_index(argmax, at),
                     max(0, -h), min(p.kh, p.H - h), p)
            y += 1


cdef void pool_forward(
    const floating[::1] x, bint last, floating[::1] out, index[::1] argmax,
    floating[:, ::1] room, Pool p,
) except *:
    """The maximum of every window, or without ``argmax`` the mean."""
    cdef Py_ssize_t units = p.N * p.strips
    cdef int t
    cdef index* places = NULL if argmax is None else &argmax[0]
    for t in prange(p.threads, nogil=True, num_threads=p.threads, schedule="static"):
        pool_strips(&x[0], last, &out[0], places, &room[t, 0], &p,
                    units * t // p.threads, units * (t + 1) // p.threads)


def run_pool_forward(x, out, argmax, kernel_size, stride, padding, num_threads):
    if out.size == 0:
        return
    cdef Pool p = pool_geometry(x, out, kernel_size, stride, padding, num_threads)
    pixels, last = flat(x)
    to = flat(out)[0]
    p.strip = max(1, min(p.OH, STRIP_BYTES // (p.sh * p.W * p.C * x.itemsize)))
    p.strips = parts(p.OH, p.strip)
    height = 0 if last else (p.strip - 1) * p.sh + p.kh
    room = workspace((num_threads, height * p.W * p.C), x.dtype)
    if argmax is None:
        if x.itemsize == 4:
            pool_forward[float, int](pixels, last, to, None, room, p)
        else:
            pool_forward[double, int](pixels, last, to, None, room, p)
    else:
        places = flat(argmax)[0]
        if x.itemsize == 4 and places.itemsize == 1:
            pool_forward[float, uchar](pixels, last, to, places, room, p)
        elif x.itemsize == 4:
            pool_forward[float, int](pixels, last, to, places, room, p)
        elif places.itemsize == 1:
            pool_forward[double, uchar](pixels, last, to, places, room, p)
        else:
            pool_forward[double, int](pixels, last, to, places, room, p)


def max_pool2d_forward(x, out, argmax, *, kernel_size, stride, padding, int num_threads=1):
    """``out``, ``argmax``; see :func:`coursekit.kernels.max_pool2d_forward`."""
    run_pool_forward(x, out, argmax, kernel_size, stride, padding, num_threads)


def avg_pool2d_forward(x, out, *, kernel_size, stride, padding, int num_threads=1):
    """``out``; see :func:`coursekit.kernels.avg_pool2d_forward`."""
    run_pool_forward(x, out, None, kernel_size, stride, padding, num_threads)


# --- backward -------------------------------------------------------------------------------------

cdef inline void gather_slice(
    const floating* dout, index* argmax, floating* dx, Py_ssize_t tap, floating share,
    Py_ssize_t top, Py_ssize_t bottom, Py_ssize_t left, Py_ssize_t right, Py_ssize_t n,
    const Pool* p,
) noexcept nogil:
    """``tap`` is the place of the pixel in window (0, 0)."""
    cdef Py_ssize_t i, j, k
    cdef int place
    cdef floating v
    cdef floating total[SLICE]
    cdef const floating* d
    cdef index* a
    if top >= bottom or left >= right:
        for k in range(n):
            dx[k] = 0
        return
    for i in range(top, bottom):
        for j in range(left, right):
            d = dout + ((i - top) * p.OW + j) * p.C
            a = at_index(argmax, ((i - top) * p.OW + j) * p.C)
            place = <int>(tap - i * p.sh * p.kw - j * p.sw)
            if i == top and j == left:
                for k in range(n):
                    v = share * d[k]  # outside the choice: a load that depends on it is slow
                    total[k] = v if a == NULL or a[k] == place else 0
            else:
                for k in range(n):
                    v = share * d[k]
                    total[k] += v if a == NULL or a[k] == place else 0
    for k in range(n):
        dx[k] = total[k]


cdef cloned_void gather_row(
    const floating* dout, index* argmax, floating* dx, floating share, Py_ssize_t tap,
    Py_ssize_t top, Py_ssize_t bottom, const Py_ssize_t* left, const Py_ssize_t* right,
    const Pool* p,
) noexcept nogil:
    """A row of ``dx``, which rows ``top`` to ``bottom`` of ``dout`` come from."""
    cdef Py_ssize_t w, c
    for w in range(p.W):
        for c in range(0, p.C, 32):
            if c + SLICE <= p.C:
                gather_slice(dout + c, at_index(argmax, c), dx + c, tap + w, share, top, bottom,
                             left[w], right[w], SLICE, p)
            else:
                gather_slice(dout + c, at_index(argmax, c), dx + c, tap + w, share, top, bottom,
                             left[w], right[w], p.C - c, p)
        dx += p.C


cdef void gather_strips(
    const floating* dout, bint last, index* argmax, floating* dx, const Py_ssize_t* top,
    const Py_ssize_t* bottom, const Py_ssize_t* left, const Py_ssize_t* right, floating* room,
    const Pool* p, Py_ssize_t start, Py_ssize_t stop,
) noexcept nogil:
    cdef Py_ssize_t s, n, y, end, first
    cdef floating share = <floating>(1.0 / (p.kh * p.kw)) if argmax == NULL else 1
    cdef const floating* rows
    for s in range(start, stop):
        n = s // p.strips
        y = s % p.strips * p.strip
        end = min(y + p.strip, p.H)
        first = top[y]
        rows = rows_of(dout, last, n, p.C, p.OH, p.OW, first, max(first, bottom[end - 1]), room)
        while y < end:
            gather_row(rows + (top[y] - first) * p.OW * p.C,
                       at_index(argmax, (n * p.OH + top[y]) * p.OW * p.C),
                       dx + (n * p.H + y) * p.W * p.C, share, (y + p.ph) * p.kw + p.pw,
                       top[y], bottom[y], left, right, p)
            y += 1


cdef void pool_backward(
    const floating[::1] dout, bint last, const index[::1] argmax, floating[::1] dx,
    const Py_ssize_t[:, ::1] down, const Py_ssize_t[:, ::1] across, floating[:, ::1] room, Pool p,
) except *:
    """Each gradient to its maximum, or without ``argmax`` in equal shares to its window."""
    cdef Py_ssize_t units = p.N * p.strips
    cdef int t
    cdef index* places = NULL if argmax is None else <index*>&argmax[0]  # they are only read
    for t in prange(p.threads, nogil=True, num_threads=p.threads, schedule="static"):
        gather_strips(&dout[0], last, places, &dx[0], &down[0, 0], &down[1, 0], &across[0, 0],
                      &across[1, 0], &room[t, 0], &p,
                      units * t // p.threads, units * (t + 1) // p.threads)


def run_pool_backward(dout, argmax, dx, kernel_size, stride, padding, num_threads):
    if dx.size == 0:
        return
    cdef Pool p = pool_geometry(dx, dout, kernel_size, stride, padding, num_threads)
    grads, last = flat(dout)
    to = flat(dx)[0]
    down = windows_of(p.H, p.OH, p.kh, p.sh, p.ph)
    across = windows_of(p.W, p.OW, p.kw, p.sw, p.pw)
    p.strip = max(1, min(p.H, STRIP_BYTES // (p.W * p.C * dx.itemsize)))
    p.strips = parts(p.H, p.strip)
    height = 0 if last else (p.strip + p.kh) // p.sh + 1
    room = workspace((num_threads, height * p.OW * p.C), dx.dtype)
    if argmax is None:
        if dx.itemsize == 4:
            pool_backward[float, int](grads, last, None, to, down, across, room, p)
        else:
            pool_backward[double, int](grads, last, None, to, down, across, room, p)
    else:
        places = np.ascontiguousarray(argmax.transpose(0, 2, 3, 1)).reshape(-1)
        if dx.itemsize == 4 and places.itemsize == 1:
            pool_backward[float, uchar](grads, last, places, to, down, across, room, p)
        elif dx.itemsize == 4:
            pool_backward[float, int](grads, last, places, to, down, across, room, p)
        elif places.itemsize == 1:
            pool_backward[double, uchar](grads, last, places, to, down, across, room, p)
        else:
            pool_backward[double, int](grads, last, places, to, down, across, room, p)


def max_pool2d_backward(dout, argmax, dx, *, kernel_size, stride, padding, int num_threads=1):
    """``dx``; see :func:`coursekit.kernels.max_pool2d_backward`."""
    run_pool_backward(dout, argmax, dx, kernel_size, stride, padding, num_threads)


def avg_pool2d_backward(dout, dx, *, kernel_size, stride, padding, int num_threads=1):
    """``dx``; see :func:`coursekit.kernels.avg_pool2d_backward`."""
    run_pool_backward(dout, None, dx, kernel_size, stride, padding, num_threads)
