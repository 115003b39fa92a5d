"""Wrong ways to make tensors of pixels, and nets of tensors."""

import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references import lenet, pixels_to_tensor

PIXELS, FORWARD, LENET = "pixels_to_tensor", "three_layer_forward", "lenet"


# --- pixels ---------------------------------------------------------------------------------


def _standardised(x, mean, std):
    mean, std = (torch.as_tensor(v, dtype=x.dtype)[:, None, None] for v in (mean, std))
    return (x - mean) / std


def _first(images):
    return torch.tensor(images).permute(0, 3, 1, 2).float()


@animal(PIXELS, "inputs in the hundreds, and a loss that explodes")
def never_scaled(images, mean, std):
    """pixels stay 0 to 255; mean and std belong to pixels from 0 to 1."""
    return _standardised(_first(images), mean, std)


@animal(PIXELS, "a net that sees next to nothing but the same grey")
def scaled_twice(images, mean, std):
    """pixels are divided by 255 twice."""
    return _standardised(_first(images) / 255 / 255, mean, std)


@animal(PIXELS, "hard to tell: white is 0.996")
def divided_by_256(images, mean, std):
    """pixels are divided by 256; the brightest is 255."""
    return _standardised(_first(images) / 256, mean, std)


@animal(PIXELS, "pictures in two levels, black and white")
def whole_division(images, mean, std):
    """pixels are divided as integers (//), which leaves 0 and 1."""
    return _standardised((torch.tensor(images).permute(0, 3, 1, 2) // 255).float(), mean, std)


@animal(PIXELS, "stripes in wrong colours")
def reshaped(images, mean, std):
    """axes are renamed by reshape; permute moves them."""
    n, h, w, c = images.shape
    return _standardised(torch.tensor(images).reshape(n, c, h, w).float() / 255, mean, std)


@animal(PIXELS, "an error in the first convolution, or pictures on their side")
def width_before_height(images, mean, std):
    """axes come as (N, C, W, H); they are (N, C, H, W)."""
    return pixels_to_tensor(images, mean, std).transpose(2, 3)


@animal(PIXELS, "an error in the first convolution")
def channels_left_last(images, mean, std):
    """channels stay last; PyTorch has them second, (N, C, H, W)."""
    x = torch.tensor(images).float() / 255
    return (x - torch.tensor(mean).float()) / torch.tensor(std).float()


@animal(PIXELS, "blue skies turn orange")
def colours_reversed(images, mean, std):
    """colours are reversed to BGR, as OpenCV has them."""
    return pixels_to_tensor(images[..., ::-1].copy(), mean[::-1].copy(), std[::-1].copy())


@animal(PIXELS, "all pictures shifted, learning starts slowly")
def mean_forgotten(images, mean, std):
    """the mean is not subtracted."""
    return _standardised(_first(images) / 255, 0 * mean, std)


@animal(PIXELS, "inputs four times too small")
def std_forgotten(images, mean, std):
    """there is no division by std."""
    return _standardised(_first(images) / 255, mean, 0 * std + 1)


@animal(PIXELS, "inputs four times too large")
def divided_by_the_variance(images, mean, std):
    """std is squared: that divides by the variance."""
    return _standardised(_first(images) / 255, mean, std**2)


@animal(PIXELS, "inputs far from 0")
def std_before_mean(images, mean, std):
    """division by std comes first, then the mean is subtracted."""
    x = _standardised(_first(images) / 255, 0 * mean, std)
    return x - torch.tensor(mean).float()[:, None, None]


@animal(PIXELS, "a batch changes with the pictures it is drawn with")
def statistics_of_the_batch(images, mean, std):
    """mean and std are taken of the batch itself; those of the training set are given."""
    x = _first(images) / 255
    return _standardised(x, x.mean((0, 2, 3)), x.std((0, 2, 3)) + 1e-6)


@animal(PIXELS, "everything after it is slow, or 'expected Float but found Double'")
def double_precision(images, mean, std):
    """NumPy's float64 comes along; nets are float32."""
    x = (images / 255 - mean) / std
    return torch.from_numpy(x).permute(0, 3, 1, 2)


# --- a net of bare tensors --------------------------------------------------------------------


def _net(x, params, **bugs):
    """The net, with a place for each bug."""
    bug = {
        "padding": lambda k: k // 2,
        "relu": torch.relu,
        "pool": lambda x: max_pool2d(x, 2),
        "flatten": lambda x: x.flatten(1),
        "hidden": torch.relu,
        "last": lambda x: x,
    } | bugs
    w1, b1, w2, b2, w3, b3 = params
    x = bug["pool"](bug["relu"](conv2d(x, w1, b1, padding=bug["padding"](w1.shape[2]))))
    return bug["last"](bug["hidden"](bug["flatten"](x) @ w2.T + b2) @ w3.T + b3)


@animal(FORWARD, "a size error in the linear layer, for kernels of some sizes")
def padding_one_too_large(x, params):
    """the padding is (k + 1) // 2; 'same' for an odd kernel is k // 2."""
    return _net(x, params, padding=lambda k: (k + 1) // 2)


@animal(FORWARD, "right for 3 × 3 kernels only")
def padding_of_three_by_three(x, params):
    """the padding is always 1; that keeps the size for 3 × 3 kernels only."""
    return _net(x, params, padding=lambda k: 1)


@animal(FORWARD, "a size error in the linear layer")
def no_padding(x, params):
    """there is no padding."""
    return _net(x, params, padding=lambda k: 0)


@animal(FORWARD, "pictures of a batch swap features")
def batch_axis_lost(x, params):
    """flatten mixes pictures: it begins at axis 0 after the axes were exchanged."""
    return _net(x, params, flatten=lambda x: x.transpose(0, 1).reshape(len(x), -1))


@animal(FORWARD, "a size error: one row for the whole batch")
def everything_flattened(x, params):
    """flatten() without a start makes one row of the whole batch; start_dim=1 keeps pictures."""
    return _net(x, params, flatten=torch.flatten)


@animal(FORWARD, "weights that were learnt elsewhere do not work here")
def channels_last_features(x, params):
    """features are flattened in the order (H, W, C); PyTorch's is (C, H, W)."""
    return _net(x, params, flatten=lambda x: x.permute(0, 2, 3, 1).flatten(1))


@animal(FORWARD, "the convolution and the linear layer are one linear map")
def first_relu_missing(x, params):
    """there is no ReLU behind the convolution."""
    return _net(x, params, relu=lambda x: x)


@animal(FORWARD, "the last two layers are one linear map")
def second_relu_missing(x, params):
    """there is no ReLU between the linear layers."""
    return _net(x, params, hidden=lambda x: x)


@animal(FORWARD, "half of all scores can never be negative, and learning is slow")
def relu_on_the_scores(x, params):
    """there is a ReLU behind the last layer; scores may be negative."""
    return _net(x, params, last=torch.relu)


@animal(FORWARD, "cross-entropy learns slowly and stops at 1.46")
def softmax_on_the_scores(x, params):
    """softmax is applied to the scores; cross_entropy does that itself."""
    return _net(x, params, last=lambda x: x.softmax(1))


@animal(FORWARD, "other numbers than the twin's")
def mean_for_max(x, params):
    """the pool takes means; here it takes the largest."""
    return _net(x, params, pool=lambda x: nn.functional.avg_pool2d(x, 2))


@animal(FORWARD, "a size error in the linear layer")
def pool_of_stride_one(x, params):
    """the pool moves by one pixel; by default its stride is its size."""
    return _net(x, params, pool=lambda x: max_pool2d(x, 2, stride=1))


@animal(FORWARD, "units that cannot shift")
def biases_forgotten(x, params):
    """the biases are not added."""
    return _net(x, [p if p.ndim > 1 else 0 * p for p in params])


@animal(FORWARD, "'element 0 of tensors does not require grad'")
def under_no_grad(x, params):
    """it runs under no_grad, so nothing can be learnt."""
    with torch.no_grad():
        return _net(x, params)


@animal(FORWARD, "only the linear layers learn")
def detached_features(x, params):
    """what the convolution found is taken off the graph: it cannot learn."""
    return _net(x, params, flatten=lambda x: x.detach().flatten(1))


# --- LeNet ------------------------------------------------------------------------------------


def _lenet(in_channels, size, activation, **bugs):
    bug = {
        "padding": (32 - size) // 2,
        "pool": lambda: nn.MaxPool2d(2),
        "channels": (6, 16),
        "units": (120, 84),
        "flatten": nn.Flatten,
        "acts": [activation] * 4,
        "tail": (),
    } | bugs
    (a, b), (c, d) = bug["channels"], bug["units"]
    acts = bug["acts"]
    return nn.Sequential(
        *(nn.Conv2d(in_channels, a, 5, padding=bug["padding"]), acts[0](), bug["pool"]()),
        *(nn.Conv2d(a, b, 5), acts[1](), bug["pool"](), bug["flatten"]()),
        *(nn.LazyLinear(c), acts[2](), nn.Linear(c, d), acts[3]()),
        *(nn.Linear(d, 10), *bug["tail"]),
    )


def _ready(net, in_channels, size):
    """Lazy layers learn their size."""
    net(torch.zeros(1, in_channels, size, size))
    return net


@animal(LENET, "a size error for one of the two data sets")
def never_padded(in_channels, size, activation):
    """pictures of 28 pixels are not padded to 32, so that the last map has 4 × 4 numbers."""
    return _ready(_lenet(in_channels, size, activation, padding=0), in_channels, size)


@animal(LENET, "a size error for one of the two data sets")
def always_padded(in_channels, size, activation):
    """pictures are always padded by 2; those of 32 pixels need none."""
    return _ready(_lenet(in_channels, size, activation, padding=2), in_channels, size)


@animal(LENET, "other numbers than everybody's")
def mean_pools(in_channels, size, activation):
    """the pools take means, as in 1998; here they take the largest."""
    net = _lenet(in_channels, size, activation, pool=lambda: nn.AvgPool2d(2))
    return _ready(net, in_channels, size)


@animal(LENET, "a study of activations that compares a net with itself")
def activation_ignored(in_channels, size, activation):
    """the activation that is asked for is not used: it is always ReLU."""
    return lenet(in_channels, size, nn.ReLU)


@animal(LENET, "a study of activations that compares two mixtures")
def activation_in_the_convolutions_only(in_channels, size, activation):
    """the linear layers always have ReLU; the activation is the same throughout."""
    net = _lenet(in_channels, size, activation, acts=[activation] * 2 + [nn.ReLU] * 2)
    return _ready(net, in_channels, size)


@animal(LENET, "two convolutions that are one linear map around a pool")
def first_activation_missing(in_channels, size, activation):
    """the first convolution has no activation behind it."""
    net = _lenet(in_channels, size, activation, acts=[nn.Identity] + [activation] * 3)
    return _ready(net, in_channels, size)


@animal(LENET, "two linear layers that are one")
def last_activation_missing(in_channels, size, activation):
    """there is no activation before the last layer."""
    net = _lenet(in_channels, size, activation, acts=[activation] * 3 + [nn.Identity])
    return _ready(net, in_channels, size)


@animal(LENET, "scores between -1 and 1, and a loss that never gets small")
def activation_on_the_scores(in_channels, size, activation):
    """an activation stands behind the last layer too."""
    return _ready(_lenet(in_channels, size, activation, tail=[activation()]), in_channels, size)


@animal(LENET, "slow learning that stops at a loss of 1.46")
def softmax_at_the_end(in_channels, size, activation):
    """softmax stands at the end; cross_entropy does that itself."""
    return _ready(_lenet(in_channels, size, activation, tail=[nn.Softmax(1)]), in_channels, size)


@animal(LENET, "an error about shapes, or one score for a whole batch")
def batch_flattened_too(in_channels, size, activation):
    """Flatten begins at axis 0 and takes the batch along; by default it begins at 1."""
    net = _lenet(in_channels, size, activation, flatten=lambda: nn.Flatten(0))
    return _ready(net, in_channels, size)


@animal(LENET, "an error about a linear layer's 10 and 80 columns")
def never_flattened(in_channels, size, activation):
    """there is no Flatten between maps and linear layers."""
    net = _lenet(in_channels, size, activation, flatten=nn.Identity)
    return _ready(net, in_channels, size)


@animal(LENET, "another net")
def units_swapped(in_channels, size, activation):
    """the linear layers have 84 and 120 units; they have 120 and 84."""
    return _ready(_lenet(in_channels, size, activation, units=(84, 120)), in_channels, size)


@animal(LENET, "another net")
def filters_swapped(in_channels, size, activation):
    """the convolutions have 16 and 6 filters; they have 6 and 16."""
    return _ready(_lenet(in_channels, size, activation, channels=(16, 6)), in_channels, size)


@animal(LENET, "an error for grey pictures")
def always_three_channels(in_channels, size, activation):
    """in_channels is not used: the first layer always takes three."""
    return lenet(3, size, activation)
