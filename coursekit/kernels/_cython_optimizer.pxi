# The optimiser steps. A thread takes a part of the flat arrays.

# --- SGD ----------------------------------------------------------------------------------------

cdef cloned_void sgd_range(
    floating* w, const floating* g, floating* v, Py_ssize_t start, Py_ssize_t stop,
    floating lr, floating momentum, bint nesterov, floating decay,
) noexcept nogil:
    # The tests inside do not depend on i: the compiler lifts them out and emits one loop for each.
    cdef Py_ssize_t i
    cdef floating grad
    if v == NULL:
        for i in range(start, stop):
            grad = g[i] + decay * w[i] if decay != 0 else g[i]
            w[i] -= lr * grad
    else:
        for i in range(start, stop):
            grad = g[i] + decay * w[i] if decay != 0 else g[i]
            v[i] = momentum * v[i] + grad
            w[i] -= lr * (grad + momentum * v[i] if nesterov else v[i])


cdef void sgd_all(
    floating[::1] w, const floating[::1] g, floating[::1] v,
    double lr, double momentum, bint nesterov, double decay, int num_threads,
) noexcept:
    cdef Py_ssize_t n = w.shape[0], parts = shares(n, num_threads), k
    cdef floating* wp = &w[0]
    cdef const floating* gp = &g[0]
    cdef floating* vp = &v[0] if v is not None else NULL
    if parts == 1:
        with nogil:
            sgd_range(wp, gp, vp, 0, n,
                      <floating>lr, <floating>momentum, nesterov, <floating>decay)
        return
    for k in prange(parts, nogil=True, num_threads=num_threads, schedule="static"):
        sgd_range(wp, gp, vp, n * k // parts, n * (k + 1) // parts,
                  <floating>lr, <floating>momentum, nesterov, <floating>decay)


def sgd_step(w, g, v, *, double lr, double momentum, bint nesterov, double weight_decay,
             int num_threads=1):
    """``w`` and ``v`` after one step; see :func:`coursekit.kernels.sgd_step`."""
    if w.size == 0:
        return
    w, g, v = w.reshape(-1), g.reshape(-1), None if v is None else v.reshape(-1)
    if w.itemsize == 4:
        sgd_all[float](w, g, v, lr, momentum, nesterov, weight_decay, num_threads)
    else:
        sgd_all[double](w, g, v, lr, momentum, nesterov, weight_decay, num_threads)


# --- Adam ---------------------------------------------------------------------------------------

cdef inline floating root(floating x) noexcept nogil:
    # libc's sqrt takes doubles: it would widen float32 and halve the speed.
    return sqrtf(x) if floating is float else sqrt(x)


cdef cloned_void adam_range(
    floating* w, const floating* g, floating* m, floating* v, Py_ssize_t start, Py_ssize_t stop,
    floating step_size, floating m_gain, floating v_keep, floating v_gain,
    floating root_scale, floating eps, floating decay, floating keep,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating grad
    for i in range(start, stop):
        grad = g[i] + decay * w[i] if decay != 0 else g[i]
        m[i] += m_gain * (grad - m[i])
        v[i] = v_keep * v[i] + v_gain * grad * grad
        w[i] = keep * w[i] - step_size * m[i] / (root_scale * root(v[i]) + eps)


cdef void adam_all(
    floating[::1] w, const floating[::1] g, floating[::1] m, floating[::1] v,
    double step_size, double beta1, double beta2, double root_scale, double eps,
    double decay, double keep, int num_threads,
) noexcept:
    cdef Py_ssize_t n = w.shape[0], parts = shares(n, num_threads), k
    cdef floating* wp = &w[0]
    cdef const floating* gp = &g[0]
    cdef floating* mp = &m[0]
    cdef floating* vp = &v[0]
    # The differences are taken in double before they are narrowed: 1 - float32(0.999) is 0.1 % off.
    cdef floating m_gain = <floating>(1 - beta1), v_gain = <floating>(1 - beta2)
    if parts == 1:
        with nogil:
            adam_range(wp, gp, mp, vp, 0, n, <floating>step_size, m_gain, <floating>beta2, v_gain,
                       <floating>root_scale, <floating>eps, <floating>decay, <floating>keep)
        return
    for k in prange(parts, nogil=True, num_threads=num_threads, schedule="static"):
        adam_range(wp, gp, mp, vp, n * k // parts, n * (k + 1) // parts, <floating>step_size,
                   m_gain, <floating>beta2, v_gain,
                   <floating>root_scale, <floating>eps, <floating>decay, <floating>keep)


def adam_step(w, g, m, v, *, double step, double lr, double beta1, double beta2, double eps,
              double weight_decay, bint decoupled, int num_threads=1):
    """``w``, ``m`` and ``v`` after one step; see :func:`coursekit.kernels.adam_step`."""
    if w.size == 0:
        return
    w, g, m, v = w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    cdef double step_size = lr / (1 - beta1**step)
    cdef double root_scale = 1 / sqrt(1 - beta2**step)
    cdef double decay = 0 if decoupled else weight_decay
    cdef double keep = 1 - lr * weight_decay if decoupled else 1
    if w.itemsize == 4:
        adam_all[float](w, g, m, v, step_size, beta1, beta2, root_scale, eps, decay, keep,
                        num_threads)
    else:
        adam_all[double](w, g, m, v, step_size, beta1, beta2, root_scale, eps, decay, keep,
                         num_threads)
