"""Pooling: three backends against PyTorch and each other; ties, NaN, overlaps, gaps, padding."""

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import kernels
from coursekit.checks import gradcheck
from coursekit.kernels import _backend

# (N, C, H, W), kernel_size, stride, padding
CASES = [
    ((1, 1, 2, 2), 2, None, 0),
    ((2, 3, 7, 5), 2, None, 0),  # a row and a column that no window sees
    ((2, 3, 8, 9), 3, 2, 0),  # windows overlap
    ((2, 2, 7, 6), (3, 2), (1, 2), (1, 1)),
    ((1, 3, 9, 8), 2, (3, 4), 0),  # gaps between windows
    ((2, 21, 6, 5), 3, 2, 1),  # no whole number of SIMD lanes
    ((1, 1, 5, 5), 5, 1, 2),
    ((1, 2, 19, 18), 17, 1, 0),  # more places in a window than a byte can name
    ((3, 2, 1, 6), (1, 4), (1, 3), (0, 2)),
]
LAYOUTS = {
    "channels first": np.ascontiguousarray,
    "channels last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "neither": lambda a: np.repeat(a, 2, axis=3)[:, :, :, ::2],
}
EXACT = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(params=list(_backend.MODULES))
def backend(request):
    """Every backend in turn, or a skip where it was not compiled."""
    if request.param == "cython":
        pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    with kernels.use(request.param):
        yield request.param


def pictures(shape, kind="distinct", dtype=np.float64, layout="channels first"):
    """Values of one kind, whose memory nobody may write to."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    if kind in ("ties", "wild"):
        x = np.round(x)
    if kind == "wild":
        x[rng.random(shape) < 0.5] = -np.inf
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = np.inf
    x = LAYOUTS[layout](x.astype(dtype))
    x.flags.writeable = False
    return x


def gradient_like(out, layout="channels first"):
    dout = LAYOUTS[layout](np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype))
    dout.flags.writeable = False
    return dout


def ours(name, x, case, layout="channels first"):
    """out and dx."""
    out, cache = getattr(F, f"{name}_pool2d_forward")(x, *case[1:])
    return out, getattr(F, f"{name}_pool2d_backward")(gradient_like(out, layout), cache)


def theirs(name, x, case):
    """out and dx by PyTorch."""
    torch = pytest.importorskip("torch")
    leaf = torch.tensor(np.array(x), requires_grad=True)
    out = getattr(torch.nn.functional, f"{name}_pool2d")(leaf, *case[1:])
    out.backward(torch.tensor(gradient_like(out.detach().numpy())))
    return out.detach().numpy(), leaf.grad.numpy()


def channels_last(v):
    return v.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["distinct", "ties", "wild"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_pool_agrees_with_torch(backend, case, kind, layout):
    """Wild: NaN, infinities and windows of nothing but -inf, whose first pixel is the largest."""
    x = pictures(case[0], kind, layout=layout)
    expected = theirs("max", x, case)
    for our, their in zip(ours("max", x, case, layout), expected, strict=True):
        np.testing.assert_allclose(our, their, **EXACT)
        assert channels_last(our)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_avg_pool_agrees_with_torch(backend, case, layout):
    x = pictures(case[0], layout=layout)
    for our, their in zip(ours("avg", x, case, layout), theirs("avg", x, case), strict=True):
        np.testing.assert_allclose(our, their, **EXACT)
        assert channels_last(our)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["distinct", "ties", "wild"])
@pytest.mark.parametrize("case", [*CASES, ((3, 40, 17, 16), 3, 2, 1)], ids=str)
@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_max_pool_is_the_loops_to_the_last_bit(name, case, kind, dtype):
    if name == "cython":
        pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    results = []
    for each in ("loops", name):
        with kernels.use(each):
            x = pictures(case[0], kind, dtype)
            out, cache = F.max_pool2d_forward(x, *case[1:])
            results.append((out, cache.argmax))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("name", ["max", "avg"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32(backend, case, name):
    wide = ours(name, pictures(case[0]), case)
    for narrow, exact in zip(
        ours(name, pictures(case[0], dtype=np.float32), case), wide, strict=True
    ):
        assert narrow.dtype == np.float32
        np.testing.assert_allclose(narrow, exact, rtol=0, atol=1e-5)


def test_of_equal_values_the_first_gets_the_gradient(backend):
    _, cache = F.max_pool2d_forward(np.zeros((1, 1, 4, 4)), 2)
    dx = F.max_pool2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), cache)
    np.testing.assert_array_equal(
        dx[0, 0], [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    )


def test_gradients_of_overlapping_windows_add_up(backend):
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1  # the largest of all four windows
    _, cache = F.max_pool2d_forward(x, 2, stride=1)
    dx = F.max_pool2d_backward(np.array([[[[1.0, 10], [100, 1000]]]]), cache)
    assert dx[0, 0, 1, 1] == 1111 and dx.sum() == 1111


def test_padding_is_never_the_maximum_but_counts_in_the_mean(backend):
    x = np.full((1, 1, 3, 3), -1.0)
    most, _ = F.max_pool2d_forward(x, 3, stride=2, padding=1)
    mean, _ = F.avg_pool2d_forward(x, 3, stride=2, padding=1)
    np.testing.assert_array_equal(most, -np.ones((1, 1, 2, 2)))
    np.testing.assert_allclose(mean, np.full((1, 1, 2, 2), -4 / 9))


def test_no_pictures_give_no_pictures(backend):
    for name in ("max", "avg"):
        out, dx = ours(name, np.zeros((0, 2, 5, 6)), (None, 2))
        assert out.shape == (0, 2, 2, 3) and dx.shape == (0, 2, 5, 6)


def test_gradcheck(backend):
    x = pictures((2, 2, 6, 5))
    for case in [(2,), (3, 2, 1), ((2, 3), (1, 2), (0, 1))]:
        for name in ("max", "avg"):
            forward = getattr(F, f"{name}_pool2d_forward")
            backward = getattr(F, f"{name}_pool2d_backward")
            gradcheck(forward, backward, x, *case).raise_if_failed()


def test_the_cache_of_a_max_pool_takes_a_byte_a_window():
    _, cache = F.max_pool2d_forward(np.zeros((4, 8, 6, 6)), 2)
    assert cache.argmax.nbytes == 4 * 8 * 3 * 3


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("kind", ["distinct", "wild"])
def test_threads_do_not_change_a_bit(kind, threads, monkeypatch):
    pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    case = ((5, 40, 33, 32), 3, 2, 1)
    for layout in ("channels first", "channels last"):
        x = pictures(case[0], kind, np.float32, layout)
        with kernels.use("cython"), monkeypatch.context() as patch:
            alone = [ours(name, x, case, layout) for name in ("max", "avg")]
            patch.setattr(_backend, "_num_threads", threads)
            together = [ours(name, x, case, layout) for name in ("max", "avg")]
        np.testing.assert_equal(together, alone)


# --- global average -----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 4, 7)], ids=str)
def test_global_avg_pool_agrees_with_torch(shape, layout):
    torch = pytest.importorskip("torch")
    x = pictures(shape, layout=layout)
    out, cache = F.global_avg_pool2d_forward(x)
    leaf = torch.tensor(np.array(x), requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(leaf, 1).flatten(1)
    dout = np.arange(1.0, 1 + out.size).reshape(out.shape)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(out, expected.detach(), **EXACT)
    dx = F.global_avg_pool2d_backward(dout, cache)
    np.testing.assert_allclose(dx, leaf.grad, **EXACT)
    assert channels_last(dx)


def test_global_avg_pool_gradient_is_right_and_float32():
    x = pictures((2, 3, 4, 5))
    gradcheck(F.global_avg_pool2d_forward, F.global_avg_pool2d_backward, x).raise_if_failed()
    out, cache = F.global_avg_pool2d_forward(x.astype(np.float32))
    assert out.dtype == F.global_avg_pool2d_backward(out, cache).dtype == np.float32


# --- what does not fit --------------------------------------------------------------------------

X = np.ones((2, 3, 5, 6))


@pytest.mark.parametrize("forward", [F.max_pool2d_forward, F.avg_pool2d_forward])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [[1.0]]}, "x must be a float32 or float64 array, got list"),
        ({"x": np.ones((2, 3, 5, 6), int)}, "x must be a float32 or float64 array, got int64"),
        ({"x": np.ones((3, 5, 6))}, r"x must have shape \(N, C, H, W\), got shape \(3, 5, 6\)"),
        ({"kernel_size": 0}, "kernel_size must be an integer of at least 1 or a pair of them"),
        ({"kernel_size": (6, 2)}, "kernel_size must fit into the padded pictures, 5 x 6, got"),
        ({"stride": (1, 0)}, "stride must be an integer of at least 1 or a pair of them"),
        ({"padding": -1}, "padding must be an integer of at least 0 or a pair of them, got -1"),
        ({"padding": 2}, r"padding must be at most half of kernel_size \(2, 2\), got \(2, 2\)"),
        ({"padding": (0, 2)}, "padding must be at most half of kernel_size"),
    ],
)
def test_what_does_not_fit_is_named(forward, change, message):
    with pytest.raises(ValueError, match=message):
        forward(**{"x": X, "kernel_size": 2} | change)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_a_gradient_that_does_not_fit_is_refused(name):
    _, cache = getattr(F, f"{name}_forward")(X, 2)
    backward = getattr(F, f"{name}_backward")
    with pytest.raises(ValueError, match=r"dout must have shape \(2, 3, 2, 3\) to match out"):
        backward(np.ones((2, 3, 3, 2)), cache)
    with pytest.raises(ValueError, match="dout must be a float32 or float64 array, got list"):
        backward([1.0], cache)


def test_global_avg_pool_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"x must have 4 axes, got shape \(3,\)"):
        F.global_avg_pool2d_forward(np.ones(3))
    with pytest.raises(ValueError, match="x must hold pixels to take a mean of"):
        F.global_avg_pool2d_forward(np.ones((2, 3, 0, 4)))
    with pytest.raises(ValueError, match=r"dout must have shape \(2, 3\) to match out"):
        F.global_avg_pool2d_backward(np.ones((3, 2)), (2, 3, 4, 5))


def test_a_foreign_argmax_is_refused():
    out, argmax = kernels.max_pool2d_forward(X, kernel_size=2, stride=2)
    with pytest.raises(ValueError, match="argmax must be what the forward pass returned, uint8"):
        kernels.max_pool2d_backward(out, argmax.astype(np.int64), X.shape, kernel_size=2, stride=2)
