"""Convolution: three backends against PyTorch and each other, odd shapes, any memory layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit import functional as F
from coursekit import kernels
from coursekit.checks import gradcheck
from coursekit.kernels import _backend, numpy_convolution

# (N, C, H, W), filters, kernel_size, stride, padding
SMALL = [
    ((1, 1, 1, 1), 1, 1, 1, 0),
    ((2, 3, 5, 7), 4, 3, 1, 1),
    ((3, 2, 7, 5), 3, (3, 2), (2, 1), (0, 2)),
    ((2, 3, 9, 6), 5, (2, 3), 2, 1),
    ((1, 1, 8, 9), 2, (1, 3), (3, 4), 0),  # gaps: windows that do not meet
    ((2, 2, 4, 5), 3, (4, 5), 1, 0),  # one window
    ((1, 2, 3, 4), 2, 3, 2, (4, 5)),  # windows that see nothing but padding
    ((2, 2, 11, 4), 3, (3, 1), (4, 3), (1, 0)),  # rows and columns that no window sees
    ((1, 17, 3, 4), 33, 3, 1, 1),  # no whole number of SIMD lanes
]
LARGE = [
    ((5, 3, 31, 29), 25, 3, 2, 0),
    ((4, 3, 32, 32), 32, 7, 1, 3),
    ((3, 64, 18, 17), 40, 3, 1, 1),
    ((2, 130, 8, 9), 70, 3, 1, 1),
    ((3, 64, 7, 6), 128, 1, 1, 0),
    ((2, 20, 40, 37), 24, (5, 4), (3, 2), (2, 1)),
]
LAYOUTS = {
    "channels first": np.ascontiguousarray,
    "channels last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "neither": lambda a: np.repeat(a, 2, axis=3)[:, :, :, ::2],
    "unaligned": lambda a: (
        np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    ),
}
EXACT = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(params=list(_backend.MODULES))
def backend(request):
    """Every backend in turn, or a skip where it was not compiled."""
    if request.param == "cython":
        pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    with kernels.use(request.param):
        yield request.param


def problem(shape, filters, kernel_size, dtype=np.float64, layout="channels first"):
    """x, weight and bias whose memory nobody may write to."""
    rng = np.random.default_rng(0)
    kh, kw = np.broadcast_to(kernel_size, 2)
    x = LAYOUTS[layout](rng.standard_normal(shape).astype(dtype))
    weight = rng.standard_normal((filters, shape[1], kh, kw)).astype(dtype)
    bias = rng.standard_normal(filters).astype(dtype)
    for array in (x, weight, bias):
        array.flags.writeable = False
    return x, weight, bias


def gradient_like(out, layout="channels first"):
    dout = LAYOUTS[layout](np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype))
    dout.flags.writeable = False
    return dout


def ours(case, dtype=np.float64, layout="channels first"):
    """out, dx, dw and db."""
    shape, filters, kernel_size, stride, padding = case
    arrays = problem(shape, filters, kernel_size, dtype, layout)
    out, cache = F.conv2d_forward(*arrays, stride, padding)
    return out, *F.conv2d_backward(gradient_like(out, layout), cache)


def theirs(case):
    """out, dx, dw and db by PyTorch, in float64."""
    torch = pytest.importorskip("torch")
    shape, filters, kernel_size, stride, padding = case
    leaves = [
        torch.tensor(np.array(a), requires_grad=True) for a in problem(shape, filters, kernel_size)
    ]
    out = torch.nn.functional.conv2d(*leaves, stride=stride, padding=padding)
    out.backward(torch.tensor(gradient_like(out.detach().numpy())))
    return [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def channels_last(v):
    return v.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_torch(backend, case, layout):
    results = ours(case, layout=layout)
    for our, their in zip(results, theirs(case), strict=True):
        assert our.dtype == np.float64
        np.testing.assert_allclose(our, their, **EXACT)
    assert channels_last(results[0]) and channels_last(results[1])


@pytest.mark.parametrize("case", LARGE, ids=str)
@pytest.mark.parametrize("backend", ["numpy", "cython"], indirect=True)
def test_agrees_with_torch_on_the_shapes_of_nets(backend, case):
    for layout in ("channels first", "channels last"):
        for our, their in zip(ours(case, layout=layout), theirs(case), strict=True):
            np.testing.assert_allclose(our, their, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("case", [*SMALL, *LARGE], ids=str)
@pytest.mark.parametrize("backend", ["numpy", "cython"], indirect=True)
def test_float32_stays_float32_and_near_float64(backend, case):
    with kernels.use("numpy"):
        wide = ours(case)
    for layout in ("channels first", "channels last"):
        for narrow, exact in zip(ours(case, np.float32, layout), wide, strict=True):
            assert narrow.dtype == np.float32
            np.testing.assert_allclose(narrow, exact, rtol=1e-4, atol=1e-5 * abs(exact).max())


def test_loops_keep_float32():
    with kernels.use("loops"):
        assert {a.dtype for a in ours(SMALL[1], np.float32)} == {np.dtype(np.float32)}


@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 5),
    filters=st.integers(1, 5),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel_size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    name=st.sampled_from(["numpy", kernels.info().backend]),
    last=st.booleans(),
)
def test_backward_is_the_adjoint(
    n, channels, filters, size, kernel_size, stride, padding, name, last
):
    """<conv(x, w), dout> = <x, dx> = <w, dw>, as convolution is linear in each of the two."""
    kernel_size = tuple(
        min(k, s + 2 * p) for k, s, p in zip(kernel_size, size, padding, strict=True)
    )
    case = (n, channels, *size), filters, kernel_size, stride, padding
    layout = "channels last" if last else "channels first"
    x, weight, _ = problem(*case[:3], layout=layout)
    with kernels.use(name):
        out, cache = F.conv2d_forward(x, weight, None, stride, padding)
        dout = gradient_like(out)
        dx, dw, db = F.conv2d_backward(dout, cache)
        _, with_bias = F.conv2d_forward(x, weight, np.zeros(filters), stride, padding)
        _, _, sums = F.conv2d_backward(dout, with_bias, need_dx=False)
    expected = pytest.approx((out * dout).sum(), rel=1e-10, abs=1e-9)
    assert (x * dx).sum() == expected and (weight * dw).sum() == expected
    assert db is None
    np.testing.assert_allclose(sums, dout.sum(axis=(0, 2, 3)), rtol=0, atol=1e-9)


def test_a_single_one_in_the_kernel_moves_the_picture(backend, rng):
    """The kernel is not flipped: a one on its right takes the pixel on the right."""
    x = rng.standard_normal((2, 1, 4, 5))
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 1, 2] = 1
    out, _ = F.conv2d_forward(x, weight, None, padding=1)
    np.testing.assert_array_equal(out[..., :-1], x[..., 1:])
    np.testing.assert_array_equal(out[..., -1], 0)


def test_a_nan_is_seen_by_its_windows_only(backend, rng):
    x = rng.standard_normal((2, 3, 6, 7))
    x[1, 2, 3, 3] = np.nan
    out, _ = F.conv2d_forward(x, rng.standard_normal((2, 3, 3, 3)), None, padding=1)
    expected = np.zeros(out.shape, bool)
    expected[1, :, 2:5, 2:5] = True
    np.testing.assert_array_equal(np.isnan(out), expected)


def test_no_pictures_give_no_pictures(backend):
    out, cache = F.conv2d_forward(np.zeros((0, 2, 5, 6)), np.ones((3, 2, 2, 2)), np.ones(3))
    dx, dw, db = F.conv2d_backward(out, cache)
    assert out.shape == (0, 3, 4, 5) and dx.shape == (0, 2, 5, 6)
    assert not dw.any() and not db.any()


def test_gradcheck(backend, rng):
    arrays = problem((2, 2, 5, 4), 3, (3, 2))
    gradcheck(F.conv2d_forward, F.conv2d_backward, *arrays, (2, 1), (1, 0)).raise_if_failed()


def test_backward_can_skip_the_input_and_the_bias(backend):
    x, weight, bias = problem((2, 3, 5, 7), 4, 3)
    out, cache = F.conv2d_forward(x, weight, bias)
    full = F.conv2d_backward(out, cache)
    dx, dw, db = F.conv2d_backward(out, cache, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(dw, full[1])
    np.testing.assert_array_equal(db, full[2])
    _, cache = F.conv2d_forward(x, weight, None)
    dx, dw, db = F.conv2d_backward(out, cache)
    np.testing.assert_array_equal(dx, full[0])
    assert db is None


def test_a_gradient_of_another_precision_is_converted(backend):
    x, weight, bias = problem((2, 3, 5, 7), 4, 3, np.float32)
    out, cache = F.conv2d_forward(x, weight, bias)
    wide = F.conv2d_backward(out.astype(np.float64), cache)
    for a, b in zip(wide, F.conv2d_backward(out, cache), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == np.float32


def test_two_runs_are_equal_bit_by_bit(backend):
    for first, second in zip(ours(SMALL[1], np.float32), ours(SMALL[1], np.float32), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("case", [SMALL[0], SMALL[4], *LARGE], ids=str)
def test_threads_share_the_work(case, threads, monkeypatch):
    pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    with kernels.use("cython"):
        alone = ours(case)
        monkeypatch.setattr(_backend, "_num_threads", threads)
        together, again = ours(case), ours(case)
    for one, many, twice in zip(alone, together, again, strict=True):
        np.testing.assert_allclose(many, one, rtol=1e-12, atol=1e-11)
        np.testing.assert_array_equal(many, twice)


@pytest.mark.parametrize("case", [*SMALL, *LARGE], ids=str)
def test_every_instruction_set_this_processor_has(case):
    """The best one is chosen at run time, so the others would never be tested."""
    compiled = pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    with kernels.use("numpy"):
        expected = ours(case)
    best = compiled.tiles()[-1]
    with kernels.use("cython"):
        try:
            for tile in compiled.tiles():
                compiled.use_tile(tile)
                for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
                    for our, true in zip(ours(case, dtype), expected, strict=True):
                        scale = max(1, abs(true).max())
                        np.testing.assert_allclose(our, true, rtol=0, atol=tolerance * scale)
        finally:
            compiled.use_tile(best)


@pytest.mark.parametrize("block", [1, 3000, 20_000])
@pytest.mark.parametrize("case", [SMALL[2], SMALL[6], LARGE[0]], ids=str)
def test_the_numpy_backend_works_in_blocks_of_any_size(case, block, monkeypatch):
    """A line, some lines or some pictures at a time: the seams do not show."""
    with kernels.use("numpy"):
        whole = ours(case)
        monkeypatch.setattr(numpy_convolution, "BLOCK_BYTES", block)
        for a, b in zip(ours(case), whole, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-11)


GOOD = {"x": np.ones((2, 3, 5, 6)), "w": np.ones((4, 3, 2, 3)), "b": np.ones(4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [[1.0]]}, "x must be a float32 or float64 array, got list"),
        ({"x": np.ones((2, 3, 5, 6), int)}, "x must be a float32 or float64 array, got int64"),
        ({"x": np.ones((3, 5, 6))}, r"x must have shape \(N, C, H, W\), got shape \(3, 5, 6\)"),
        ({"w": np.ones((4, 2, 2, 3))}, r"weight must have shape \(4, 3, 2, 3\) to match the chan"),
        ({"w": np.ones((4, 3, 2))}, r"weight must have shape \(O, C, kh, kw\), got shape \(4, 3"),
        ({"w": np.ones((4, 3, 0, 3))}, r"weight must have shape \(O, C, kh, kw\)"),
        ({"w": np.ones((4, 3, 2, 3), np.float32)}, "weight must be a float64 array, got float32"),
        ({"w": np.ones((4, 3, 6, 3))}, r"kernel_size must fit into the padded pictures, 5 x 6"),
        ({"b": np.ones(3)}, r"bias must have shape \(4,\) to match the filters, got \(3,\)"),
        ({"b": np.ones(4, np.float32)}, "bias must be a float64 array, got float32"),
        ({"stride": 0}, "stride must be an integer of at least 1 or a pair of them, got 0"),
        ({"stride": 1.0}, "stride must be an integer of at least 1"),
        ({"stride": (1, 2, 3)}, "stride must be an integer of at least 1"),
        ({"padding": -1}, "padding must be an integer of at least 0"),
        ({"padding": (0, -1)}, r"padding must be .* got \(0, -1\)"),
        ({"padding": "same"}, "padding must be .* got 'same'"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        F.conv2d_forward(**GOOD | change)


def test_a_gradient_of_another_shape_is_refused():
    _, cache = F.conv2d_forward(**GOOD)
    for need_dx in (True, False):
        with pytest.raises(ValueError, match=r"dout must have shape \(2, 4, 4, 4\) to match out"):
            F.conv2d_backward(np.ones((2, 4, 4, 5)), cache, need_dx)
        with pytest.raises(ValueError, match=r"dout must have shape \(2, 4, 4, 4\) to match out"):
            F.conv2d_backward(np.ones((2, 5, 4, 4)), cache, need_dx)
    with pytest.raises(ValueError, match="dout must be a float32 or float64 array, got list"):
        F.conv2d_backward([1.0], cache)
