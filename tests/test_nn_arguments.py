"""What layers and functions take, and that they refuse the rest in one sentence."""

import numpy as np
import pytest

from coursekit import functional as F
from coursekit import nn

X, X32 = np.ones((4, 6)), np.ones((4, 6), np.float32)
MAPS = np.ones((2, 4, 3, 3))
RNG = np.random.default_rng(0)

# Layers of float32, and an input of float64.
MIXED = {
    "Linear": (lambda: nn.Linear(6, 2), X),
    "Linear without bias": (lambda: nn.Linear(6, 2, bias=False), X),
    "Conv2d": (lambda: nn.Conv2d(4, 2, 3), MAPS),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), X),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), MAPS),
    "LayerNorm": (lambda: nn.LayerNorm(6), X),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), MAPS),
    "a net": (lambda: nn.mlp([6, 3, 2], norm="batch"), X),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_layer_takes_the_dtype_of_its_weights_alone(name):
    make, x = MIXED[name]
    assert make()(x.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="float32|float64"):
        make()(x)


LAYERS = {
    **MIXED,
    "ReLU": (nn.ReLU, X),
    "LeakyReLU": (nn.LeakyReLU, X),
    "Tanh": (nn.Tanh, X),
    "Sigmoid": (nn.Sigmoid, X),
    "Flatten": (nn.Flatten, MAPS),
    "Dropout": (nn.Dropout, X),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), MAPS),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), MAPS),
    "GlobalAvgPool2d": (nn.GlobalAvgPool2d, MAPS),
}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.float16),
        lambda x: x > 0,
        lambda x: x.tolist(),
        lambda x: x.astype(object),
    ],
    ids=["int64", "uint8", "float16", "bool", "list", "objects"],
)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_float_arrays_alone(name, spoil):
    make, x = LAYERS[name]
    with pytest.raises(ValueError, match=r"^x must"):
        make()(spoil(x))


@pytest.mark.parametrize("kind", [np.ma.masked_array, np.matrix])
def test_arrays_whose_arithmetic_is_another_are_refused(kind):
    for make in (nn.ReLU, nn.Tanh, nn.Flatten, lambda: nn.Linear(6, 2), lambda: nn.LayerNorm(6)):
        with pytest.raises(ValueError, match=rf"^x must be .*got {kind(X32).__class__.__name__}"):
            make()(kind(X32))


@pytest.mark.parametrize("name", LAYERS)
def test_a_gradient_of_another_shape_or_kind_is_refused(name):
    make, x = LAYERS[name]
    layer = make()
    out = layer(x.astype(np.float32))
    for dout in (out[:1], out[..., None], out.T, out.tolist()):
        if np.shape(dout) != out.shape or isinstance(dout, list):
            with pytest.raises(ValueError, match="^dout must"):
                layer.backward(dout)
    assert layer.backward(np.ones_like(out)).dtype == np.float32


REFUSED = [
    (lambda: F.log_softmax(np.ones((0, 3))), "logits must have at least one row"),
    (lambda: F.multi_margin_loss_forward(np.ones((0, 3)), []), "logits must have at least"),
    (lambda: F.cross_entropy_forward(X, np.ones(4)), "targets must be integer"),
    (lambda: F.cross_entropy_forward(X, np.full(4, 6)), r"targets must lie in 0\.\.5"),
    (lambda: F.cross_entropy_forward(X, np.full(4, -1)), r"targets must lie in 0\.\.5"),
    (lambda: F.cross_entropy_forward(X, np.zeros((4, 1), int)), "targets must have shape"),
    (lambda: F.cross_entropy_forward(X, np.zeros(4, int), np.nan), "label_smoothing must lie"),
    (lambda: F.multi_margin_loss_forward(X, np.zeros(4, int), np.nan), "margin must be a finite"),
    (lambda: F.leaky_relu_forward(X, np.nan), "negative_slope must be a finite"),
    (lambda: F.dropout_forward(X, 0.5, training=True, rng=3), "rng must be a numpy.random.Gen"),
    (lambda: F.l2_penalty(X, "much"), "strength must be at least 0, got 'much'"),
    (lambda: nn.BatchNorm1d(3, eps=None), "eps must be at least 0, got None"),
    (lambda: nn.LayerNorm(2.5), "normalized_shape must name at least one feature, got 2.5"),
    (lambda: nn.LayerNorm((2, 2.5)), "normalized_shape must be at least 1, got 2.5"),
    (lambda: nn.LayerNorm((-2, -3)), "normalized_shape must be at least 1, got -2"),
    (lambda: nn.init.normal((2, 3), std=-1, rng=RNG), "std must be at least 0, got -1"),
    (
        lambda: nn.init.xavier_normal((2, 3), gain=np.nan, rng=RNG),
        "std must be at least 0, got nan",
    ),
    (lambda: nn.init.uniform((2, 3), bound=np.nan, rng=RNG), "bound must be at least 0, got nan"),
    (lambda: nn.Linear(2, 1).load_state_dict(None), "state: got a NoneType; needed arrays by name"),
    (lambda: F.l2_penalty(X, -1.0), "strength must be at least 0, got -1"),
    (lambda: F.l1_penalty(X, np.nan), "strength must be at least 0, got nan"),
    (lambda: F.layer_norm_forward(X, None, None, eps=-1.0), "eps must be at least 0"),
    (lambda: F.group_norm_forward(X, 2, None, None, eps=np.nan), "eps must be at least 0"),
    (lambda: nn.BatchNorm1d(3, eps=-1e-5), "eps must be at least 0"),
    (lambda: nn.BatchNorm1d(3, momentum=1.5), r"momentum must be None or lie in \[0, 1\]"),
    (lambda: nn.Linear(2.0, 3), r"in_features must be at least 1, got 2.0; needed a whole"),
    (lambda: nn.Linear(2, True), "out_features must be at least 1, got True"),
    (lambda: nn.Conv2d(3, "4", 3), "out_channels must be at least 1, got '4'"),
    (lambda: nn.Linear(2, 3, dtype=np.int64), "dtype: got int64; needed float32 or float64"),
    (lambda: nn.Conv2d(2, 3, 3, dtype=np.float16), "dtype: got float16"),
    (lambda: nn.BatchNorm2d(2, dtype=int), "dtype: got int64"),
    (lambda: nn.Linear(2, 3, rng=0), r"rng: got int; needed np.random.default_rng\(seed\)"),
    (lambda: nn.Linear(2, 3, init=True), "init must be a callable, a standard deviation"),
    (lambda: nn.Linear(2, 3, init=lambda shape, **_: np.ones(2)), r"needed float32 of shape \(3"),
    (lambda: nn.LeakyReLU(np.inf), "negative_slope must be a finite"),
    (lambda: nn.MultiMarginLoss(np.nan), "margin must be a finite"),
    (lambda: nn.Parameter(np.arange(3)), "data: got int64; needed float32 or float64"),
    (lambda: nn.summary(nn.ReLU(), 3072), "input_shape: got 3072; needed the shape of one input"),
    (lambda: nn.patch_whitening(np.full((2, 3, 4, 4), np.nan), 2), "images must be finite"),
]


@pytest.mark.parametrize(("act", "message"), REFUSED)
def test_arguments_that_do_not_fit_are_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_a_scalar_parameter_stays_a_scalar():
    assert nn.Parameter(np.array(2.0)).data.shape == ()


def test_a_slice_of_a_sequential_is_a_sequential_of_the_same_layers():
    net = nn.mlp([4, 3, 2])
    part = net[1:3]
    assert isinstance(part, nn.Sequential) and list(part) == [net[1], net[2]]


@pytest.mark.parametrize("value", [np.array(["a"] * 6), np.array([1j] * 6), np.array([None] * 6)])
def test_a_state_of_another_kind_changes_nothing(value):
    net = nn.Linear(3, 2)
    before = net.state_dict()
    state = {"weight": value.reshape(2, 3), "bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"state\['weight'\]: got .*; needed real numbers"):
        net.load_state_dict(state)
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())
