"""Three backends agree, and so does torch; threads change nothing; bad input is named."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from coursekit import kernels
from coursekit.kernels import _backend

SIZES = [(1,), (3,), (17,), (1025,), (5, 7, 3)]
SGD_RULES = [
    {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    {"momentum": 0.0, "nesterov": False, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
]
ADAM_RULES = [
    {"weight_decay": 0.0, "decoupled": False},
    {"weight_decay": 0.1, "decoupled": False},
    {"weight_decay": 0.1, "decoupled": True},
]
BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def module(name):
    """The backend of that name, or a skip where it was not compiled."""
    if name == "cython":
        return pytest.importorskip("coursekit.kernels._cython", exc_type=ImportError)
    return importlib.import_module(_backend.MODULES[name])


@pytest.fixture(params=list(_backend.MODULES))
def backend(request):
    return module(request.param)


def gradients(shape, steps, dtype=np.float64):
    """A start and a sequence of gradients that change sign and size."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 1, size=(steps, *shape))
    start = rng.standard_normal(shape).astype(dtype)
    return start, (scale * rng.standard_normal((steps, *shape))).astype(dtype)


def run_sgd(step, start, grads, rule):
    w = start.copy()
    v = np.zeros_like(w) if rule["momentum"] else None
    for g in grads:
        step(w, g, v, lr=0.05, **rule)
    return w


def run_adam(step, start, grads, rule):
    w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(grads, start=1):
        step(w, g, m, v, step=t, lr=0.05, **BETAS, **rule)
    return w


def run_torch(make, start, grads):
    torch = pytest.importorskip("torch")
    w = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = make(torch.optim, [w])
    for g in grads:
        w.grad = torch.from_numpy(g.copy())
        optimizer.step()
    return w.detach().numpy()


@pytest.mark.parametrize("rule", SGD_RULES, ids=str)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_sgd_equals_torch_over_100_steps(backend, shape, rule):
    start, grads = gradients(shape, 100)
    expected = run_torch(lambda o, p: o.SGD(p, lr=0.05, **rule), start, grads)
    np.testing.assert_allclose(
        run_sgd(backend.sgd_step, start, grads, rule), expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("rule", ADAM_RULES, ids=str)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_adam_equals_torch_over_100_steps(backend, shape, rule):
    start, grads = gradients(shape, 100)

    def make(optim, params):
        kind = optim.AdamW if rule["decoupled"] else optim.Adam
        return kind(params, lr=0.05, weight_decay=rule["weight_decay"])

    expected = run_torch(make, start, grads)
    np.testing.assert_allclose(
        run_adam(backend.adam_step, start, grads, rule), expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 2e-4)])
@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_backends_agree_with_the_loops(name, dtype, tolerance):
    # 20,001: more than one block of the NumPy backend, and no whole number of SIMD lanes.
    start, grads = gradients((20_001,), 2, dtype)
    for rule in SGD_RULES:
        ours = run_sgd(module(name).sgd_step, start, grads, rule)
        oracle = run_sgd(module("loops").sgd_step, start, grads, rule)
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, oracle, rtol=tolerance, atol=tolerance)
    for rule in ADAM_RULES:
        ours = run_adam(module(name).adam_step, start, grads, rule)
        oracle = run_adam(module("loops").adam_step, start, grads, rule)
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, oracle, rtol=tolerance, atol=tolerance)


def test_float32_stays_near_float64_over_100_steps(backend):
    start, grads = gradients((1025,), 100)
    wide = run_adam(backend.adam_step, start, grads, ADAM_RULES[0])
    narrow = run_adam(
        backend.adam_step, start.astype(np.float32), grads.astype(np.float32), ADAM_RULES[0]
    )
    np.testing.assert_allclose(narrow, wide, rtol=1e-3, atol=1e-4)


def test_gradient_is_only_read(backend):
    start, (g,) = gradients((33,), 1)
    g.setflags(write=False)
    before = g.copy()
    run_sgd(backend.sgd_step, start, [g], SGD_RULES[3])
    run_adam(backend.adam_step, start, [g], ADAM_RULES[1])
    np.testing.assert_array_equal(g, before)


def test_empty_arrays_are_a_no_op(backend):
    empty = np.zeros((0, 4), np.float32)
    run_sgd(backend.sgd_step, empty, [empty], SGD_RULES[3])
    run_adam(backend.adam_step, empty, [empty], ADAM_RULES[1])


def test_scalars_do_not_widen_float32():
    """The front door turns NumPy scalars to floats: float64 ones would widen the arithmetic."""
    start, (g,) = gradients((9,), 1, np.float32)
    plain, scalars = start.copy(), start.copy()
    kernels.sgd_step(plain, g, None, lr=0.1)
    kernels.sgd_step(scalars, g, None, lr=np.float64(0.1))
    np.testing.assert_array_equal(plain, scalars)


def test_threads_do_not_change_a_bit():
    fast = module("cython")
    start, grads = gradients((70_001,), 2, np.float32)
    results = []
    for threads in (1, 2, 3):
        w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
        for t, g in enumerate(grads, start=1):
            fast.sgd_step(
                w, g, v, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, num_threads=threads
            )
            fast.adam_step(
                w, g, m, np.abs(v), step=t, lr=0.1, **BETAS, **ADAM_RULES[2], num_threads=threads
            )
        results.append(w)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


GOOD = np.zeros((4, 6), np.float32)
READ_ONLY = GOOD.copy()
READ_ONLY.setflags(write=False)
BAD = {
    "a NumPy array, got list": [[0.0]],
    "float32 or float64, got int64": np.zeros((4, 6), np.int64),
    "float32 or float64, got float16": np.zeros((4, 6), np.float16),
    "float32 or float64, got >f4": np.zeros((4, 6), ">f4"),
    "C-contiguous": np.zeros((6, 4), np.float32).T,
}
BAD_BESIDE_W = {
    "float32 like w, got float64": np.zeros((4, 6)),
    "the shape (4, 6) of w, got (6, 4)": np.zeros((6, 4), np.float32),
    **BAD,
}


def call(name, array):
    """Both kernels with ``array`` in the place of the argument ``name``."""
    arrays = {key: GOOD.copy() for key in "wgmv"} | {name: array}
    if name != "m":
        with pytest.raises(ValueError) as sgd:
            kernels.sgd_step(arrays["w"], arrays["g"], arrays["v"], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError) as adam:
        kernels.adam_step(*arrays.values(), step=1, lr=0.1)
    return {str(error.value) for error in ([adam] if name == "m" else [sgd, adam])}


@pytest.mark.parametrize("name", list("gmv"))
@pytest.mark.parametrize("message", BAD_BESIDE_W)
def test_bad_array_is_named(name, message):
    (error,) = call(name, BAD_BESIDE_W[message])
    assert error.startswith(f"{name} must ") and message in error


@pytest.mark.parametrize("message", BAD)
def test_bad_parameters_are_named(message):
    (error,) = call("w", BAD[message])
    assert error.startswith("w must ") and message in error


@pytest.mark.parametrize("name", list("wmv"))
def test_read_only_array_is_named(name):
    (error,) = call(name, READ_ONLY)
    assert error.startswith(f"{name} must be writeable")


@pytest.mark.parametrize(
    "v, rule, message",
    [
        (None, {"momentum": 0.9}, "v must be an array for momentum=0.9, got None"),
        (GOOD, {"momentum": 0.0}, "v must be None, as momentum is 0, got an array"),
        (None, {"nesterov": True}, "nesterov needs momentum > 0"),
    ],
)
def test_sgd_arguments_that_do_not_fit(v, rule, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kernels.sgd_step(GOOD.copy(), GOOD, v, lr=0.1, **rule)


def test_adam_counts_from_one():
    with pytest.raises(ValueError, match="step must be at least 1, got 0"):
        kernels.adam_step(*(GOOD.copy() for _ in range(4)), step=0, lr=0.1)


# --- normalisation and dropout ------------------------------------------------------------------
# tests/test_normalization.py and test_dropout.py compare the chosen backend with torch.

NORM_SHAPES = [(1, 1, 2), (2, 1, 1), (4, 3, 1), (7, 5, 1), (3, 2, 31), (2, 3, 67), (1, 4, 1100)]
WIDE = [(9, 1030, 1), (5, 129, 1)]  # more channels than one thread takes at once


def norms(name, shape, dtype=np.float64, affine=True, threads=1):
    """All results of all normalisations and of dropout by the backend ``name``."""
    rng = np.random.default_rng(0)
    x = (100 + rng.standard_normal(shape)).astype(dtype)
    dout = rng.standard_normal(shape).astype(dtype)
    weight, bias, mean, var = rng.uniform(1, 2, (4, shape[1])).astype(dtype)
    features = rng.standard_normal((2, *shape[1:])).astype(dtype)
    if not affine:
        weight, bias, features = None, None, (None, None)
    for array in (x, dout):
        array.setflags(write=False)
    module(name)  # or a skip
    with kernels.use(name), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "_num_threads", threads)
        results = []
        for given in ((), (mean, var)):
            out, *used = kernels.batch_norm_forward(x, weight, bias, *given)
            grads = kernels.batch_norm_backward(dout, x, weight, *used, batch_stats=not given)
            results += [out, *used, *grads]
        for ndim in (1, 2):
            pair = [None if a is None else a[(0,) * (2 - ndim)] for a in features]
            out, *used = kernels.layer_norm_forward(x, *pair, normalized_ndim=ndim)
            grads = kernels.layer_norm_backward(dout, x, pair[0], *used, normalized_ndim=ndim)
            results += [out, *used, *grads]
        keep = rng.random(shape) < 0.5
        results.append(kernels.dropout(x, keep, scale=1.7))
    return results


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-11), (np.float32, 1e-5)])
@pytest.mark.parametrize("shape", NORM_SHAPES + WIDE, ids=str)
@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_normalising_backends_agree_with_the_loops(name, shape, dtype, tolerance, affine):
    oracle = norms("loops", shape, dtype, affine)
    for ours, true in zip(norms(name, shape, dtype, affine), oracle, strict=True):
        assert ours.shape == true.shape and ours.dtype in (dtype, np.float64)
        # Layer norm over one feature divides 0 by sqrt(eps): what cancels is as large as 1/eps.
        scale = max(1, abs(true).max()) * (300 if 1 in shape[1:] else 1)
        np.testing.assert_allclose(ours, true, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("shape", [(128, 300, 1), (64, 7, 200), (40, 1100, 1)], ids=str)
def test_threads_do_not_change_a_bit_of_a_norm(shape):
    alone = norms("cython", shape, np.float32)
    for threads in (2, 3):
        for ours, expected in zip(
            norms("cython", shape, np.float32, True, threads), alone, strict=True
        ):
            np.testing.assert_array_equal(ours, expected)


def test_threads_do_not_change_a_bit_where_the_first_guess_at_a_mean_fails():
    x = np.random.default_rng(0).standard_normal((4096, 40)).astype(np.float32)
    x[:: 4096 // 7, 3] = 1e4
    results = []
    module("cython")
    with kernels.use("cython"), pytest.MonkeyPatch.context() as patch:
        for threads in (1, 2, 3):
            patch.setattr(_backend, "_num_threads", threads)
            results.append(kernels.batch_norm_forward(x, None, None))
    np.testing.assert_allclose(results[0][2], x.var(axis=0, dtype=np.float64), rtol=1e-5)
    for other in results[1:]:
        for ours, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_no_rows_give_no_rows(backend, monkeypatch):
    monkeypatch.setattr(_backend, "backend", backend)
    x, ones = np.zeros((0, 3), np.float32), np.ones(3, np.float32)
    out, *used = kernels.batch_norm_forward(x, ones, ones, ones, ones)
    dx, dweight, dbias = kernels.batch_norm_backward(out, x, ones, *used, batch_stats=False)
    assert out.shape == dx.shape == (0, 3) and not dweight.any() and not dbias.any()
    out, *used = kernels.layer_norm_forward(x, ones, ones)
    dx, dweight, dbias = kernels.layer_norm_backward(out, x, ones, *used)
    assert out.shape == dx.shape == (0, 3) and not dweight.any() and not dbias.any()
    with pytest.raises(ValueError, match="x must hold values to take a mean of"):
        kernels.batch_norm_forward(x, ones, ones)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, v: kernels.batch_norm_forward(x, v, v, v), "mean and var must both be"),
        (lambda x, v: kernels.batch_norm_forward(x, v, v, v, v[:2]), "var must have shape (3,)"),
        (
            lambda x, v: kernels.batch_norm_backward(x, x, v, v, v, batch_stats=True),
            "mean must be a float64 array, got float32",
        ),
        (lambda x, v: kernels.layer_norm_forward(x, v[:2], v), "weight must have shape (3,)"),
        (
            lambda x, v: kernels.layer_norm_backward(x, x, v, np.ones(3), np.ones(4)),
            "mean must have shape (4,) to match the rows of x, got (3,)",
        ),
        (lambda x, v: kernels.layer_norm_backward([1.0], x, v, v, v), "dout must be a NumPy array"),
        (lambda x, v: kernels.dropout(x, x, scale=1), "keep must be a bool array, got float32"),
        (lambda x, v: kernels.dropout(x, v > 0, scale=1), "keep must have shape (4, 3) to match x"),
    ],
)
def test_norms_and_dropout_name_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(np.ones((4, 3), np.float32), np.ones(3, np.float32))


# --- which backend runs -------------------------------------------------------------------------


def test_info_says_what_runs_and_why():
    info = kernels.info()
    assert info.backend in _backend.MODULES
    line = str(info)
    assert "\n" not in line
    for part in (info.backend, info.reason, info.simd, f"{info.threads} thread"):
        assert part in line


@pytest.mark.parametrize("name", ["loops", "numpy"])
def test_a_backend_can_be_forced(name):
    environ = os.environ | {"COURSEKIT_KERNELS": name}
    code = "from coursekit import kernels; print(kernels.info())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert f"kernels: {name} (COURSEKIT_KERNELS={name})" in done.stdout


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="one of loops, numpy, cython, got 'fortran'"):
        _backend.choose({"COURSEKIT_KERNELS": "fortran"})


@pytest.mark.parametrize("name", list(_backend.MODULES))
def test_a_backend_can_be_used_for_a_block(name):
    before, v = kernels.info(), np.ones(3)
    chosen = module(name)
    with kernels.use(name):
        assert _backend.backend is chosen
        assert kernels.info().backend == name and f"kernels.use('{name}')" in str(kernels.info())
        with kernels.use("loops"):
            assert kernels.info().backend == "loops"
        assert _backend.backend is chosen
        np.testing.assert_array_equal(kernels.dropout(v, v > 0, scale=2), 2 * v)
    assert kernels.info() == before


def test_the_backend_before_comes_back_after_an_error():
    before = kernels.info()
    with pytest.raises(RuntimeError, match="mine"), kernels.use("loops"):
        raise RuntimeError("mine")
    assert kernels.info() == before


def test_unknown_backend_is_refused_for_a_block():
    before = kernels.info()
    with (
        pytest.raises(ValueError, match="backend_name must be one of loops, numpy, cython, got"),
        kernels.use("fortran"),
    ):
        pass
    assert kernels.info() == before


def test_a_missing_extension_cannot_be_used(monkeypatch):
    monkeypatch.setitem(sys.modules, _backend.MODULES["cython"], None)
    before = kernels.info()
    with pytest.raises(ImportError, match="compiled extension"), kernels.use("cython"):
        pass
    assert kernels.info() == before


def test_missing_extension_falls_back_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, _backend.MODULES["cython"], None)
    name, reason, chosen = _backend.choose({})
    assert name == "numpy" and "cannot be imported" in reason
    assert chosen is module("numpy")
    with pytest.raises(ImportError, match="COURSEKIT_KERNELS=cython, but the compiled extension"):
        _backend.choose({"COURSEKIT_KERNELS": "cython"})


def test_threads_are_capped_by_the_backend(monkeypatch):
    monkeypatch.setattr(_backend, "_num_threads", 1)
    kernels.set_num_threads(3)
    assert kernels.get_num_threads() == (3 if _backend.backend.HAS_OPENMP else 1)
    monkeypatch.setattr(_backend, "backend", module("numpy"))
    assert kernels.get_num_threads() == 1


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_bad_thread_count_is_refused(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        kernels.set_num_threads(n)


def test_more_threads_than_can_be_started_are_refused(monkeypatch):
    """OpenMP ends a process whose threads it cannot start."""
    monkeypatch.setattr(_backend, "_num_threads", 1)
    for n in (_backend.MOST_THREADS + 1, 100_000, 2**70):
        with pytest.raises(ValueError, match=f"n must be at most .* processors, got {n}"):
            kernels.set_num_threads(n)
    kernels.set_num_threads(_backend.MOST_THREADS)
    x, w = np.ones((256, 16, 32, 32), np.float32), np.ones((16, 16, 3, 3), np.float32)
    assert kernels.conv2d_forward(x, w, padding=1)[0, 0, 1, 1] == 9 * 16


# --- out of bounds ------------------------------------------------------------------------------
# Each of these once read or wrote beyond an array, ended the process or differed by backend.

F32 = np.float32
ONES = np.ones((32, 32, 3, 3), F32)
OUT_OF_BOUNDS = {
    "too many channels": (
        lambda: kernels.conv2d_backward_input(
            np.ones((1, 32, 18, 18), F32), ONES, (1, 256, 20, 20)
        ),
        "x_shape must have 32 channels to match the filters, got (1, 256, 20, 20)",
    ),
    "other channels": (
        lambda: kernels.conv2d_backward_input(np.ones((8, 32, 18, 18), F32), ONES, (8, 64, 20, 20)),
        "x_shape must have 32 channels to match the filters, got (8, 64, 20, 20)",
    ),
    "no shape of pictures": (
        lambda: kernels.conv2d_backward_input(np.ones((8, 32, 18, 18), F32), ONES, (8, 32, 20)),
        "x_shape must be the shape (N, C, H, W) of pictures, got (8, 32, 20)",
    ),
    "half a pixel": (
        lambda: kernels.avg_pool2d_backward(
            np.ones((1, 1, 2, 2)), (1, 1, 4.5, 4), kernel_size=2, stride=2
        ),
        "x_shape must be the shape (N, C, H, W) of pictures, got (1, 1, 4.5, 4)",
    ),
    "pictures without channels": (
        lambda: kernels.conv2d_backward_weight(np.ones((2, 4, 3, 3)), np.ones((2, 0, 5, 5)), 3),
        "x must have at least one channel, got shape (2, 0, 5, 5)",
    ),
    "pictures without height": (
        lambda: kernels.max_pool2d_forward(
            np.ones((1, 1, 0, 4)), kernel_size=2, stride=2, padding=1
        ),
        "x must have a height and a width of at least 1, got (1, 1, 0, 4)",
    ),
    "a window of more than 32 bits": (
        lambda: kernels.max_pool2d_forward(
            np.ones((1, 1, 5, 5)), kernel_size=100_000, stride=1, padding=50_000
        ),
        "kernel_size must have at most 2147483647 pixels, got (100000, 100000)",
    ),
    "a stride of more than 32 bits": (
        lambda: kernels.conv2d_forward(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), stride=2**62),
        "stride must be at most 2147483647, got 4611686018427387904",
    ),
    "places outside their window": (
        lambda: kernels.max_pool2d_backward(
            np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), 4, np.uint8), (1, 1, 4, 4),
            kernel_size=2, stride=2,
        ),
        "argmax must hold places in a window, 0..3, got 4..4",
    ),
    "no places": (
        lambda: kernels.max_pool2d_backward(
            np.ones((1, 1, 2, 2)), None, (1, 1, 4, 4), kernel_size=2, stride=2
        ),
        "argmax must be a NumPy array, got NoneType",
    ),
    "no mean": (
        lambda: kernels.batch_norm_backward(
            np.ones((4, 3)), np.ones((4, 3)), None, None, None, batch_stats=True
        ),
        "mean must be a float64 array, got NoneType",
    ),
    "one and a half axes": (
        lambda: kernels.layer_norm_forward(np.ones((4, 3)), None, None, normalized_ndim=1.5),
        "normalized_ndim must lie in 1..2 for x of shape (4, 3), got 1.5",
    ),
    "a complex gradient": (
        lambda: kernels.layer_norm_backward(
            np.ones((4, 3), complex), np.ones((4, 3)), None, np.ones(4), np.ones(4)
        ),
        "dout must be an array of real numbers, got complex128",
    ),
    "half a step": (
        lambda: kernels.adam_step(*(np.ones(3) for _ in range(4)), step=1.5, lr=0.1),
        "step must be at least 1, got 1.5",
    ),
    "a mean that never moves": (
        lambda: kernels.adam_step(*(np.ones(3) for _ in range(4)), step=1, lr=0.1, beta1=1.0),
        "beta1 must be at least 0 and below 1, got 1.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUT_OF_BOUNDS)
def test_what_would_be_out_of_bounds_is_refused(backend, monkeypatch, case):
    monkeypatch.setattr(_backend, "backend", backend)
    call, message = OUT_OF_BOUNDS[case]
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_no_channels_give_no_channels(backend, monkeypatch):
    """The compiled kernel divided by their number, which ended the process."""
    monkeypatch.setattr(_backend, "backend", backend)
    x, none = np.ones((4, 0)), np.ones(0)
    out, mean, var = kernels.batch_norm_forward(x, none, none, none, none)
    dx, dweight, dbias = kernels.batch_norm_backward(out, x, none, mean, var, batch_stats=False)
    assert out.shape == dx.shape == (4, 0) and dweight.shape == dbias.shape == (0,)


def test_adam_counts_beyond_32_bits(backend, monkeypatch):
    monkeypatch.setattr(_backend, "backend", backend)
    w, g, m, v = np.zeros(3), np.ones(3), np.ones(3), np.ones(3)
    kernels.adam_step(w, g, m, v, step=2**40, lr=0.5)
    np.testing.assert_allclose(w, -0.5, rtol=1e-7)


def test_read_only_places_will_do(backend, monkeypatch):
    """As joblib hands them to a worker."""
    monkeypatch.setattr(_backend, "backend", backend)
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    out, argmax = kernels.max_pool2d_forward(x, kernel_size=2, stride=2)
    argmax.flags.writeable = False
    dx = kernels.max_pool2d_backward(out, argmax, x.shape, kernel_size=2, stride=2)
    np.testing.assert_array_equal(dx[0, 0, 1::2, 1::2], out[0, 0])
