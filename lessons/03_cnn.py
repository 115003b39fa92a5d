# %% [markdown]
# # Convolutional networks
#
# {{badge}}
#
# The nets of the first two lessons do not know that pixels have neighbours. This lesson builds nets
# that do: you derive convolution and pooling both ways, make them a thousand times faster in five
# steps, train nets that leave the fully connected ones twenty points behind, and then open one up
# and look at what its filters have learnt.
#
# **When you are through, you can**
#
# - say what a convolution assumes about pictures, and show what happens where the assumption is wrong;
# - write its forward and backward pass, and pooling's, and prove them right;
# - explain why one implementation runs at a thousandth of the machine's speed and another at half of it;
# - count parameters, multiplications, memory and receptive field of a net before you run it;
# - train deep convolutional nets: initialisation, batch norm, augmentation;
# - ask a trained net what it looks at, in six different ways, and know what each answer is worth.
#
# **You need** lessons 1 and 2, or linear layers, batch norm and the chain rule from elsewhere. **Time:** an
# hour and a half to read, four with the exercises. **Data:** CIFAR-10, or a bundled stand-in where there is
# no network.
#
# | Part | You break | You repair it with |
# |---|---|---|
# | 1 | the order of the pixels | nothing: that is the point |
# | 2–3 | a net that has to learn every edge at every place | convolution and pooling, forward and backward |
# | 4 | a convolution that takes minutes | four other ways to write the same sum |
# | 5–7 | a net of thirty-one layers | an initialisation, then a normalisation |
# | 8–9 | a net that learns its pictures by heart | more pictures, for nothing |
# | 10 | the belief that a net cannot be looked into | six ways to look |
#
# **Exercises** have the form you know: a function to write, a check right below, a hint and (in
# the edition to fill in) a solution, folded.

# %%
# {{setup}}

# %%
import time
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import coursekit
from coursekit import atlas, checks, data, kernels, lesson, nn, optim, plots, training
from coursekit import functional as F
from coursekit.checks import check, expect
from coursekit.data import Split, augment

THREADS = joblib.cpu_count(only_physical_cores=True)
coursekit.set_num_threads(THREADS)
started = time.perf_counter()

# %% tags=["nbval-ignore-output"]
ds = data.load()
plan = lesson.Plan(
    ds,
    minutes=(13, 4, 9, 3),
    few=(5_000, 2_000, 5_000, 2_000),
    seeds=(5, 2, 3, 2),
    locality_epochs=(6, 4, 6, 4),
    asked_after_one_epoch=(0.55, 0.25, 0.35, 0.25),
    all_pictures=(True, False, True, False),
    depth=(30, 10, 30, 10),
    start_epochs=(10, 3, 5, 3),
    start_rate=(1e-3, 2e-3, 1e-3, 2e-3),
    rates=(
        np.geomspace(1e-3, 1, 7),
        [0.003, 0.03, 0.1],
        [0.003, 0.03, 0.1, 0.3],
        [0.003, 0.03, 0.1],
    ),
    rate_epochs=(4, 6, 4, 6),
    bold_batch=(100, 50, 100, 50),
    augment_filters=([16, 32, 64], [8, 16, 32], [16, 32, 64], [8, 16, 32]),
    augment_epochs=(15, 5, 10, 5),
    ways=(
        ["none", "flip", "crop", "flip and crop", "cutout", "colour"],
        ["none", "flip", "flip and crop"],
        ["none", "flip", "flip and crop"],
        ["none", "flip", "flip and crop"],
    ),
    augment_allowed=(0.0, 0.05, 0.05, 0.05),
    champion_widths=(
        [32, 32, 96, 96, 96, 96],
        [12, 12, 24, 24],
        [32, 32, 96, 96, 96, 96],
        [12, 12, 24, 24],
    ),
    champion_pools=([0, 2, 4], [0, 2], [0, 2, 4], [0, 2]),
    champion_epochs=(15, 6, 15, 6),
    champion_rate=(0.5, 0.1, 0.5, 0.1),
    asked=(0.89, 0.35, 0.6, 0.35),
    middle_layer=(3, 2, 3, 2),
)
print(plan)

# %% tags=["nbval-ignore-output"]
few = data.load(train_size=plan.few)  # for experiments
few = replace(few, val=Split(few.val.images[:1_000], few.val.labels[:1_000]))
print(ds)
print(kernels.info())

# %% [markdown]
# ## 1. Why pictures need locality
#
# Draw one random order of the 1,024 pixels and rearrange *every* picture by it, always the same way. No
# information is lost: whoever knows the order can undo it. But neighbours are neighbours no more.


# %%
def shuffle_pixels(split):
    """Every picture with its pixels in one new, fixed order."""
    order = np.random.default_rng(0).permutation(32 * 32)
    flat = split.images.reshape(len(split.images), 3, -1)[:, :, order]
    return Split(flat.reshape(split.images.shape), split.labels)


shuffled = replace(few, train=shuffle_pixels(few.train), val=shuffle_pixels(few.val))
sheet = np.concatenate([few.train.images[:8], shuffled.train.images[:8]])
plots.show(
    plots.image_grid(sheet, columns=8, row_labels=["as it is", "shuffled"]),
    "Eight pictures, and below each of them the same pixels in another order: coloured noise in which "
    "nothing can be recognised.",
    format="jpeg",
)

# %% [markdown]
# To you the lower row is noise. Is it to a net? Train two nets on both: a fully connected one of lesson 1, and
# a small convolutional one, which we use here before we build it.
#
# <details><summary>Predict first: which of the two loses how much?</summary>
#
# A fully connected net multiplies every pixel by its own weight. Reorder the pixels and the weights can be
# reordered alike: to this net the two tasks are *the same*, and only the seed differs. A convolution
# looks at small windows, and what it finds in a window of shuffled pixels is noise.
#
# </details>


# %%
def train(net, ds, epochs, lr, *, batch_size=100, optimizer=optim.AdamW, **options):
    """Train with one cycle of the rate; return the trainer."""
    rule = optimizer(net.parameters(), lr=lr)
    steps = epochs * -(-len(ds.train) // batch_size)
    options = {"criterion": nn.CrossEntropyLoss(), "progress": False} | options
    trainer = training.Trainer(
        net,
        ds,
        optimizer=rule,
        scheduler=optim.OneCycleLR(rule, lr, steps, cycle_momentum=False),
        batch_size=batch_size,
        **options,
    )
    trainer.fit(epochs)
    return trainer


def locality(settings, ds, seed):
    """Accuracy of one kind of net on pictures as they are, or shuffled."""
    if settings["pixels"] == "shuffled":
        ds = replace(ds, train=shuffle_pixels(ds.train), val=shuffle_pixels(ds.val))
    if settings["net"] == "fully connected":
        net = nn.mlp([3072, 256, 128, 10], seed=seed)
    else:
        net = nn.DeepConvNet([16, 32, 64], max_pools=[0, 1, 2], batchnorm=True, seed=seed)
    trainer = train(net, ds, settings["epochs"], settings["lr"], seed=seed)
    return {"val_accuracy": trainer.history.epochs[-1]["val_accuracy"]}


def kept(study):
    """Name of a study's stored results; quick ones are always run."""
    return f"03_{study}_{ds.name}" if plan.full else None


# %% tags=["nbval-ignore-output"]
nets, orders = ["fully connected", "convolutional"], ["as they are", "shuffled"]
seeds = plan.seeds
by_order = training.study(
    locality,
    few,
    base={"net": nets[0], "pixels": orders[0], "epochs": plan.locality_epochs, "lr": 2e-3},
    factors={"net": nets, "pixels": orders},
    seeds=seeds,
    data_factors=("pixels",),
    name=kept("locality"),
)
by_order.summary("val_accuracy").drop(columns=["diverged", "n"]).round(3)

# %%
plots.show(
    plots.study(
        by_order.frame(),
        x="pixels",
        y="val_accuracy",
        lines="net",
        ylabel="validation accuracy",
        chance=0.1,
    ),
    "Validation accuracy on pictures as they are and with shuffled pixels. The fully connected net is "
    "as good on both. The convolutional one is far better on real pictures and far worse on shuffled ones.",
)


# %%
def level(result, metric="val_accuracy", **settings):
    """Mean over the seeds of an arm; a run that exploded counts as chance."""
    frame = result.frame().fillna({"val_accuracy": 0.1, "train_accuracy": 0.1})
    for name, value in settings.items():
        frame = frame[[v == value for v in frame[name]]]
    return frame[metric].mean()


accuracy = {(n, p): level(by_order, net=n, pixels=p) for n in nets for p in orders}
(fc, fc_shuffled), (cnn, cnn_shuffled) = ([accuracy[n, p] for p in orders] for n in nets)
expect("fully connected: accuracy lost by shuffling", fc - fc_shuffled, -0.04, 0.04)
expect("convolutional: accuracy lost by shuffling", cnn - cnn_shuffled, low=0.05)
expect("convolutional over fully connected, as they are", cnn - fc, low=0.03)

# %% [markdown]
# The convolutional net did not win because it is larger (it has a twentieth of the weights) but because it
# *assumes* something, and on pictures the assumption is true: what matters about a pixel are its neighbours, and an
# edge is an edge wherever it is. Where that is false, the same assumption costs more than it brought. Sound as a
# spectrogram, a chess board, a genome: each time you use a convolution you claim that places next to each other
# belong together, and that the same thing means the same everywhere.
#
# ## 2. Convolution by hand
#
# A *kernel* is a small array of weights. It is laid on every window of the picture; products are added; the
# sums form a new picture:
#
# $$y_{i,j} = \sum_{u,v} w_{u,v}\, x_{i+u,\, j+v} .$$
#
# (Mathematicians flip the kernel and call this one *correlation*. Networks learn the kernel, so it does not
# matter, and everybody in this field says convolution. When you compare with `scipy.signal`, mind the flip.)
#
# Here is a picture, drawn with a few lines of NumPy so that it is the same for everybody, and a few kernels
# that people found by thinking, long before kernels were learnt.


# %%
def landscape(height=96, width=144):
    """A picture with sky, sun, hills, a house and a fence: (3, height, width) in [0, 1]."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1.5 : width * 1j]
    light = 1 - 0.5 * y
    picture = np.stack([0.55 * light, 0.75 * light, 1.0 * light])

    def paint(where, *colour):
        picture[:, where] = np.array(colour)[:, None] * (0.8 + 0.4 * x[where] / 1.5)

    paint((x - 1.2) ** 2 + (y - 0.2) ** 2 < 0.01, 1.0, 0.9, 0.4)
    paint(y > 0.55 + 0.1 * np.sin(5 * x), 0.35, 0.5, 0.3)
    paint(y > 0.72 + 0.05 * np.sin(9 * x + 1), 0.25, 0.6, 0.2)
    paint((abs(x - 0.5) < 0.2) & (abs(y - 0.62) < 0.14), 0.8, 0.75, 0.65)
    paint((y < 0.48) & (y > 0.28 + abs(x - 0.5)), 0.6, 0.2, 0.15)
    paint((abs(abs(x - 0.5) - 0.1) < 0.04) & (abs(y - 0.6) < 0.05), 0.2, 0.25, 0.35)
    paint((y > 0.82) & (y < 0.95) & (np.sin(60 * x) > 0.2), 0.95, 0.93, 0.9)
    return np.clip(picture + rng.normal(0, 0.02, picture.shape), 0, 1)


gaussian = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
handmade = {
    "identity": np.pad([[1.0]], 1),
    "blur": gaussian,
    "sharpen": 2 * np.pad([[1.0]], 2) - gaussian,
    "edges, left to right": np.outer([1, 2, 1], [-1, 0, 1]) / 4,
    "edges, top to bottom": np.outer([-1, 0, 1], [1, 2, 1]) / 4,
    "spots": np.pad([[1.0]], 2) - gaussian,
}


def filter_picture(picture, kernel):
    """Each colour convolved by itself, and as large as before."""
    out, _ = F.conv2d_forward(picture[:, None], kernel[None, None], None, padding=len(kernel) // 2)
    return out[:, 0]


picture = landscape()
filtered = []
for kernel in handmade.values():
    out = filter_picture(picture, kernel)
    if kernel.sum() < 0.5:  # an edge can be dark to bright or bright to dark: show 0 as grey
        out = 0.5 + 2 * np.broadcast_to(out.mean(axis=0), out.shape)
    filtered.append(np.clip(out, 0, 1))
plots.show(
    plots.image_grid(np.stack(filtered), columns=3, titles=list(handmade), size=2.2),
    "A drawn landscape after six kernels. Identity leaves it as it is, blur softens and sharpen "
    "stresses edges; the two edge kernels show upright and level edges as bright and dark lines on grey; "
    "spots leaves thin outlines and the noise.",
    format="jpeg",
)

# %%
flat = np.full((3, 9, 9), 0.7)
edge_sums = [
    abs(filter_picture(flat, k)[:, 3:-3, 3:-3]).max() for n, k in handmade.items() if "edge" in n
]
expect("edge kernels on an even wall", max(edge_sums), high=1e-12)
expect(
    "blur: change of a wall's brightness",
    abs(filter_picture(flat, gaussian)[:, 3:-3, 3:-3] - 0.7).max(),
    high=1e-12,
)

# %% [markdown]
# Two numbers tell most about such a kernel. Its **sum** says what it does to an even wall: 1 keeps the
# brightness, 0 leaves nothing, so that only change remains. And its **shape** says which change it
# answers to. One window after the other, with the numbers filled in:

# %%
step = np.array([[1, 1, 5, 5, 5]] * 3 + [[1, 1, 1, 1, 1]] * 2)
plots.show(
    plots.sliding_window(step, np.outer([1, 1, 1], [-1, 0, 1]), [(0, 0), (1, 1), (2, 2)]),
    "A picture of five by five numbers, bright in its upper right, under a kernel for upright edges at three places: "
    "the window, the numbers in it, times the kernel, the products, and their sum as one number of the output.",
)

# %% [markdown]
# ### From one kernel to a layer
#
# A layer has $K$ kernels, and each reaches through all $C$ channels of its input: `w` is $(K, C, k_h, k_w)$.
# Two more numbers decide where the windows lie. **Padding** $p$ puts a frame of zeros around the picture,
# so that the border has neighbours, too. **Stride** $s$ is the step from window to window. How many fit is a
# question of counting: the last window must end inside the frame, so
#
# $$H_\text{out} = \left\lfloor \frac{H + 2p - k_h}{s} \right\rfloor + 1,$$
#
# and the same for the width. With $k = 3$, $s = 1$, $p = 1$ the size does not change.
#
# ### Exercise: conv2d_cost
# Difficulty 1/5 · importance 4/5 · 10 minutes
#
# What does a layer cost? Return the size of its output, its parameters (with one bias a kernel), and its
# multiply-adds for one picture. The bias is not a multiplication.


# %%
def conv2d_cost(c_in, c_out, kernel_size, stride, padding, h, w):
    """Cost of a convolution, kernel_size = (kh, kw): return (out_h, out_w), parameters, macs."""
    ### BEGIN SOLUTION
    kh, kw = kernel_size
    out_h = (h + 2 * padding - kh) // stride + 1
    out_w = (w + 2 * padding - kw) // stride + 1
    products = c_in * kh * kw  # for one output
    return (out_h, out_w), c_out * (products + 1), c_out * products * out_h * out_w
    ### END SOLUTION


# %% tags=["exercise:conv2d_cost"]
check("conv2d_cost", conv2d_cost)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Python's `//` rounds down. Every output number is one sum of `c_in * kh * kw` products, and there are
# `c_out * out_h * out_w` output numbers.
#
# </details>
#
# The first layer of lesson 1's net against a convolution that sees the same picture:

# %% tags=["needs:conv2d_cost"]
_, weights, macs = conv2d_cost(3, 64, (3, 3), 1, 1, 32, 32)
print(f"linear 3072 → 64:         {3072 * 64 + 64:>9,} parameters, {3072 * 64:>9,} multiply-adds")
print(f"convolution, 64 of 3 × 3: {weights:>9,} parameters, {macs:>9,} multiply-adds")

# %% [markdown]
# A hundredth of the parameters, nine times the work: every weight is used 1,024 times. Convolutional nets are
# *small and slow*, which is why half of this lesson is about speed.
#
# ### Exercise: conv2d_forward
# Difficulty 3/5 · importance 5/5 · 25 minutes
#
# With loops, as clear as you can; it will be the judge of everything faster. `x` is $(N, C, H, W)$, and height
# need not equal width. Return `out, cache`; the backward below gets your cache.


# %%
def conv2d_forward(x, w, b, stride, padding):
    """Convolve x (N, C, H, W) with w (K, C, kh, kw) and add b (K,): return out, cache."""
    ### BEGIN SOLUTION
    n, _, h, width = x.shape
    k, _, kh, kw = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out_h = (h + 2 * padding - kh) // stride + 1
    out_w = (width + 2 * padding - kw) // stride + 1
    out = np.empty((n, k, out_h, out_w), dtype=x.dtype)
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride, j * stride
            window = padded[:, :, top : top + kh, left : left + kw]
            for f in range(k):
                out[:, f, i, j] = (window * w[f]).sum(axis=(1, 2, 3)) + b[f]
    return out, (padded, w, stride, padding)
    ### END SOLUTION


# %% tags=["exercise:conv2d_forward"]
check("conv2d_forward", conv2d_forward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))`. The window of output $(i, j)$ begins at row $i s$, column
# $j s$ of the padded picture. Loop over places and kernels, and let NumPy sum over channels and window.
#
# </details>
#
# ### The backward pass
#
# Nothing new is needed, only the chain rule and patience. Output $(k, i, j)$ was
#
# $$y_{k,i,j} = b_k + \sum_{c,u,v} w_{k,c,u,v}\; x_{c,\; is+u,\; js+v} .$$
#
# **The bias** was added to every output of its kernel, so its gradient is the sum of all of them. **A weight**
# met a pixel at every place: its gradient is the sum, over places and pictures, of pixel times gradient; which
# is again a convolution, of the input with the gradient. **A pixel** was in several windows. It collects from
# each of them, which is why the gradient of the input must be *added up*:
#
# $$\frac{\partial L}{\partial b_k} = \sum_{n,i,j} g_{k,i,j}, \qquad
# \frac{\partial L}{\partial w_{k,c,u,v}} = \sum_{n,i,j} g_{k,i,j}\, x_{c,\,is+u,\,js+v}, \qquad
# \frac{\partial L}{\partial x_{c,\,is+u,\,js+v}} \mathrel{+}= \sum_k g_{k,i,j}\, w_{k,c,u,v} .$$
#
# <details><summary>Predict first: if a picture is padded by one and the kernel is 3 × 3, how many windows does a
# pixel in the middle belong to, and how many does a corner pixel?</summary>
#
# Nine and four. The gradient of the input is smaller at the border, always: the net hears less about it.
#
# </details>
#
# ### Exercise: conv2d_backward
# Difficulty 4/5 · importance 5/5 · 30 minutes
#
# From the gradient of the output (N, K, H_out, W_out) and your cache, all three gradients. That of the input has
# the shape of the input, without the frame. Mind the case without a frame.


# %%
def conv2d_backward(dout, cache):
    """Gradients of conv2d_forward: return dx, dw, db."""
    ### BEGIN SOLUTION
    padded, w, stride, padding = cache
    kh, kw = w.shape[2:]
    dpadded = np.zeros_like(padded)
    dw = np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows = slice(i * stride, i * stride + kh)
            columns = slice(j * stride, j * stride + kw)
            g = dout[:, :, i, j]  # (N, K)
            dw += np.tensordot(g, padded[:, :, rows, columns], axes=(0, 0))
            dpadded[:, :, rows, columns] += np.tensordot(g, w, axes=(1, 0))
    h, width = (size - 2 * padding for size in padded.shape[2:])
    dx = dpadded[:, :, padding : padding + h, padding : padding + width]
    return dx, dw, dout.sum(axis=(0, 2, 3))
    ### END SOLUTION


# %% tags=["exercise:conv2d_backward"]
check("conv2d_backward", conv2d_forward, conv2d_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Walk over the places as in the forward pass. At each, `dw` and the gradient of the *padded* input get
# something added. `dx[:, :, p:-p, p:-p]` is empty when $p = 0$, since `0:-0` is `0:0`.
#
# </details>
#
# ## 3. Pooling
#
# A net that has found an ear somewhere seldom needs to know where to the pixel. **Max pooling** keeps the
# largest of each window: half the height, half the width, a quarter of the work for all that follows, and a
# picture moved by one pixel often gives the same output. The gradient goes to the winner of each window, and
# to nobody else; if two are equal, the first in reading order wins, here as in PyTorch.
#
# ### Exercise: max_pool2d_forward
# Difficulty 2/5 · importance 4/5 · 15 minutes
#
# Windows may be oblong, overlap (stride below their size) or leave gaps. Pixels that no window reaches do not
# matter.


# %%
def max_pool2d_forward(x, pool_height, pool_width, stride):
    """Largest value of each window of x (N, C, H, W): return out, cache."""
    ### BEGIN SOLUTION
    n, c, h, w = x.shape
    out_h = (h - pool_height) // stride + 1
    out_w = (w - pool_width) // stride + 1
    out = np.empty((n, c, out_h, out_w), dtype=x.dtype)
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride, j * stride
            out[:, :, i, j] = x[:, :, top : top + pool_height, left : left + pool_width].max(
                axis=(2, 3)
            )
    return out, (x, pool_height, pool_width, stride)
    ### END SOLUTION


# %% tags=["exercise:max_pool2d_forward"]
check("max_pool2d_forward", max_pool2d_forward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `(H - pool_height) // stride + 1` windows fit, and each begins at a multiple of the stride, not of its size.
# If you keep a running maximum, do not begin it with 0: what if all values are negative?
#
# </details>
#
# ### Exercise: max_pool2d_backward
# Difficulty 3/5 · importance 4/5 · 15 minutes
#
# A pixel may be the largest of several overlapping windows. Ties go to the first.


# %%
def max_pool2d_backward(dout, cache):
    """Gradient of max_pool2d_forward: return dx."""
    ### BEGIN SOLUTION
    x, pool_height, pool_width, stride = cache
    n, c, out_h, out_w = dout.shape
    dx = np.zeros_like(x)
    pictures, channels = np.ogrid[:n, :c]
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + pool_height, left : left + pool_width]
            winner = window.reshape(n, c, -1).argmax(axis=2)
            rows, columns = top + winner // pool_width, left + winner % pool_width
            dx[pictures, channels, rows, columns] += dout[:, :, i, j]
    return dx
    ### END SOLUTION


# %% tags=["exercise:max_pool2d_backward"]
check("max_pool2d_backward", max_pool2d_forward, max_pool2d_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `argmax` over the flattened window gives the first of several largest; `divmod` by the window's width turns it
# into row and column. Different pictures and channels never meet in one `+=`, so it adds up correctly.
#
# </details>
#
# What pooling buys: move a picture to the right, pixel by pixel, and compare what comes out of a convolution
# with what it was before; without pooling, after one, and after two.

# %%
rng = np.random.default_rng(0)
kernels_16 = rng.normal(size=(16, 3, 3, 3)) / 5
smooth = landscape(64, 96)[None]


def stages(x):
    """What a convolution finds, before pooling, after one, after two."""
    found, _ = F.conv2d_forward(x, kernels_16, None, padding=1)
    found = np.maximum(found, 0)
    once, _ = F.max_pool2d_forward(found, 2)
    twice, _ = F.max_pool2d_forward(once, 2)
    return found[..., 8:-8, 8:-8], once[..., 4:-4, 4:-4], twice[..., 2:-2, 2:-2]


def likeness(a, b):
    """Correlation of two arrays."""
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


moves = range(5)
alike = np.array(
    [
        [likeness(*pair) for pair in zip(stages(smooth), stages(moved), strict=True)]
        for moved in (np.roll(smooth, m, axis=3) for m in moves)
    ]
)
fig, ax = plt.subplots(figsize=(5, 3))
for values, name in zip(alike.T, ["convolution", "pooled once", "pooled twice"], strict=True):
    ax.plot(moves, values, label=name)
ax.set(xlabel="pixels moved", ylabel="correlation with before", xticks=list(moves))
ax.legend()
plots.show(
    fig,
    "Correlation of a layer's output with what it was before the picture moved, against the pixels moved. "
    "It falls fastest without pooling, slower after one and slowest after two.",
)

# %%
expect("moved by one: two poolings over none", alike[1, 2] - alike[1, 0], low=0.01)

# %% [markdown]
# Pooling does not make a net blind to movement, but it makes it mind less.
#
# ## 4. The staircase of speed
#
# Your convolution is right, and for training it is of no use: one pass over CIFAR-10 would take hours. The
# *number* of multiplications is not to blame. What this machine can do shows a large matrix product:


# %% tags=["nbval-ignore-output"]
def seconds_for(run, repeat=7):
    """Median time of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return np.median(times)


a, b = (rng.normal(size=(1024, 1024)).astype(np.float32) for _ in range(2))
coursekit.set_num_threads(1)
peak = 2 * 1024**3 / seconds_for(lambda: a @ b) / 1e9
print(f"matrix product, one thread: {peak:.0f} GFLOP/s (a multiply-add counts as two)")

# %% [markdown]
# How much of that does a convolution get? We climb in five steps, always with the same sum.
#
# 1. **Seven nested loops** spend their time in the interpreter: a hundred nanoseconds of bookkeeping for a
#    multiplication that takes a fraction of one.
# 2. **A sum a window**, as in your version above, pays the interpreter once for each output.
# 3. **A product a position** turns the loops inside out: for each of the $k_h k_w$ positions $(u, v)$ in the
#    kernel, the picture moved by $(u, v)$ is multiplied by one matrix, $w_{:,:,u,v}$. Nine calls do it all.
# 4. **im2col** writes every window into a row of one large matrix. A single product remains, which the BLAS
#    does at full speed. The price is memory: each pixel is copied $k_h k_w$ times.
# 5. **Compiled**: nothing is copied at all. We come to that.
#
# ### Exercise: im2col
# Difficulty 3/5 · importance 4/5 · 20 minutes
#
# Rows are windows, in the order picture, row, column; columns are channel, then row and column in the window, as
# `w.reshape(K, -1)` has them.


# %%
def im2col(x, kh, kw, stride, padding):
    """Windows of x (N, C, H, W) as rows: return (N * out_h * out_w, C * kh * kw)."""
    ### BEGIN SOLUTION
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]  # (N, C, out_h, out_w, kh, kw), nothing copied yet
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kh * kw)
    ### END SOLUTION


# %% tags=["exercise:im2col"]
check("im2col", im2col)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.lib.stride_tricks.sliding_window_view` gives all windows as a view. Take every `stride`-th of them, move the
# axes into the right order and reshape: that is when the copy is made.
#
# </details>
#
# ### Exercise: col2im
# Difficulty 3/5 · importance 3/5 · 20 minutes
#
# The way back for gradients: `im2col` copies a pixel into several places, so its gradient is the sum of theirs.
# A matrix and its transpose, in other words: $\langle \text{im2col}(x), c \rangle = \langle x, \text{col2im}(c)
# \rangle$ for every $x$ and $c$. The check tests just that.


# %%
def col2im(cols, x_shape, kh, kw, stride, padding):
    """Add the rows of cols back to where im2col took them from: return (N, C, H, W)."""
    ### BEGIN SOLUTION
    n, c, h, w = x_shape
    out_h = (h + 2 * padding - kh) // stride + 1
    out_w = (w + 2 * padding - kw) // stride + 1
    windows = cols.reshape(n, out_h, out_w, c, kh, kw).transpose(0, 3, 1, 2, 4, 5)
    padded = np.zeros((n, c, h + 2 * padding, w + 2 * padding), cols.dtype)
    for u in range(kh):
        for v in range(kw):
            rows = slice(u, u + stride * out_h, stride)
            columns = slice(v, v + stride * out_w, stride)
            padded[:, :, rows, columns] += windows[..., u, v]
    return padded[:, :, padding : padding + h, padding : padding + w]
    ### END SOLUTION


# %% tags=["exercise:col2im"]
check("col2im", col2im)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Do not loop over windows: loop over the $k_h k_w$ positions inside a window. For one of them, all windows
# together touch each pixel at most once, so a strided `+=` is safe.
#
# </details>
#
# ### The last step: use a number while it is at hand
#
# A processor multiplies eight or sixteen numbers in one instruction, twice per clock tick, but only numbers that lie
# in its few **registers**. Fetching one from memory takes as long as hundreds of multiplications, from the nearest cache
# still several. So what decides is how often each number that was fetched gets *used*.
#
# im2col brings windows into memory, nine copies of each pixel, for the BLAS to read them back. The compiled kernel
# of `coursekit` keeps a block of *outputs* in the registers, several pixels times a few dozen filters, until they are
# finished. For each weight position it fetches one row of weights and a few pixels, and each of them enters several
# multiplications at once. Its heart, in C:

# %% tags=["nbval-ignore-output"]
header = Path(kernels.__file__).with_name("_conv_tile.h").read_text(encoding="utf-8")
print(header)

# %% [markdown]
# All of them on one layer: 32 filters of 3 × 3 over 32 channels of 32 × 32 pixels. The slow ones get fewer pictures
# and fewer channels. That is fair, since we compare operations in a second.


# %%
def frame(x, padding):
    """x with zeros around it."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def output_shape(x, w, stride, padding):
    """(N, K, out_h, out_w)."""
    sides = (
        (s + 2 * padding - k) // stride + 1 for s, k in zip(x.shape[2:], w.shape[2:], strict=True)
    )
    return len(x), len(w), *sides


def seven_loops(x, w, b, stride, padding):
    """As in the textbook."""
    x, out = frame(x, padding), np.empty(output_shape(x, w, stride, padding))
    for n, k, i, j in np.ndindex(*out.shape):
        total = b[k]
        for c, u, v in np.ndindex(*w.shape[1:]):
            total += w[k, c, u, v] * x[n, c, i * stride + u, j * stride + v]
        out[n, k, i, j] = total
    return out


def product_a_position(x, w, b, stride, padding):
    """One matrix product for each place in the kernel."""
    n, _, out_h, out_w = output_shape(x, w, stride, padding)
    x = frame(x, padding).transpose(0, 2, 3, 1)
    out = np.tile(b, (n, out_h, out_w, 1))
    for u, v in np.ndindex(*w.shape[2:]):
        rows, columns = slice(u, u + stride * out_h, stride), slice(v, v + stride * out_w, stride)
        out += x[:, rows, columns] @ w[:, :, u, v].T
    return out.transpose(0, 3, 1, 2)


def with_im2col(x, w, b, stride, padding):
    """One matrix product for all."""
    n, k, out_h, out_w = output_shape(x, w, stride, padding)
    out = im2col(x, *w.shape[2:], stride, padding) @ w.reshape(k, -1).T + b
    return out.reshape(n, out_h, out_w, k).transpose(0, 3, 1, 2)


def compiled(x, w, b, stride, padding):
    """What the layers of coursekit call."""
    return kernels.conv2d_forward(x, w, b, stride=(stride, stride), padding=(padding, padding))


staircase = {
    "seven loops": (seven_loops, 1, 2),
    "a sum a window": (lambda *layer: conv2d_forward(*layer)[0], 4, 32),
    "a product a position": (product_a_position, 32, 32),
    "im2col": (with_im2col, 32, 32),
    "compiled": (compiled, 32, 32),
}
try:
    import torch

    def pytorch(x, w, b, stride, padding):
        """PyTorch on the CPU."""
        return torch.nn.functional.conv2d(
            *map(torch.from_numpy, (x, w, b)), stride, padding
        ).numpy()

    torch.set_num_threads(1)
    staircase["PyTorch"] = (pytorch, 32, 32)
except ImportError:
    print("PyTorch is not installed: its step is left out")

# %% tags=["needs:conv2d_forward", "needs:im2col"]
speed, results = {}, {}
for name, (convolve, pictures, channels) in staircase.items():
    x = rng.normal(size=(pictures, channels, 32, 32)).astype(np.float32)
    w = rng.normal(size=(channels, channels, 3, 3)).astype(np.float32) / 10
    layer = x, w, np.zeros(channels, np.float32), 1, 1
    operations = 2 * pictures * channels * channels * 9 * 32 * 32
    speed[name] = (
        operations / seconds_for(partial(convolve, *layer), 1 if pictures < 32 else 7) / 1e9
    )
    results[name] = abs(convolve(*layer) - F.conv2d_forward(*layer)[0]).max()

# %% tags=["nbval-ignore-output", "needs:conv2d_forward", "needs:im2col"]
pd.DataFrame(
    {
        "GFLOP/s": speed,
        "share of the matrix product": {name: s / peak for name, s in speed.items()},
        "a pass over CIFAR-10": {
            name: f"{2 * 50_000 * 9.44e6 / s / 1e9:,.0f} s" for name, s in speed.items()
        },
    }
).round(4)

# %% tags=["needs:conv2d_forward", "needs:im2col"]
steps = {name: s for name, s in speed.items() if name != "PyTorch"}
fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.barh(list(steps), list(steps.values()), log=True)
ax.axvline(peak, color="black", linestyle=":")
ax.invert_yaxis()
ax.set(xlabel="GFLOP/s on one thread; the dotted line is the matrix product", xlim=(1e-3, 2 * peak))
plots.show(
    fig,
    "Speed of five ways to convolve, on a logarithmic axis, from loops at a thousandth of a GFLOP a second to "
    "compiled code near the machine's matrix product: five orders of magnitude for the same sum.",
)

# %% tags=["needs:conv2d_forward", "needs:im2col"]
expect("largest difference between two of them", max(results.values()), high=1e-3)
expect("a sum a window over seven loops", speed["a sum a window"] / speed["seven loops"], low=5)
expect("im2col over a sum a window", speed["im2col"] / speed["a sum a window"], low=3)
expect("what the layers call, over seven loops", speed["compiled"] / speed["seven loops"], low=500)
coursekit.set_num_threads(THREADS)

# %% [markdown]
# Twenty thousand times faster, and every step has its reason. The first step leaves the interpreter out of the inner
# sum. The second does so for all windows at once, and hands the sums to the BLAS. The third was the standard for many
# years, and look: it need not be a gain. im2col makes the product larger, which the BLAS likes, but writes and reads nine
# copies of the picture, and memory is slow. The last step stops copying; what it reaches is about what the matrix
# product reaches, so there is nothing left to gain but to multiply less.
#
# PyTorch does the same with code that was written for this processor's very instructions. `benchmarks/conv.py` compares
# forward and backward on seven layers and two threads.
#
# ## 5. The first convolutional net
#
# Layers that always come together get a name, a *sandwich*: `nn.conv_relu_pool(3, 32, 7, padding=3)` is a
# convolution, a ReLU and a pool. `nn.ThreeLayerConvNet` is that, and two linear layers behind it. What does it
# cost, layer by layer? The last column is the *receptive field*, the side of the square of input pixels that one
# unit can see; more on that below.

# %%
three = nn.ThreeLayerConvNet(num_filters=32, filter_size=7, hidden_size=500)
nn.summary(three, (3, 32, 32))

# %% [markdown]
# Look where the numbers are. Almost all **parameters** sit in the first linear layer, almost all the **work** and
# the **memory** in the convolution. That is typical, and it is why later nets end in a very small linear layer.
#
# First the ladder, as always: loss at the start, gradients, fifty pictures by heart.

# %%
ladder = checks.sanity_ladder(
    nn.ThreeLayerConvNet(num_filters=4, filter_size=3, hidden_size=32), ds
)

# %% [markdown]
# Now one single pass over the training pictures, with snapshots of the filters.

# %% tags=["nbval-ignore-output"]
clock = time.perf_counter()
first = train(three, ds, 1, 1e-3, batch_size=50)
seconds = time.perf_counter() - clock
one_epoch = first.history.epochs[-1]["val_accuracy"]
print(f"validation accuracy after one epoch: {one_epoch:.4f} ({seconds:.0f} s)")

# %%
expect("accuracy after one epoch over what is asked", one_epoch / plan.asked_after_one_epoch, low=1)

# %% [markdown]
# In twelve lines, with one convolution and one pass over the pictures, this is as good as lesson 1's second best after many epochs. What
# has the convolution learnt? Six epochs from another start, with the filters kept after each of
# them. They begin faint, with standard deviation 0.01, for noise stays where nothing pushes it away:

# %%
snapshots = atlas.WeightSnapshots(0)
watched = nn.ThreeLayerConvNet(num_filters=32, filter_size=7, hidden_size=500, init=0.01, seed=1)
six = train(
    watched, ds if plan.all_pictures else few, 6, 1e-3, batch_size=50, callbacks=[snapshots]
)
moved = np.array(
    [
        [np.linalg.norm(a - b) for a, b in zip(w, snapshots.weights[0], strict=True)]
        for w in snapshots.weights
    ]
)
most = np.argsort(-moved[-1])[:8]
plots.show(
    plots.filters_over_training(snapshots.weights, snapshots.epochs, filters=most),
    "Eight first-layer filters before training and after each of six epochs, on one colour scale. They begin "
    "as coloured noise; stripes and a colour blob appear within two epochs, and later ones only sharpen them.",
)


# %%
def roughness(weight):
    """Mean squared step between neighbouring weights, over their mean square: 2 for noise."""
    steps = ((np.diff(weight, axis=axis) ** 2).mean() for axis in (2, 3))
    return sum(steps) / 2 / (weight**2).mean()


start, end = snapshots.weights[0][most], snapshots.weights[-1][most]
expect("roughness of the filters at the start (noise: 2)", roughness(start), 1.7, 2.3)
expect("roughness of what six epochs added to them", roughness(end - start), high=1.6)

# %% [markdown]
# Nobody told the net about edges. It found them because they help, and they are the same few kinds that people had
# put into the table above: stripes at several angles, and blobs of one colour against another.
#
# ## 6. Deep, and how to start
#
# One layer of large filters, or several of small ones? Two 3 × 3 layers see 5 × 5 pixels, three see 7 × 7; they do it
# with fewer weights (27 against 49 a channel pair), and there is a ReLU after each. So nets since VGG (Simonyan and
# Zisserman, 2014) are deep stacks of 3 × 3 convolutions, with a pool now and then: `nn.DeepConvNet`.
#
# Depth brings back the trouble of lesson 2. What is the right size of initial weights for a convolution? An output
# is a sum of $C k_h k_w$ products, so that is the fan-in. The ReLU throws half of the variance away. To keep the signal's
# size, weights need the variance $2 / \text{fan-in}$ (He et al., 2015).
#
# ### Exercise: kaiming_normal_conv
# Difficulty 1/5 · importance 4/5 · 8 minutes
#
# For linear layers (out, in) and convolutions (out, in, kh, kw) alike.


# %%
def kaiming_normal_conv(shape, rng):
    """Normal weights of this shape for a layer before a ReLU."""
    ### BEGIN SOLUTION
    fan_in = np.prod(shape[1:])
    return rng.normal(size=shape) * np.sqrt(2 / fan_in)
    ### END SOLUTION


# %% tags=["exercise:kaiming_normal_conv"]
check("kaiming_normal_conv", kaiming_normal_conv)

# %% [markdown]
# <details><summary>Hint</summary>
#
# All axes but the first belong to one output. `rng.normal(size=shape)` has variance 1; multiply by the *root*.
#
# </details>
#
# Thirty convolutions and a linear layer, twelve channels wide, started three ways.
#
# <details><summary>Predict first: weights with standard deviation 0.03. By what factor does the signal change
# in each layer, and over thirty?</summary>
#
# The fan-in is $12 \cdot 9 = 108$. Each layer multiplies the size by $0.03 \cdot \sqrt{108 / 2} \approx 0.22$, and
# $0.22^{30} \approx 10^{-20}$. The gradient shrinks the same way. Kaiming's factor is 1 by design.
#
# </details>

# %%
DEPTH = plan.depth


def deep(settings, ds, seed):
    """Accuracy of a net of thirty convolutions."""
    net = nn.DeepConvNet(
        [12] * DEPTH,
        max_pools=[1, 4],
        batchnorm=settings["batchnorm"],
        init=settings["init"],
        seed=seed,
    )
    trainer = train(net, ds, settings["epochs"], settings["lr"], batch_size=50, seed=seed)
    return {key: trainer.history.epochs[-1][key] for key in ("train_accuracy", "val_accuracy")}


# %% tags=["nbval-ignore-output"]
by_start = training.study(
    deep,
    few,
    base={
        "batchnorm": False,
        "init": "kaiming",
        "epochs": plan.start_epochs,
        "lr": plan.start_rate,
    },
    arms={
        "sd 0.03": {"init": 0.03},
        "Kaiming": {},
        "Kaiming, batch norm": {"batchnorm": True},
    },
    varies=("init", "batchnorm"),
    seeds=min(seeds, 3),
    name=kept("start"),
)
by_start.summary("val_accuracy").drop(columns=["diverged"]).round(3)

# %%
plots.show(
    plots.study(
        by_start.frame(),
        x="arm",
        y="val_accuracy",
        xlabel="start",
        ylabel="validation accuracy",
        chance=0.1,
    ),
    "Validation accuracy of thirty-one layers for three starts, every seed a dot. With sd 0.03 all seeds "
    "stay at chance; Kaiming's start learns with every seed; batch norm on top of it is slower.",
)

# %%
start = {name: level(by_start, arm=name) for name in by_start.frame()["arm"].unique()}
expect("sd 0.03: validation accuracy", start["sd 0.03"], high=0.15)
expect(
    "better of the Kaiming starts minus sd 0.03",
    max(start["Kaiming"], start["Kaiming, batch norm"]) - start["sd 0.03"],
    low=0.05,
)

# %% [markdown]
# The formula decides whether the net starts at all: with 0.03 in place of 0.14 nothing is learnt, with any seed.
#
# And batch norm? At this rate and depth it is far *behind*, as it was in lesson 2 for ten layers. Going back through
# batch norm after ReLU after batch norm, gradients grow by a constant factor a layer (Yang et al., 2019), and thirty
# factors are many. Remember that when you read that batch norm makes deep nets trainable. It forgives a bad scale and a
# bold rate; what makes thirty layers pay are the shortcuts of lesson 5.
#
# (Kaiming's argument has a hole of its own here: the zeros of the padding count as inputs and bring nothing. At the border
# of a map the signal shrinks, and on small maps everything is border. That is why this net stays at 8 × 8.)
#
# ## 7. Normalise maps
#
# Batch norm for a convolution follows from one thought: a channel is *one* feature, found at many places. So each
# channel has one mean and one variance, over all pictures **and all places**, and one pair $\gamma, \beta$. With that the
# statistics rest on $N H W$ numbers; a batch of four pictures is large.
#
# ### Exercise: batch_norm2d
# Difficulty 2/5 · importance 4/5 · 20 minutes
#
# Forward and backward for $(N, C, H, W)$. Two ways: think of all places as pictures and reuse lesson 2's formulas, or
# write the sums over axes 0, 2 and 3. Conventions are lesson 2's: `momentum` is the weight of the new batch, the running
# variance is unbiased.


# %%
def batch_norm2d_forward(
    x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5
):
    """Batch norm of x (N, C, H, W): return out, cache, running_mean, running_var."""
    ### BEGIN SOLUTION
    axes = (0, 2, 3)
    if training:
        count = x.size / x.shape[1]
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var * (count / (count - 1))
    else:
        mean, var = running_mean, running_var
    inv_std = 1 / np.sqrt(var + eps)
    xhat = (x - mean[:, None, None]) * inv_std[:, None, None]
    out = gamma[:, None, None] * xhat + beta[:, None, None]
    return out, (xhat, gamma, inv_std), running_mean, running_var
    ### END SOLUTION


def batch_norm2d_backward(dout, cache):
    """Gradients after a training forward: return dx, dgamma, dbeta."""
    ### BEGIN SOLUTION
    xhat, gamma, inv_std = cache
    axes = (0, 2, 3)
    dbeta = dout.sum(axis=axes)
    dgamma = (dout * xhat).sum(axis=axes)
    count = dout.size / dout.shape[1]
    centred = dout - (dbeta[:, None, None] + xhat * dgamma[:, None, None]) / count
    return centred * (gamma * inv_std)[:, None, None], dgamma, dbeta
    ### END SOLUTION


# %% tags=["exercise:batch_norm2d"]
check("batch_norm2d_forward", batch_norm2d_forward)
check("batch_norm2d_backward", batch_norm2d_forward, batch_norm2d_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.transpose(0, 2, 3, 1).reshape(-1, C)` has a row for every place. `gamma[:, None, None]` lines $C$ numbers up with
# $(N, C, H, W)$. The count in the backward formula is $N H W$.
#
# </details>
#
# ### Exercise: group_norm
# Difficulty 3/5 · importance 2/5 · 25 minutes
#
# Layer norm's cousin for maps (Wu and He, 2018), for batches too small for statistics: for each picture by itself, split
# the channels into groups and normalise each group over its channels and places. $\gamma$ and $\beta$ still belong to
# channels.


# %%
def group_norm_forward(x, gamma, beta, num_groups, eps=1e-5):
    """Group norm of x (N, C, H, W): return out, cache."""
    ### BEGIN SOLUTION
    groups = x.reshape(len(x), num_groups, -1)
    inv_std = 1 / np.sqrt(groups.var(axis=2, keepdims=True) + eps)
    xhat = ((groups - groups.mean(axis=2, keepdims=True)) * inv_std).reshape(x.shape)
    return gamma[:, None, None] * xhat + beta[:, None, None], (xhat, gamma, inv_std, num_groups)
    ### END SOLUTION


def group_norm_backward(dout, cache):
    """Gradients of group_norm_forward: return dx, dgamma, dbeta."""
    ### BEGIN SOLUTION
    xhat, gamma, inv_std, num_groups = cache
    shape = (len(dout), num_groups, -1)
    dgamma, dbeta = (dout * xhat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))
    dxhat = (dout * gamma[:, None, None]).reshape(shape)
    xhat = xhat.reshape(shape)
    dx = (
        dxhat
        - dxhat.mean(axis=2, keepdims=True)
        - xhat * (dxhat * xhat).mean(axis=2, keepdims=True)
    )
    return (dx * inv_std).reshape(dout.shape), dgamma, dbeta
    ### END SOLUTION


# %% tags=["exercise:group_norm"]
check("group_norm_forward", group_norm_forward)
check("group_norm_backward", group_norm_forward, group_norm_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.reshape(N, G, -1)` puts a group into a row. From there it is layer norm, but $\gamma$ is applied *before* the
# gradient reaches the groups.
#
# </details>
#
# ### Rate and batch norm, again
#
# Lesson 2 found for fully connected nets: batch norm moves the cliff, not the peak. Is it the same for a convolutional
# one? Eight rates, the same everything else, five seeds, momentum without a schedule.


# %%
def norm_and_rate(settings, ds, seed):
    """Accuracy of a small convolutional net trained by momentum at a constant rate."""
    net = nn.DeepConvNet([16, 32, 64], [0, 1, 2], batchnorm=settings["batchnorm"], seed=seed)
    trainer = training.Trainer(
        net,
        ds,
        optimizer=optim.SGD(net.parameters(), lr=settings["lr"], momentum=0.9),
        criterion=nn.CrossEntropyLoss(),
        batch_size=100,
        seed=seed,
        progress=False,
    )
    trainer.fit(settings["epochs"])
    return {"val_accuracy": trainer.history.epochs[-1]["val_accuracy"]}


# %% tags=["nbval-ignore-output"]
rates = [float(f"{r:.2g}") for r in plan.rates]
by_rate = training.study(
    norm_and_rate,
    few,
    base={"batchnorm": False, "lr": 0.01, "epochs": plan.rate_epochs},
    factors={"batchnorm": [False, True], "lr": rates},
    seeds=seeds,
    name=kept("rate"),
)
print(by_rate)

# %%
plots.show(
    plots.study(
        by_rate.frame().fillna({"val_accuracy": 0.1}),
        x="lr",
        y="val_accuracy",
        lines="batchnorm",
        labels={False: "plain", True: "batch norm"},
        xlabel="learning rate",
        ylabel="validation accuracy",
        log_x=True,
        chance=0.1,
    ),
    "Validation accuracy of a convolutional net against the learning rate, with 95 per cent bands. The plain net "
    "falls to chance at a rate three times lower than the one with batch norm, which is also higher at its best.",
)

# %%
best = {bn: max(level(by_rate, batchnorm=bn, lr=r) for r in rates) for bn in (False, True)}
mean = {bn: np.mean([level(by_rate, batchnorm=bn, lr=r) for r in rates]) for bn in (False, True)}
expect("best with batch norm minus best without", best[True] - best[False], low=0.0)
expect("mean over all rates, batch norm minus plain", mean[True] - mean[False], low=0.02)

# %% [markdown]
# Here batch norm is better at its best, too, by five points; but the cliff moves by a factor of three only, where in
# lesson 2 it was twenty. Why? Every layer is normalised, except one: the last linear layer. It takes 1,024 numbers, and
# its logits move by the rate times the sum of their squares. If that is what breaks first, a head with fewer inputs should
# stand the rates at which this one falls. *Global average pooling* takes the mean of each map, 64 numbers in all:


# %%
def with_mean_head(net):
    """The same convolutions; then the mean of each map, and a linear layer of those."""
    features = list(net)[:-2]  # without Flatten and Linear
    channels = len(net[-5].weight.data)
    return nn.Sequential(
        *features, nn.GlobalAvgPool2d(), nn.Linear(channels, 10, rng=np.random.default_rng(0))
    )


reached = {}
for name, head in (("all numbers", lambda net: net), ("means", with_mean_head)):
    net = head(nn.DeepConvNet([16, 32, 64], [0, 1, 2], batchnorm=True))
    bold = training.Trainer(
        net,
        few,
        optimizer=optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        criterion=nn.CrossEntropyLoss(),
        batch_size=plan.bold_batch,
        progress=False,
    )
    bold.fit(4)
    reached[name] = max(row["val_accuracy"] for row in bold.history.epochs)

# %% tags=["nbval-ignore-output"]
pd.Series(reached, name="validation accuracy at a rate of 0.1").round(3)

# %%
expect(
    "mean head minus full head at a rate of 0.1",
    reached["means"] - reached["all numbers"],
    low=0.03,
)

# %% [markdown]
# So it was the head. What a normalisation allows depends on what it does *not* normalise.
#
# ## 8. More pictures for nothing
#
# A mirrored cat is a cat. A cat moved by two pixels is a cat. To the net these are new pictures, with labels for
# free. `data.augment` holds the usual ways to make them:


# %%
def ways():
    """Ways to change a picture, by name."""
    flip, crop = augment.RandomHorizontalFlip(), augment.RandomCrop(4)
    return {
        "none": None,
        "flip": flip,
        "crop": crop,
        "flip and crop": augment.Compose([flip, crop]),
        "cutout": augment.Cutout(12),
        "colour": augment.ColorJitter(0.3, 0.3, 0.3),
    }


rows = []
for way in ways().values():
    rng = np.random.default_rng(1)
    rows += [few.train.images[12:20] if way is None else way(few.train.images[12:20], rng)]
plots.show(
    plots.image_grid(np.concatenate(rows), columns=8, row_labels=list(ways())),
    "Eight pictures, and each of them after five kinds of augmentation: some mirrored, moved by a few pixels, both, "
    "with a blank square, with other brightness and colours. You would name them all as before.",
    format="jpeg",
)

# %% [markdown]
# ### Exercise: random_crop
# Difficulty 3/5 · importance 3/5 · 20 minutes
#
# Widen each picture by `padding` pixels on all sides, mirroring what lies at the border (`np.pad` calls that
# `reflect`), and cut a window of the old size out of it, at a random place of its own for every picture. The choice is
# uniform: every place is equally likely, the first and the last included.


# %%
def random_crop(images, padding, rng):
    """Each of images (N, C, H, W) moved by up to padding pixels: return (N, C, H, W)."""
    ### BEGIN SOLUTION
    n, _, h, w = images.shape
    frame = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(images, frame, mode="reflect"), (h, w), axis=(2, 3)
    )
    top, left = rng.integers(0, 2 * padding + 1, size=(2, n))
    return windows[np.arange(n), :, top, left]
    ### END SOLUTION


# %% tags=["exercise:random_crop"]
check("random_crop", random_crop)

# %% [markdown]
# <details><summary>Hint</summary>
#
# There are $2p + 1$ places in each direction, and `rng.integers` leaves its upper end out. With
# `sliding_window_view` one indexing does it for all pictures; a loop over pictures is fine as well.
#
# </details>
#
# What do they do? Same net, same number of steps, five seeds. We look at accuracy on the *unchanged* training
# pictures and on the validation set, and at the gap between them.
#
# <details><summary>Predict first: which way closes the gap most, and which helps most?</summary>
#
# Whatever makes the pictures most varied closes the gap most; it also makes the task harder. What helps is variety
# of the kind that the test set has. Objects in the test set do face left or right and lie off the centre;
# they have no blank squares.
#
# </details>


# %%
def augmented(settings, ds, seed):
    """Accuracy on unchanged pictures after training on changed ones."""
    net = nn.DeepConvNet(settings["filters"], [0, 1, 2], batchnorm=True, seed=seed)
    trainer = train(net, ds, settings["epochs"], 3e-3, augment=ways()[settings["way"]], seed=seed)
    return {
        "train_accuracy": trainer.evaluate(ds.train)["accuracy"],
        "val_accuracy": trainer.evaluate(ds.val)["accuracy"],
    }


# %% tags=["nbval-ignore-output"]
by_way = training.study(
    augmented,
    few,
    base={
        "way": "none",
        "filters": plan.augment_filters,
        "epochs": plan.augment_epochs,
    },
    factors={"way": plan.ways},
    seeds=min(seeds, 3),
    data_factors=("way",),
    name=kept("augment"),
)
table = pd.DataFrame(
    {m: by_way.summary(m).set_index("way")["mean"] for m in ("train_accuracy", "val_accuracy")}
)
table["gap"] = table["train_accuracy"] - table["val_accuracy"]
table.round(3)

# %%
gaps = by_way.frame()
gaps["gap"] = gaps["train_accuracy"] - gaps["val_accuracy"]
for y, ylabel, alt in (
    (
        "val_accuracy",
        "validation accuracy",
        "Validation accuracy for several ways to augment, every seed a dot. Flips and crops together are best.",
    ),
    (
        "gap",
        "training minus validation accuracy",
        "Gap between training and validation accuracy for several ways to augment. Every way makes it smaller than none; "
        "flips and crops together most of all.",
    ),
):
    plots.show(plots.study(gaps, x="way", y=y, xlabel="augmentation", ylabel=ylabel), alt)

# %%
gain = table["val_accuracy"]["flip and crop"] - table["val_accuracy"]["none"]
allowed = plan.augment_allowed  # a short run is too short for harder pictures
expect("flip and crop: gain in validation accuracy, with what is allowed", gain + allowed, low=0)
expect(
    "gap with flip and crop over gap without",
    table["gap"]["flip and crop"] / table["gap"]["none"],
    high=0.9,
)

# %% [markdown]
# Flips are worth four points, crops five, both together six, and the gap shrinks from almost forty points to six. Cutout and
# colour bring about two. They make the pictures more varied as well, but in ways in which the validation pictures do not
# vary. (In long trainings of large nets cutout does help more. The budget is part of the answer.) And note what a gap is
# worth by itself: crops alone close most of it and win less than half a point less than both.
#
# ## 9. The best net of this lesson
#
# Everything so far, and three ideas more.
#
# **Whiten the patches.** Lesson 1 turned whole pictures onto their principal components. A convolution can do that to
# every patch of 2 × 2 pixels, with twelve filters that are computed and not learnt, and their negatives, so that the ReLU
# behind loses nothing (Page, 2019). Before you read on: which kinds of filters will come out?
#
# **Start as the identity.** Set the first filters of each layer so that they hand their input on unchanged. At the start the
# deep net is then nearly a shallow one, and every layer sees pictures from the first step on (Jordan, 2024).
#
# **Pool first.** ReLU keeps the order of numbers, so the largest of four after ReLU is ReLU of the largest. The pool may as
# well stand right behind the convolution, and batch norm and ReLU have a quarter of the numbers to work on.

# %% tags=["nbval-ignore-output"]
WIDTHS = plan.champion_widths
POOLS = plan.champion_pools


def identity_first(shape, *, rng, dtype=np.float32):
    """Small random filters, the first of which hand a channel on unchanged."""
    weight = nn.init.torch_default(shape, rng=rng, dtype=dtype)
    if len(shape) == 4:  # a convolution
        same = min(shape[:2])
        weight[:same] = nn.init.dirac((same, *shape[1:]), dtype=dtype)
    return weight


def whitened_net(ds, seed):
    """A convolution that whitens patches, of which only the bias is learnt, and a DeepConvNet."""
    whiten = nn.Conv2d(3, 24, 2, init=0.0)
    whiten.weight.data[...] = nn.patch_whitening(ds.normalize(ds.train.images[:5_000]), 2)
    whiten.weight.requires_grad = False
    net = nn.DeepConvNet(
        WIDTHS,
        POOLS,
        batchnorm=True,
        pool_first=True,
        init=identity_first,
        input_shape=(24, 31, 31),
        seed=seed,
    )
    return nn.Sequential(whiten, nn.ReLU(), *net)


champion_net = whitened_net(ds, seed=0)
bill = nn.summary(champion_net, (3, 32, 32))
bill.drop(columns=["cache bytes"])

# %%
total = bill.loc["total"]
expect("multiply-adds for each parameter", total["MACs"] / total["parameters"], low=50)

# %% [markdown]
# A fifteenth of the parameters of lesson 2's best net, and five times its multiplications.


# %%
def fit_well(net, ds, epochs, lr, seed=0):
    """Nesterov's momentum, one cycle, label smoothing, flips and crops; return the trainer."""
    rule = optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * -(-len(ds.train) // 256)
    trainer = training.Trainer(
        net,
        ds,
        optimizer=rule,
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        scheduler=optim.OneCycleLR(rule, lr, steps, cycle_momentum=False),
        batch_size=256,
        augment=augment.Compose([augment.RandomHorizontalFlip(), augment.RandomCrop(2)]),
        seed=seed,
        progress=False,
    )
    trainer.fit(epochs)
    return trainer


# %% tags=["nbval-ignore-output"]
clock = time.perf_counter()
champion = fit_well(
    champion_net,
    ds if plan.all_pictures else few,
    epochs=plan.champion_epochs,
    lr=plan.champion_rate,
)
seconds = time.perf_counter() - clock
plots.show(
    plots.learning_curves({"": champion.history}),
    "Loss falls and both accuracies rise over the whole cycle, fastest at its end.",
)

# %%
final = champion.history.epochs[-1]
expect(
    "validation accuracy over what this budget asks for", final["val_accuracy"] / plan.asked, low=1
)

# %% [markdown]
# The test set, once:

# %% tags=["nbval-ignore-output"]
test = champion.evaluate(ds.test)["accuracy"]
print(f"test accuracy: {test:.4f} after {seconds:.0f} s of training")

# %%
expect("difference of validation and test accuracy", abs(test - final["val_accuracy"]), high=0.06)

# %% [markdown]
# One run is one draw. `benchmarks/cnn_best.py` repeats it with three seeds: **90.3 ± 0.2 %** on the test set (mean and
# standard deviation), 22 points above lesson 2's best net, with a fifteenth of its parameters and half of its epochs. A
# run took just under ten minutes on two cores.
#
# ## 10. The filter atlas
#
# People say that nobody knows what goes on in a net. We have the net, every weight and every number that it computes. What
# is hard is not to look but to ask well. Six questions, from the first layer to the last.
#
# ### Which filters work, and which do not?
#
# The three-layer net of part 5 has filters of 7 × 7, large enough to see. All are drawn on *one* colour scale: scaled one by
# one, a filter that never woke up would look as lively as any. A filter is *dead* if its ReLU never fires on a thousand
# pictures, and two are *duplicates* if the cosine of the angle between them is above 0.9.

# %%
pictures = few.val.images[:500]
x = ds.normalize(pictures)


def filters_of(net):
    """First-layer filters, numbers of the dead ones, and pairs of duplicates."""
    first, relu = list(atlas.chain(net).items())[:2]
    dead = np.flatnonzero(atlas.firing_rates(net, x, relu[0]) == 0)
    weight = first[1].weight.data
    return weight, dead, atlas.duplicate_filters(weight)


weight, dead, twins = filters_of(watched)
plots.show(
    plots.filter_sheet(weight, dead=dead, duplicates=twins),
    "Thirty-two trained filters on one colour scale. Most show stripes at some angle, in grey or in colour, or a "
    "blob of one colour beside another; some stayed pale.",
)

# %%
expect("share of filters that are dead", len(dead) / len(weight), high=0.3)

# %% [markdown]
# None or nearly none is idle. Let us break it: the same net, with a rate forty times higher, for one epoch with few
# pictures. The first steps are so large that they throw many filters the same way, and they end as copies of one another,
# patches of one colour. Worse is a step that pushes a filter so far down that its ReLU is off on *every* picture: then its
# gradient is zero, and nothing will ever bring it back.

# %%
rash = nn.ThreeLayerConvNet(num_filters=32, filter_size=7, hidden_size=500, init=0.01, seed=1)
train(rash, few, 1, 0.04, batch_size=50)
weight, killed, twins = filters_of(rash)
plots.show(
    plots.filter_sheet(weight, dead=killed, duplicates=twins),
    "The filters of the same net after training with a rate forty times higher. Most have become pale or even "
    "patches of one colour, many of them signed as dead or as near copies of others; hardly any shows an edge.",
)

# %%
expect("idle filters at the rash rate: dead, or one of a pair", len(killed) + len(twins), low=1)

# %% [markdown]
# The filters that were *computed*, for comparison: the whitening layer of the best net. They are the principal components of
# patches, the most common first: brightness and a colour, then slopes down and across, at the end opposite colours side by
# side. Learnt and computed filters agree on what matters in a small patch of the world.

# %%
whitening = atlas.chain(champion_net)["0.Conv2d"].weight.data[:12]
scaled = whitening / abs(whitening).max(axis=(1, 2, 3), keepdims=True)
plots.show(
    plots.filter_sheet(scaled, columns=6),
    "Twelve whitening filters of 2 by 2 pixels, each scaled by itself: plain brightness, a plain colour, slopes from top to bottom and "
    "from left to right, another colour, a chequerboard, and then pairs of opposite colours.",
)

# %% [markdown]
# ### What becomes of a picture?
#
# The same picture after each ReLU of the best net. Early maps are pictures of edges and still look like the input. Deep ones
# are coarse and sparse: each says whether and roughly where it found *its* thing.

# %%
chosen = next(i for i in range(len(pictures)) if few.val.labels[i] == 7)
names = [name for name in atlas.chain(champion_net) if name.endswith("ReLU")]
maps = {
    name: out[0]
    for name, out in atlas.feature_maps(champion_net, x[chosen : chosen + 1], names).items()
}
plots.show(
    plots.activation_maps(pictures[chosen], maps),
    "A picture of a horse and the eight strongest maps of each layer, one row a layer. The first rows show its outlines from several "
    "sides; further down the maps become coarser and emptier, until a few bright squares are left.",
)

# %%
share = [float((out > 0).mean()) for out in maps.values()]
expect(
    "share of the last layer's numbers above zero, over the first's", share[-1] / share[0], high=0.9
)

# %% [markdown]
# ### How much does a unit see?
#
# ### Exercise: receptive_field
# Difficulty 2/5 · importance 3/5 · 15 minutes
#
# One unit of the last layer depends on a square of the input. Its side, and the distance between the squares of neighbouring
# units (the *jump*), follow layer by layer: a kernel of $k$ reaches $k - 1$ jumps further, and a stride $s$ makes the jump
# $s$ times as long. Pools count as well.


# %%
def receptive_field(layers):
    """Side and jump in input pixels behind layers [(kernel, stride), ...], first layer first."""
    ### BEGIN SOLUTION
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump
    ### END SOLUTION


# %% tags=["exercise:receptive_field"]
check("receptive_field", receptive_field)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The order matters: a layer's reach is counted in the jump *before* its own stride.
#
# </details>

# %% tags=["nbval-ignore-output", "needs:receptive_field"]
path = [
    (layer.kernel_size[0], layer.stride[0])
    for layer in atlas.chain(champion_net).values()
    if hasattr(layer, "kernel_size")
]
for depth in range(1, len(path) + 1):
    print(depth, path[depth - 1], receptive_field(path[:depth]))

# %% tags=["needs:receptive_field"]
expect("side of what a unit of the last map sees", receptive_field(path)[0], low=20)

# %% [markdown]
# ### What excites a unit most?
#
# Search all pictures for the place where a unit's output is largest, and cut out what it saw there.

# %%
layer = [name for name in atlas.chain(champion_net) if name.endswith("ReLU")][plan.middle_layer]
many = ds.val.images[:3_000]
rates = atlas.firing_rates(champion_net, ds.normalize(many[:500]), layer)
units = np.argsort(abs(rates - 0.05))[:6]  # neither dead nor always on
top = atlas.top_patches(champion_net, ds.normalize(many), layer, units, k=6)
plots.show(
    plots.top_patches(many, top.pictures, top.boxes, top.units),
    "Six units of a middle layer and the six patches that excite each most, with the pictures that they were cut from. Patches in a row "
    "resemble one another: the same edge, spot or colour in the same place.",
    format="jpeg",
)

# %% [markdown]
# ### Which pixels made the decision?
#
# Three answers to one question. **Occlusion** is the plainest: hide a square, and see how far the score of the class falls.
#
# ### Exercise: occlusion_map
# Difficulty 2/5 · importance 4/5 · 20 minutes
#
# Slide a square of `size` pixels over the picture in steps of `stride`, fill it with `fill`, and write down
# score(original) − score(occluded). Only squares that lie inside count. `score` takes a *batch* $(N, C, H, W)$.


# %%
def occlusion_map(score, image, size, stride, fill):
    """How far the score of image (C, H, W) falls behind each square: return (rows, columns)."""
    ### BEGIN SOLUTION
    _, h, w = image.shape
    tops, lefts = range(0, h - size + 1, stride), range(0, w - size + 1, stride)
    hidden = np.repeat(image[None], len(tops) * len(lefts), axis=0)
    for picture, (top, left) in zip(hidden, product(tops, lefts), strict=True):
        picture[:, top : top + size, left : left + size] = fill
    return (score(image[None])[0] - score(hidden)).reshape(len(tops), len(lefts))
    ### END SOLUTION


# %% tags=["exercise:occlusion_map"]
check("occlusion_map", occlusion_map)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Copy the picture for every place, or the squares add up. As many squares fit as windows fit in a pool.
#
# </details>
#
# **Saliency** asks for the gradient of the score with respect to each pixel: what a *tiny* change would do (Simonyan et al., 2014).
# It costs one backward pass in place of hundreds of forward ones. **Grad-CAM** (Selvaraju et al., 2017) goes back only to the
# last maps. Each map is weighted by the mean of its gradient, how much it speaks for the class, and the weighted maps are added;
# what is negative speaks for other classes and is cut off.
#
# ### Exercise: grad_cam
# Difficulty 2/5 · importance 3/5 · 12 minutes
#
# From the maps of one picture and the gradient of the class score with respect to them, both $(C, H, W)$.


# %%
def grad_cam(activations, gradients):
    """Grad-CAM of one picture: return (H, W), at least 0, with a largest value of 1."""
    ### BEGIN SOLUTION
    weights = gradients.mean(axis=(1, 2))
    heat = np.maximum(np.tensordot(weights, activations, axes=1), 0)
    return heat / heat.max() if heat.max() > 0 else heat
    ### END SOLUTION


# %% tags=["exercise:grad_cam"]
check("grad_cam", grad_cam)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First the mean over places, one weight a map; then the weighted sum over maps; then the ReLU. A picture in which nothing
# speaks for the class stays all zero.
#
# </details>
#
# All three on pictures that the best net gets right:

# %%
logits = atlas.layer_outputs(champion_net, x, -1)
right = np.flatnonzero(logits.argmax(axis=1) == few.val.labels[: len(x)])
shown = np.array(
    [right[few.val.labels[right] == c][0] for c in np.unique(few.val.labels[right])[:5]]
)
labels = few.val.labels[shown]
heats = {
    "occlusion": atlas.occlusion(champion_net, x[shown], labels, size=8, stride=2),
    "saliency": atlas.saliency(champion_net, x[shown], labels),
    "Grad-CAM": atlas.grad_cam(champion_net, x[shown], labels, names[-1]),
}
plots.show(
    plots.heat_overlays(pictures[shown], heats, [ds.class_names[c] for c in labels]),
    "Five pictures and what spoke for their class, by three methods. Occlusion marks the object or a part of it; saliency is a scatter "
    "of dots, denser on the object; Grad-CAM marks a third of the picture or more.",
    format="jpeg",
)

# %% [markdown]
# Occlusion says what the net would miss, at the price of hundreds of forward passes, and depends on size and colour of the
# square. Saliency is exact and hard to read: the gradient of a net of ReLUs is rough, and a pixel that matters may lie where
# the score is flat at the moment. Grad-CAM is smooth because its maps have few cells; it cannot point to anything finer, and
# it needs a deep layer, whose channels mean something. Where the three agree you may begin to believe.
#
# Is such a map to be believed? A test that costs nothing (Adebayo et al., 2018): ask a net with **random weights**. If its map
# looks as convincing, the map shows the picture and not the net.

# %%
blank = whitened_net(ds, seed=5)
blank(x[:200])  # batch norm has seen some pictures
again = {
    "trained": atlas.occlusion(champion_net, x[shown], labels, size=8, stride=2),
    "untrained": atlas.occlusion(blank, x[shown], labels, size=8, stride=2),
}
agreement = [likeness(a, b) for a, b in zip(*again.values(), strict=True)]
expect("mean correlation of the maps of trained and untrained net", np.mean(agreement), high=0.6)

# %% [markdown]
# ### Where is it wrong?
#
# A confusion matrix says how often. The pictures behind its largest cells say why.

# %%
test_logits = atlas.layer_outputs(champion_net, ds.normalize(ds.test.images), -1)
cells = atlas.confusions(test_logits, ds.test.labels, cells=5, pictures=6)
plots.show(
    plots.confusion_gallery(
        ds.test.images,
        ds.test.labels,
        test_logits.argmax(axis=1),
        ds.class_names,
        [cell.pictures for cell in cells],
        confidence=F.softmax(test_logits).max(axis=1),
    ),
    "Confusion matrix of the best net on the test set, beside the pictures of its five largest mistakes, the surest first. Most mistakes "
    "are between animals with four legs.",
    format="jpeg",
)

# %%
share = sum(cell.count for cell in cells) / (test_logits.argmax(axis=1) != ds.test.labels).sum()
expect("share of all mistakes in the five largest of ninety cells", share, low=0.1)

# %% [markdown]
# Look at the surest mistakes first. Some are hopeless at this size, some are odd, and on CIFAR-10 a few of the labels are
# plainly wrong. What is left tells what to do next: cats and dogs are told apart by details of a few pixels, so a finer
# first layer may help there; a plane on the ground taken for a ship wants context.
#
# ### The running table

# %% tags=["nbval-ignore-output"]
pd.DataFrame(
    [
        {
            "net": "patch whitening, DeepConvNet " + "-".join(map(str, WIDTHS)) + ", batch norm",
            "parameters": f"{total['parameters']:,}",
            "MACs a picture": f"{total['MACs']:,}",
            "data": ds.name,
            "test accuracy": f"{test:.3f}",
            "training": f"{seconds:.0f} s",
        }
    ]
)

# %% [markdown]
# ## What differs from older courses
#
# | | here, as in PyTorch | elsewhere you may meet |
# |---|---|---|
# | convolution | the kernel is not flipped | flipped, as in mathematics and `scipy.signal` |
# | max pooling, ties | the gradient goes to the first | to all of them, or shared |
# | padding of a crop | mirrored border | black border |
# | batch norm for maps | one pair for each channel | the same, called "spatial" |
# | `kaiming` for convolutions | fan-in is $C k_h k_w$ | the window is forgotten |
# | layout in memory | channels last inside, $(N, C, H, W)$ outside | channels first |
#
# ## Where to go from here
#
# - Give the three-layer net kernels of 3, 5, 7, 9 and 11, with a study. Which size is best, and at what price?
# - Replace all but the first pool by a stride of 2 in the convolution before it.
# - Train on pictures, test on their edges (part 2). How much of what the net knows is texture?
# - Speed: write `conv_im2col` for small blocks of pictures, so that a block's matrix fits in the cache.
#
# **Next:** lesson 4 takes all this to PyTorch, and proves that both compute the same.
#
# ### Sources
#
# LeCun et al. 1998 (convolutional nets) · Simonyan and Zisserman 2014 (VGG) · He et al. 2015 (initialisation) · Ioffe and Szegedy
# 2015 (batch norm) · Wu and He 2018 (group norm) · DeVries and Taylor 2017 (cutout) · Page 2019 (patch whitening) · Jordan 2024
# (identity start) · Zeiler and Fergus 2014 (occlusion, top patches) · Simonyan et al. 2014 (saliency) · Selvaraju
# et al. 2017 (Grad-CAM) · Adebayo et al. 2018 (are maps to be believed) · Chellapilla et al. 2006 (im2col).

# %% tags=["nbval-ignore-output"]
print(f"this notebook took {time.perf_counter() - started:.0f} s")
