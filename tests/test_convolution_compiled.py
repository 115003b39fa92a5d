"""What is particular to the compiled convolutions and pools: tiles, strips, threads and layouts."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import coursekit
from coursekit import kernels
from coursekit.kernels import _backend

fast = pytest.importorskip("coursekit.kernels._cython")

CONVOLUTIONS = [  # x, filters, kernel, stride, padding: sizes on both sides of every block's
    ((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0)),
    ((1, 3, 9, 7), 25, (3, 3), (2, 2), (0, 0)),
    ((2, 3, 12, 11), 33, (7, 7), (1, 1), (3, 3)),
    ((3, 5, 8, 10), 16, (5, 3), (1, 2), (2, 0)),
    ((1, 15, 6, 6), 17, (2, 2), (1, 1), (0, 0)),
    ((2, 16, 5, 9), 31, (3, 3), (1, 1), (1, 1)),
    ((5, 17, 8, 8), 32, (3, 3), (1, 1), (1, 1)),
    ((2, 32, 7, 5), 64, (1, 1), (1, 1), (0, 0)),
    ((1, 33, 13, 4), 7, (3, 1), (3, 1), (1, 0)),
    ((2, 64, 6, 7), 65, (3, 3), (1, 1), (1, 1)),
    ((1, 70, 4, 4), 70, (2, 3), (3, 2), (1, 2)),
    ((2, 4, 5, 5), 3, (2, 2), (3, 3), (0, 0)),  # pixels in no window
    ((1, 20, 3, 3), 4, (1, 1), (1, 1), (2, 2)),  # windows in the padding alone
    ((2, 3, 0, 4), 2, (2, 3), (1, 1), (1, 0)),  # nothing but padding
    ((1, 20, 4, 5), 20, (5, 5), (1, 1), (4, 4)),
    ((1, 2, 300, 40), 3, (3, 3), (1, 1), (1, 1)),  # more rows than one strip
    ((9, 18, 2, 2), 5, (3, 3), (1, 1), (1, 1)),  # pictures smaller than a tile
    # enough of them for Winograd's way: whole and cut squares, strips, groups of pictures
    ((9, 16, 16, 14), 32, (3, 3), (1, 1), (1, 1)),
    ((11, 17, 15, 13), 33, (3, 3), (1, 1), (0, 2)),
    ((70, 20, 7, 6), 16, (3, 3), (1, 1), (1, 1)),
    ((2, 16, 12, 140), 33, (3, 3), (1, 1), (2, 0)),
    ((40, 40, 8, 8), 65, (3, 3), (1, 1), (1, 1)),
]
POOLS = [  # x, kernel, stride, padding
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    ((2, 31, 6, 9), (2, 2), (2, 2), (0, 0)),
    ((1, 32, 7, 7), (3, 3), (2, 2), (0, 0)),
    ((3, 33, 7, 5), (3, 2), (2, 1), (1, 1)),
    ((2, 65, 9, 4), (2, 3), (3, 1), (0, 1)),  # pixels in no window
    ((1, 3, 40, 20), (17, 16), (3, 2), (8, 8)),  # places beyond one byte
]


def last(pictures):
    """The same pictures, channels last in memory."""
    return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def convolution(case, dtype=np.float64, order=(0, 0), threads=1):
    """out, dx, dweight, dbias of one case; ``order`` tells which of x, dout are channels last."""
    shape, filters, kernel, stride, padding = case
    rng = np.random.default_rng(0)
    shapes = shape, (filters, shape[1], *kernel), (filters,)
    # float32 in any case, so that float64 is the oracle of float32
    x, weight, bias = (rng.standard_normal(s, np.float32).astype(dtype) for s in shapes)
    x = last(x) if order[0] else x
    geometry = {"stride": stride, "padding": padding}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "_num_threads", threads)
        out = kernels.conv2d_forward(x, weight, bias, **geometry)
        dout = rng.standard_normal(out.shape, np.float32).astype(dtype)
        dout = last(dout) if order[1] else dout
        dx = kernels.conv2d_backward_input(dout, weight, shape, **geometry)
        return out, dx, *kernels.conv2d_backward_weight(dout, x, kernel, **geometry)


def pools(case, dtype=np.float64, order=(0, 0), threads=1):
    """All results on one case, with ties; ``order`` tells which of x, dout are channels last."""
    shape, kernel, stride, padding = case
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shape).astype(dtype)
    x = last(x) if order[0] else x
    geometry = {"kernel_size": kernel, "stride": stride, "padding": padding}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "_num_threads", threads)
        out, argmax = kernels.max_pool2d_forward(x, **geometry)
        mean = kernels.avg_pool2d_forward(x, **geometry)
        dout = rng.standard_normal(out.shape, np.float32).astype(dtype)
        dout = last(dout) if order[1] else dout
        dx = kernels.max_pool2d_backward(dout, argmax, shape, **geometry)
        return out, argmax, mean, dx, kernels.avg_pool2d_backward(dout, shape, **geometry)


def by(name, call, *args, **kwargs):
    with kernels.use(name):
        return call(*args, **kwargs)


@pytest.fixture(params=fast.tiles())
def tile(request):
    """Each instruction set that this processor has, in turn."""
    fast.use_tile(request.param)
    yield request.param
    fast.use_tile(fast.tiles()[-1])


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 3e-6)])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_every_tile_agrees_with_numpy(case, dtype, tolerance, tile):
    oracle = by("numpy", convolution, case)
    for order in ((0, 1), (1, 0)):
        for ours, true in zip(by("cython", convolution, case, dtype, order), oracle, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(
                ours, true, rtol=0, atol=tolerance * abs(true).max(initial=1)
            )


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3)], ids=str)
def test_every_number_of_channels_and_filters(kernel):
    for channels, filters in zip(
        range(1, 71), np.random.default_rng(0).permutation(70), strict=True
    ):
        case = (2, channels, 3, 5), int(filters) + 1, kernel, (1, 1), (0, 1)
        for ours, true in zip(
            by("cython", convolution, case), by("numpy", convolution, case), strict=True
        ):
            np.testing.assert_allclose(ours, true, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-6)])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pools_agree_with_numpy(case, dtype, tolerance):
    oracle = by("numpy", pools, case)
    for order in product((0, 1), repeat=2):
        for ours, true in zip(by("cython", pools, case, dtype, order), oracle, strict=True):
            np.testing.assert_allclose(ours, true, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_threads_change_nothing_but_the_sum_of_their_parts(case):
    alone = by("cython", convolution, case)
    for threads in (2, 3):
        first, again = (by("cython", convolution, case, threads=threads) for _ in range(2))
        for one, two, expected in zip(first, again, alone, strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(first[0], alone[0])


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_threads_do_not_change_a_bit_of_a_pool(case):
    for threads in (2, 3):
        for ours, alone in zip(
            by("cython", pools, case, threads=threads), by("cython", pools, case), strict=True
        ):
            np.testing.assert_array_equal(ours, alone)


@pytest.mark.parametrize("name", ["convolution", "pools"])
def test_no_pictures(name):
    """No pictures give no pictures, and gradients of weight and bias that are zero."""
    if name == "convolution":
        out, dx, dweight, dbias = by(
            "cython", convolution, ((0, 3, 4, 5), 2, (3, 3), (1, 1), (1, 1))
        )
        assert out.shape == (0, 2, 4, 5) and dx.shape == (0, 3, 4, 5)
        assert dweight.shape == (2, 3, 3, 3) and not dweight.any() and not dbias.any()
    else:
        out, argmax, mean, *grads = by("cython", pools, ((0, 3, 4, 5), (2, 2), (2, 2), (0, 0)))
        assert out.shape == argmax.shape == mean.shape == (0, 3, 2, 2)
        assert all(dx.shape == (0, 3, 4, 5) for dx in grads)


def test_infinities_stay_where_they_are():
    """Zeros that fill up a tile must not meet an infinity and make it NaN next door."""
    x, weight = np.zeros((1, 3, 9, 9)), np.ones((5, 3, 3, 3))
    dout = np.zeros((1, 5, 9, 9))
    dout[0, 2, 4, 4] = np.inf
    x[0, 1, 4, 4] = np.inf
    with kernels.use("cython"):
        out = kernels.conv2d_forward(x, weight, padding=1)
        dx = kernels.conv2d_backward_input(dout, weight, x.shape, padding=1)
    for array in (out, dx):
        expected = np.zeros(array.shape)
        expected[:, :, 3:6, 3:6] = np.inf
        np.testing.assert_array_equal(array, expected)


def test_memory():
    """Beside its outputs a convolution takes far less than its pictures: no matrix of windows."""
    case = (16, 32, 32, 32), 32, (3, 3), (1, 1), (1, 1)
    pictures = 4 * 16 * 32 * 32 * 32
    by("cython", convolution, case, np.float32)  # whatever is kept from a first call
    tracemalloc.start()
    by("cython", convolution, case, np.float32, threads=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # x, out, dout, dx are there at the same time; a matrix of windows would be nine more.
    assert peak < 4.5 * pictures + 2 * 2**20


def test_tiles_are_named_and_chosen():
    assert fast.tiles()[0] == "baseline"
    assert kernels.info().simd.endswith(fast.tiles()[-1])
    with pytest.raises(ValueError):
        fast.use_tile("abacus")


@pytest.fixture
def threads():
    yield
    coursekit.set_num_threads(1)


def test_threads_are_one_pool(threads):
    if not fast.HAS_OPENMP:
        pytest.skip("compiled without OpenMP")
    before = blas_threads()
    coursekit.set_num_threads(2)
    with kernels.use("cython"):
        assert coursekit.get_num_threads() == kernels.get_num_threads() == 2
    assert set(blas_threads()) == {1}
    coursekit.set_num_threads(3)
    assert set(blas_threads()) == {1}
    coursekit.set_num_threads(1)
    assert coursekit.get_num_threads() == 1
    assert blas_threads() == before


def test_without_compiled_kernels_the_blas_gets_the_threads(threads):
    with kernels.use("numpy"):
        coursekit.set_num_threads(2)
        assert coursekit.get_num_threads() == 1
        assert set(blas_threads()) == {2}


def test_a_bad_number_of_threads_changes_nothing(threads):
    coursekit.set_num_threads(2)
    before = blas_threads()
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got 0"):
        coursekit.set_num_threads(0)
    assert blas_threads() == before


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
