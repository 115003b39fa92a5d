"""Every public kernel, called with what does not fit: one clear error, the same in every backend.

Compiled code reads memory where it is told to, so nothing but the checks before it keeps a call
within its arrays. What is out of bounds by a little goes unnoticed here; built with
``COURSEKIT_SANITIZE=1`` (see setup.py), the first such access ends the process.
"""

import math
import os
from importlib import import_module

import numpy as np
import pytest

from coursekit import kernels
from coursekit.kernels import _backend

ROUNDS = int(os.environ.get("COURSEKIT_FUZZ_ROUNDS", "100"))
HUGE = 2**62


def backends():
    """The backends that are installed."""
    for name, path in _backend.MODULES.items():
        try:
            import_module(path)
        except ImportError:
            continue
        yield name


# --- calls that fit -------------------------------------------------------------------------------


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


def numbers(rng, shape, dtype):
    """Random numbers, their memory in one of the orders that arrays have."""
    array = np.array(rng.standard_normal(shape), dtype)
    if array.ndim == 4 and rng.random() < 0.5:
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return array


def conv_shapes(rng):
    """Pictures, filters, stride and padding; a quarter of them take Winograd's way."""
    n = int(rng.integers(0, 4))
    if rng.random() < 0.25:
        size, channels, filters = rng.integers(3, 40), rng.integers(15, 34), rng.integers(15, 34)
        return (
            (n, channels, size, rng.integers(3, 40)),
            (filters, channels, 3, 3),
            1,
            pick(rng, 0, 1),
        )
    x = (n, rng.integers(1, 18), rng.integers(1, 12), rng.integers(1, 12))
    padding = tuple(int(p) for p in rng.integers(0, 4, 2))
    kernel = [rng.integers(1, 1 + min(5, x[2 + a] + 2 * padding[a])) for a in range(2)]
    stride = tuple(int(s) for s in rng.integers(1, 5, 2))
    return x, (rng.integers(1, 35), x[1], *kernel), stride, padding


def conv_out(x, weight, stride, padding):
    s, p = ((v, v) if isinstance(v, int) else v for v in (stride, padding))
    size = ((x[2 + a] + 2 * p[a] - weight[2 + a]) // s[a] + 1 for a in range(2))
    return (x[0], weight[0], *size)


def a_conv2d_forward(rng, dtype):
    x, w, stride, padding = conv_shapes(rng)
    bias = pick(rng, None, numbers(rng, w[:1], dtype))
    arrays = {"x": numbers(rng, x, dtype), "weight": numbers(rng, w, dtype), "bias": bias}
    return arrays | {"stride": stride, "padding": padding}


def a_conv2d_backward_input(rng, dtype):
    x, w, stride, padding = conv_shapes(rng)
    dout = numbers(rng, conv_out(x, w, stride, padding), dtype)
    arrays = {"dout": dout, "weight": numbers(rng, w, dtype), "x_shape": tuple(map(int, x))}
    return arrays | {"stride": stride, "padding": padding}


def a_conv2d_backward_weight(rng, dtype):
    x, w, stride, padding = conv_shapes(rng)
    dout = numbers(rng, conv_out(x, w, stride, padding), dtype)
    arrays = {"dout": dout, "x": numbers(rng, x, dtype), "kernel_size": tuple(map(int, w[2:]))}
    return arrays | {"stride": stride, "padding": padding}


def pool_shapes(rng):
    x = tuple(int(v) for v in (rng.integers(0, 4), rng.integers(0, 70), *rng.integers(1, 12, 2)))
    padding = tuple(int(p) for p in rng.integers(0, 2, 2))
    low = [max(1, 2 * p) for p in padding]
    kernel = tuple(int(rng.integers(low[a], x[2 + a] + 2 * padding[a] + 1)) for a in range(2))
    return x, {
        "kernel_size": kernel,
        "stride": tuple(int(s) for s in rng.integers(1, 5, 2)),
        "padding": padding,
    }


def a_max_pool2d_forward(rng, dtype):
    x, geometry = pool_shapes(rng)
    return {"x": numbers(rng, x, dtype), **geometry}


a_avg_pool2d_forward = a_max_pool2d_forward


def a_max_pool2d_backward(rng, dtype):
    x, geometry = pool_shapes(rng)
    out, argmax = kernels.max_pool2d_forward(numbers(rng, x, dtype), **geometry)
    return {"dout": numbers(rng, out.shape, dtype), "argmax": argmax, "x_shape": x, **geometry}


def a_avg_pool2d_backward(rng, dtype):
    return {k: v for k, v in a_max_pool2d_backward(rng, dtype).items() if k != "argmax"}


def a_batch_norm_forward(rng, dtype):
    shape = tuple(rng.integers(0, 9, rng.integers(2, 6)))
    arrays = {"x": numbers(rng, shape, dtype)}
    for name in ("weight", "bias"):
        arrays[name] = pick(rng, None, numbers(rng, shape[1:2], dtype))
    if rng.random() < 0.5:
        arrays["mean"] = numbers(rng, shape[1:2], pick(rng, np.float32, np.float64))
        arrays["var"] = numbers(rng, shape[1:2], dtype) ** 2
    return arrays


def a_batch_norm_backward(rng, dtype):
    shape = tuple(rng.integers(0, 9, rng.integers(2, 6)))
    arrays = {name: numbers(rng, shape, dtype) for name in ("dout", "x")}
    arrays["weight"] = pick(rng, None, numbers(rng, shape[1:2], dtype))
    arrays["mean"] = numbers(rng, shape[1:2], np.float64)
    arrays["var"] = numbers(rng, shape[1:2], np.float64) ** 2
    return arrays | {"batch_stats": pick(rng, True, False), "need_dx": pick(rng, True, False)}


def a_layer_norm_forward(rng, dtype):
    shape = tuple(rng.integers(0, 40, rng.integers(1, 4)))
    ndim = int(rng.integers(1, len(shape) + 1))
    features = shape[len(shape) - ndim :]
    arrays = {"x": numbers(rng, shape, dtype), "normalized_ndim": ndim}
    for name in ("weight", "bias"):
        arrays[name] = pick(rng, None, numbers(rng, features, dtype))
    return arrays


def a_layer_norm_backward(rng, dtype):
    arrays = a_layer_norm_forward(rng, dtype)
    del arrays["bias"]
    shape = arrays["x"].shape
    rows = (math.prod(shape[: len(shape) - arrays["normalized_ndim"]]),)
    arrays |= {"dout": numbers(rng, shape, dtype), "need_dx": pick(rng, True, False)}
    mean, var = (numbers(rng, rows, np.float64) for _ in "12")
    return arrays | {"mean": mean, "var": var**2}


def a_dropout(rng, dtype):
    shape = tuple(rng.integers(0, 9, rng.integers(0, 5)))
    keep = np.array(rng.random(shape) < 0.5)
    return {"x": numbers(rng, shape, dtype), "keep": keep, "scale": 2.0}


def a_sgd_step(rng, dtype):
    shape = tuple(rng.integers(0, 300, rng.integers(0, 3)))
    w, g, v = (np.array(rng.standard_normal(shape), dtype) for _ in "123")
    rule = pick(
        rng, {"momentum": 0.9, "v": v}, {"v": None}, {"momentum": 0.9, "nesterov": True, "v": v}
    )
    return {"w": w, "g": g, **rule, "lr": 0.1, "weight_decay": pick(rng, 0.0, 0.1)}


def a_adam_step(rng, dtype):
    shape = tuple(rng.integers(0, 300, rng.integers(0, 3)))
    w, g, m, v = (np.array(rng.standard_normal(shape), dtype) for _ in "1234")
    return {
        "w": w,
        "g": g,
        "m": m,
        "v": np.abs(v, out=v),
        "step": int(rng.integers(1, 9)),
        "lr": 0.1,
    }


NO_KERNELS = {"KernelInfo", "get_num_threads", "info", "set_num_threads", "use"}
KERNELS = sorted(set(kernels.__all__) - NO_KERNELS)
IN_PLACE = {"sgd_step": "wv", "adam_step": "wmv"}


# --- and what is done to them ---------------------------------------------------------------------


def another_array(rng, array):
    """An array with something wrong about it, or lying in memory as few do."""
    shape = list(array.shape)
    axis = int(rng.integers(len(shape))) if shape else 0

    def longer(by):
        if shape:
            shape[axis] = max(0, shape[axis] + by)
        return np.resize(array, shape).astype(array.dtype)

    def unaligned():
        room = np.zeros(array.nbytes + 1, np.uint8)
        view = room[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view

    def strided():
        if not shape:
            return array
        return np.repeat(array, 2, axis)[(slice(None),) * axis + (slice(None, None, 2),)]

    def read_only():
        view = array.view()
        view.flags.writeable = False
        return view

    ways = {
        "longer": lambda: longer(1),
        "shorter": lambda: longer(-1),
        "much longer": lambda: longer(17),
        "empty": lambda: longer(-10_000),
        "more axes": lambda: array[None],
        "fewer axes": lambda: array.reshape(-1),
        "a number": lambda: array.sum(),
        "0 axes": lambda: np.array(1.0, array.dtype),
        "turned round": lambda: array.T,
        "Fortran": lambda: np.asfortranarray(array),
        "reversed": lambda: np.flip(array),
        "strided": strided,
        "broadcast": lambda: np.broadcast_to(array.dtype.type(1), array.shape),
        "unaligned": unaligned,
        "read-only": read_only,
        "matrix": lambda: (
            array.reshape(array.shape[:2]).view(np.matrix) if array.ndim == 2 else array
        ),
        "list": lambda: array.tolist(),
        "None": lambda: None,
        "text": lambda: "x",
        **{
            kind: (lambda kind=kind: array.astype(kind))
            for kind in ("f2", "f4", "f8", "i8", "u1", "?", "c8", "O", ">f4", ">f8", "S1", "i4")
        },
    }
    return pick(rng, *ways.values())()


def another_value(rng, value):
    """Another number, pair or shape than ``value``, seldom one that fits."""
    if isinstance(value, tuple):
        spot = int(rng.integers(len(value)))
        other = pick(rng, 0, -1, -HUGE, 2**31, HUGE, 2**70, 1.5, None, "1", 1, 2, 3, 256)
        changed = (*value[:spot], other, *value[spot + 1 :])
        return pick(
            rng, changed, changed, changed, value[:-1], (*value, 1), (), None, 1, 3, list(value),
            np.array(value), str(value), [np.int64(v) for v in value],
        )  # fmt: skip
    return pick(rng, 0, -1, 1, 2, 5, -HUGE, 2**31, HUGE, 2**70, 1.5, None, "1", (1, 2), math.nan)


SCALARS = {"scale", "lr", "weight_decay", "momentum", "nesterov", "batch_stats", "need_dx"}


def spoiled(rng, call):
    """``call`` with one to three arguments exchanged; now and then as it was."""
    call = dict(call)
    names = [name for name in call if name not in SCALARS]
    for name in rng.choice(names, rng.integers(0, min(4, len(names) + 1)), replace=False).tolist():
        value = call[name]
        if isinstance(value, np.ndarray):
            call[name] = another_array(rng, value)
        elif value is None:  # an array that may be left out
            call[name] = pick(rng, np.ones(3, np.float32), np.ones((2, 2)), "x", 1)
        else:
            call[name] = another_value(rng, value)
    return call


def copied(value):
    """A copy that lies in memory as ``value`` does."""
    if type(value) not in (np.ndarray, np.matrix) or 0 in value.strides:
        return value
    if value.dtype == object or value.size == 0:
        return value.copy()
    low, high = np.lib.array_utils.byte_bounds(value)
    base = value.__array_interface__["data"][0] - low
    start = value.__array_interface__["data"][0] % max(1, value.dtype.itemsize)
    room = np.zeros(high - low + start, np.uint8)[start:]
    view = np.ndarray(value.shape, value.dtype, room, base, value.strides)
    view[...] = value
    view.flags.writeable = value.flags.writeable
    return view.view(type(value))


def outcome(kernel, call, backend, threads):
    """The results as arrays, or the error's text."""
    with kernels.use(backend), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "_num_threads", threads)
        own = {name: copied(value) for name, value in call.items()}
        try:
            with np.errstate(all="ignore"):
                returned = getattr(kernels, kernel)(**own)
        except ValueError as error:
            return str(error)
    if kernel in IN_PLACE:
        returned = tuple(own[name] for name in IN_PLACE[kernel])
    returned = returned if isinstance(returned, tuple) else (returned,)
    return [np.asarray(array) for array in returned if array is not None]


def work(call):
    """About how many steps the loops take: they are left out where these are many."""
    sizes = [v.size for v in call.values() if isinstance(v, np.ndarray)]
    return math.prod(sorted(sizes)[-2:]) if "stride" in call else sum(sizes)


def same(kernel, call, threads):
    """The outcome of a call, after asking that all backends agree on it."""
    names = [name for name in backends() if name != "loops" or work(call) < 20_000]
    results = {name: outcome(kernel, call, name, threads) for name in names}
    first = results["numpy"]
    for name, other in results.items():
        if isinstance(first, str) or isinstance(other, str):
            assert first == other, f"{name} differs from numpy"
            continue
        for ours, theirs in zip(other, first, strict=True):
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
            scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0)))
            tolerance = scale * (2e-3 if np.float32 in (ours.dtype,) else 1e-3)
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=tolerance)
    return first


def test_every_kernel_is_tried():
    assert set(KERNELS) == {name[2:] for name in globals() if name.startswith("a_")}


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_does_not_fit_is_one_error_in_every_backend(kernel):
    rng = np.random.default_rng(KERNELS.index(kernel))
    refused = 0
    for _ in range(ROUNDS):
        call = globals()[f"a_{kernel}"](rng, pick(rng, np.float32, np.float64))
        threads = int(rng.integers(1, 4))
        kept = same(kernel, call, threads)
        if isinstance(kept, str):
            assert "must hold values to take a mean of" in kept, f"refused a call that fits: {kept}"
        refused += isinstance(same(kernel, spoiled(rng, call), threads), str)
    assert refused > ROUNDS / 4


NUMBERS = [
    ("dropout", "scale"),
    *(("sgd_step", name) for name in ("lr", "momentum", "weight_decay")),
    *(("adam_step", name) for name in ("lr", "beta1", "beta2", "eps", "weight_decay")),
    *((name, "eps") for name in KERNELS if "_norm_" in name),
]


@pytest.mark.parametrize("wrong", [None, "x", "1", (1,), [1, 2], np.ones(2), {1}, 1j, 10**400])
@pytest.mark.parametrize(("kernel", "name"), NUMBERS)
def test_what_is_no_number_is_named(kernel, name, wrong):
    call = globals()[f"a_{kernel}"](np.random.default_rng(3), np.float32)
    for backend in backends():
        said = outcome(kernel, call | {name: wrong}, backend, 1)
        assert isinstance(said, str) and said.startswith(f"{name} must be a number"), backend


@pytest.mark.parametrize("eps", [-1e-5, -1, math.nan])
@pytest.mark.parametrize("kernel", [name for name in KERNELS if "_norm_" in name])
def test_an_eps_below_zero_is_refused(kernel, eps):
    call = globals()[f"a_{kernel}"](np.random.default_rng(3), np.float32)
    assert same(kernel, call | {"eps": eps}, 1) == f"eps must be a number of at least 0, got {eps}"


@pytest.mark.parametrize(
    "values", [(1, 1, 1), (math.inf, -math.inf, 1), (math.nan, 1, 2), (1e200, -1e200, 3)]
)
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_values_without_a_result_are_no_error_in_any_backend(norm, values):
    rows = np.array([values, values], np.float64)
    call = {"x": rows if norm == "layer" else rows.T.copy(), "weight": None, "eps": 0.0}
    stats = {"batch_stats": True} if norm == "batch" else {}
    for backend in backends():
        out, mean, var = outcome(f"{norm}_norm_forward", call | {"bias": None}, backend, 1)
        assert not np.isfinite(out).any() or max(values) == 1e200, backend
        back = call | {"dout": call["x"], "mean": mean, "var": var} | stats
        dx, _, _ = outcome(f"{norm}_norm_backward", back, backend, 1)
        assert not np.isfinite(dx).any() or max(values) == 1e200, backend


def test_the_mean_of_a_window_without_one_is_nan():
    x = np.array([math.inf, -math.inf, 1, 2]).reshape(1, 1, 2, 2)
    (out,) = same("avg_pool2d_forward", {"x": x, "kernel_size": 2, "stride": 2}, 1)
    assert np.isnan(out).all()


def test_what_counts_as_an_integer_counts_as_a_step():
    class Second:
        def __index__(self):
            return 2

    call = a_adam_step(np.random.default_rng(0), np.float64)
    w, expected = (same("adam_step", call | {"step": step}, 1)[0] for step in (Second(), 2))
    np.testing.assert_array_equal(w, expected)
