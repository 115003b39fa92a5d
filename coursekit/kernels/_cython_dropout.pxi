# Dropout: the mask is drawn before, this applies it.

cdef cloned_void dropout_range(
    const floating* x, const unsigned char* keep, floating* out,
    Py_ssize_t start, Py_ssize_t stop, floating scale,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, stop):
        out[i] = x[i] * (keep[i] * scale)


cdef void dropout_all(
    const floating[::1] x, const unsigned char[::1] keep, floating[::1] out,
    double scale, int num_threads,
) noexcept:
    cdef Py_ssize_t n = x.shape[0], parts = shares(n, num_threads), k
    cdef const floating* xp = &x[0]
    cdef const unsigned char* kp = &keep[0]
    cdef floating* op = &out[0]
    if parts == 1:
        with nogil:
            dropout_range(xp, kp, op, 0, n, <floating>scale)
        return
    for k in prange(parts, nogil=True, num_threads=num_threads, schedule="static"):
        dropout_range(xp, kp, op, n * k // parts, n * (k + 1) // parts, <floating>scale)


def dropout(x, keep, out, *, double scale, int num_threads=1):
    """``out = x * keep * scale``; see :func:`coursekit.kernels.dropout`."""
    if x.size == 0:
        return
    x, keep, out = x.reshape(-1), keep.reshape(-1).view("u1"), out.reshape(-1)
    if x.itemsize == 4:
        dropout_all[float](x, keep, out, scale, num_threads)
    else:
        dropout_all[double](x, keep, out, scale, num_threads)
