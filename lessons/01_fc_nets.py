# %% [markdown]
# # Fully connected networks
#
# {{badge}}
#
# From one matrix product to the best net that matrix products alone can give. You write every
# piece yourself, forward and backward, in NumPy; each piece is checked against inputs chosen to
# break it; and every claim about training is measured, not quoted.
#
# **When you are through, you can**
#
# - derive the gradient of any net made of matrix products, and prove that your derivation is right;
# - tell from the first loss, and from fifty pictures, whether a net is wired correctly;
# - say what initialisation, learning rate, batch size and update rule do, from curves you drew;
# - find settings by cross-validated search, and report a test accuracy you can stand behind.
#
# **You need** Python, NumPy broadcasting, the chain rule. **Time:** about an hour to read, three
# to four with the exercises. **Data:** CIFAR-10, or a bundled stand-in where there is no network.
#
# | Part | You break | You repair it with |
# |---|---|---|
# | 1–2 | a linear classifier, which cannot bend | a second layer |
# | 3–5 | your own gradient, on purpose | a check that finds the mistake |
# | 6–7 | a deep net that does not start | initial weights of the right size |
# | 8–9 | a descent that zigzags or explodes | momentum, Adam, the right rate |
# | 10–12 | a net that learns by heart | weight decay, more pictures, a search |
#
# **Exercises** come in a fixed form: a function to write, a check right below it, then a hint and
# (in the edition to fill in) a solution, both folded. A check that fails says on
# which input, what was expected, and which well-known mistake it looks like. An exercise can wait:
# where a function is not written yet, its check says so and the lesson goes on with the course's own.

# %%
# {{setup}}

# %%
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from coursekit import checks, data, lesson, nn, optim, plots, training
from coursekit import functional as F
from coursekit.checks import check, expect

started = time.perf_counter()

# %% tags=["nbval-ignore-output"]
ds = data.load()
plan = lesson.Plan(
    ds,
    minutes=(18, 3, 9, 3),
    neighbours=(10_000, 2_000, 9_000, 2_000),
    linear_epochs=(8, 4, 8, 4),
    small=(10_000, 2_000, 8_000, 2_000),
    seeds=(3, 2, 3, 2),
    hidden=(256, 64, 256, 64),
    gain_width=(100, 50, 100, 50),
    race_epochs=(5, 4, 5, 4),
    pca_pictures=(10_000, 2_000, 9_000, 2_000),
    directions=(512, 128, 512, 128),
    rate_factor=(2, 4, 2, 4),
    rates=(11, 6, 11, 6),
    rate_epochs=(2, 1, 2, 1),
    rates_to_fourfold=(2, 1, 2, 1),
    schedule_epochs=(8, 5, 8, 5),
    scarce=(2_000, 500, 2_000, 500),
    scarce_epochs=(40, 30, 40, 30),
    decays=(7, 4, 7, 4),
    augment_epochs=(12, 8, 12, 8),
    search_hidden=([64, 128, 256, 512], [32, 64], [64, 128, 256, 512], [32, 64]),
    search_epochs=(6, 2, 6, 2),
    search_tries=(16, 5, 16, 5),
    best_widths=([2048, 1024, 10], [256, 128, 10], [2048, 1024, 10], [256, 128, 10]),
    best_epochs=(30, 6, 30, 6),
    asked=(0.64, 0.35, 0.5, 0.35),
)
print(plan)

# %% [markdown]
# ## 1. Look at the data
#
# CIFAR-10 is sixty thousand photographs of 32×32 pixels in ten classes. The course keeps them as
# bytes and turns a batch into floating-point numbers only when it is drawn: a quarter of the
# memory, and no waiting.
#
# Fifty thousand pictures are for training. We hold some of them back as **validation** pictures,
# to compare settings on. The **test** pictures stay out of sight until the very end, when they
# are used once.

# %% tags=["nbval-ignore-output"]
print(ds)
print("mean and standard deviation by channel:", ds.mean.round(3), ds.std.round(3))

# %%
x, y = next(ds.batches(ds.train, 6))
print("a batch:", x.shape, x.dtype, "labels:", y.shape, y.dtype)
print("classes:", ", ".join(ds.class_names))

# %% [markdown]
# Always look before you compute. A sheet of random pictures, a row for each class:

# %%
chosen = np.concatenate([np.flatnonzero(ds.train.labels == c)[:12] for c in range(10)])
fig = plots.image_grid(ds.train.images[chosen], columns=12, row_labels=ds.class_names)
plots.show(
    fig,
    "Twelve training pictures of each class. Within a class colours, backgrounds and poses differ "
    "widely; cats and dogs, or cars and trucks, look more alike than two pictures of one class.",
    format="jpeg",
)

# %% [markdown]
# Averaging all pictures of a class leaves what they share in *place* and *colour*.

# %%
means = np.stack([ds.train.images[ds.train.labels == c].mean(axis=0) / 255 for c in range(10)])
fig = plots.image_grid(means, columns=5, titles=ds.class_names, size=1.0)
plots.show(
    fig,
    "The mean picture of each class is a blur: a bluish field for airplanes and ships, a darker "
    "blob on a ground for vehicles, brown and green clouds for animals.",
    format="jpeg",
)

# %% [markdown]
# The blurs say two things. Something can be read from colour and place alone, and it will not be
# much.
#
# ### Nearest neighbours fail
#
# The simplest classifier learns nothing: it looks for the training picture that differs least,
# pixel by pixel, and copies its label.
#
# <details><summary>Predict first: guessing is right in 10 % of all cases. How often is the nearest
# of ten thousand neighbours right?</summary>
#
# On CIFAR-10 about 3 times in 10. Pixel distance mostly compares backgrounds: a frog on snow is
# closer to a ship in fog than to a frog in grass.
#
# </details>

# %% tags=["nbval-ignore-output"]
from sklearn.neighbors import KNeighborsClassifier

few = plan.neighbours
pixels = ds.train.images[:few].reshape(few, -1).astype(np.float32)
queries = ds.val.images[:500].reshape(500, -1).astype(np.float32)
neighbours = KNeighborsClassifier(1, algorithm="brute").fit(pixels, ds.train.labels[:few])
knn_accuracy = neighbours.score(queries, ds.val.labels[:500])
print(f"validation accuracy of the nearest neighbour: {knn_accuracy:.3f}")

# %%
expect("nearest-neighbour accuracy", knn_accuracy, 0.15, 0.50)

# %%
nearest = neighbours.kneighbors(queries[:4], n_neighbors=7, return_distance=False)
sheet = np.concatenate(
    [np.concatenate([ds.val.images[i : i + 1], ds.train.images[nearest[i]]]) for i in range(4)]
)
named = np.concatenate(
    [np.append(ds.val.labels[i], ds.train.labels[:few][nearest[i]]) for i in range(4)]
)
fig = plots.image_grid(sheet, columns=8, titles=[ds.class_names[c] for c in named], size=0.85)
plots.show(
    fig,
    "Four pictures, leftmost, each followed by its seven nearest neighbours in pixel distance. The "
    "neighbours share the background's colour and brightness, and mostly not the class.",
    format="jpeg",
)

# %% [markdown]
# ## 2. A linear classifier
#
# Instead of storing all pictures, learn one number for each class and pixel. With a picture laid
# out as a row $x$ of $D = 3072$ numbers, a weight matrix $W$ of shape $(10, D)$ and a bias $b$,
#
# $$z = x W^\top + b$$
#
# are ten **logits**, one score for each class. The **softmax** turns them into probabilities and
# the **cross-entropy** says how surprised they are by the true class $y$:
#
# $$p_j = \frac{e^{z_j}}{\sum_k e^{z_k}}, \qquad L = -\log p_y .$$
#
# **What should the loss be before any learning?** With tiny weights all logits are near zero,
# every class gets probability $1/10$, and the loss is $\log 10 \approx 2.303$. Any other first
# number means that something is wired wrongly. This is the cheapest test there is, and you will
# use it on every net of the course.
#
# The gradient is short. Differentiate $L = -z_y + \log \sum_k e^{z_k}$:
#
# $$\frac{\partial L}{\partial z_j} = p_j - [j = y].$$
#
# "What you said minus what was true". For a batch of $N$ pictures the loss is the mean, so each
# row of the gradient is divided by $N$.
#
# ### Exercise: softmax_cross_entropy
# Difficulty 2/5 · importance 5/5 · 15 minutes
#
# Write the loss and its gradient, here called `dlogits`, for a batch. One trap: $e^{1000}$ overflows. Subtracting the largest
# logit of a row from the whole row changes no probability. Why? And why is taking the logarithm
# of a probability that was rounded to 0 still a mistake?


# %%
def softmax_cross_entropy(logits, targets):
    """Mean cross-entropy of logits (N, C) for classes (N,), and its gradient (N, C)."""
    ### BEGIN SOLUTION
    n = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probs[np.arange(n), targets].mean()
    dlogits = np.exp(log_probs)
    dlogits[np.arange(n), targets] -= 1
    return loss, dlogits / n
    ### END SOLUTION


# %% tags=["exercise:softmax_cross_entropy"]
check("softmax_cross_entropy", softmax_cross_entropy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Work with $\log p_j = (z_j - m) - \log \sum_k e^{z_k - m}$, where $m$ is the row's maximum. The
# logarithm is then never taken of a number below 1. `log_probs[np.arange(n), targets]` picks one
# entry of each row.
#
# </details>

# %% [markdown]
# Probabilities are not the only way to keep score. The **hinge loss** asks for a margin: the true
# class should beat every other by at least 1, and once it does, it stops pushing:
#
# $$L = \frac1C \sum_{j \ne y} \max(0,\; 1 - z_y + z_j).$$
#
# ### Exercise: multi_margin_loss
# Difficulty 2/5 · importance 2/5 · 15 minutes
#
# The mean over the batch, divided by the number of classes $C$ as PyTorch does, and its gradient.
# `margin` takes the place of the 1. Exactly at the margin the gradient is 0, as in PyTorch, and it
# has the dtype of `logits`.


# %%
def multi_margin_loss(logits, targets, margin=1.0):
    """Mean multiclass hinge loss of logits (N, C) for classes (N,), and its gradient (N, C)."""
    ### BEGIN SOLUTION
    n, c = logits.shape
    rows = np.arange(n)
    slack = np.maximum(0, margin - logits[rows, targets][:, None] + logits)
    slack[rows, targets] = 0
    dlogits = (slack > 0).astype(logits.dtype)
    dlogits[rows, targets] = -dlogits.sum(axis=1)
    return slack.sum() / (n * c), dlogits / (n * c)
    ### END SOLUTION


# %% tags=["exercise:multi_margin_loss"]
check("multi_margin_loss", multi_margin_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Every class whose margin is violated pulls its own logit down by one unit and pushes the true
# class up by one. So the true class's gradient is minus the number of violations.
#
# </details>

# %% [markdown]
# ### The layer itself
#
# For a batch $X$ of shape $(N, D)$ the layer is $Z = X W^\top + b$. Call the gradient that arrives
# from above $\mathrm{d}Z$, of the shape of $Z$. What leaves below?
#
# Take one weight. $W_{mk}$ touches only $Z_{nm}$, for every picture $n$, each time multiplied by
# $X_{nk}$. So its gradient is $\sum_n \mathrm{d}Z_{nm} X_{nk}$, which is entry $(m, k)$ of a matrix
# product. The same argument for one input and one bias gives
#
# $$\mathrm{d}W = \mathrm{d}Z^\top X, \qquad \mathrm{d}X = \mathrm{d}Z\, W, \qquad
# \mathrm{d}b = \sum_n \mathrm{d}Z_n .$$
#
# There is a check you can do in your head: a gradient has the shape of the thing it belongs to,
# and there is only one way to multiply these matrices so that the shapes fit.
#
# ### Exercise: linear
# Difficulty 2/5 · importance 5/5 · 15 minutes
#
# Every layer of the course is a pair of pure functions. The forward returns its output and a
# **cache** of what the backward will need; here the tuple `(x, w, b)`. Inputs are never changed.


# %%
def linear_forward(x, w, b):
    """Map x (N, D) by weights w (M, D) and biases b (M,) to out (N, M); also return the cache."""
    ### BEGIN SOLUTION
    return x @ w.T + b, (x, w, b)
    ### END SOLUTION


def linear_backward(dout, cache):
    """Turn dout (N, M) into the gradients dx (N, D), dw (M, D), db (M,)."""
    ### BEGIN SOLUTION
    x, w, _ = cache
    return dout @ w, dout.T @ x, dout.sum(axis=0)
    ### END SOLUTION


# %% tags=["exercise:linear"]
check("linear_forward", linear_forward)
check("linear_backward", linear_forward, linear_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Three lines in all. If the shapes fit in two ways because your test matrix is square, test with
# one that is not; the check does.
#
# </details>

# %% [markdown]
# ### Train it
#
# Gradient descent on random batches, with nothing hidden. From here on the lesson uses the
# course's own functions, the same as yours with error messages added. A little *weight decay* is
# mixed in to keep the weights readable as pictures; part 10 explains it.


# %%
def train_linear(epochs, lr, weight_decay=0.02, seed=0):
    """Train a softmax classifier; return its weights, biases and the loss of every step."""
    rng = np.random.default_rng(seed)
    w = nn.init.normal((10, ds.train.images[0].size), std=1e-3, rng=rng)
    b = np.zeros(10, np.float32)
    losses = []
    for _ in range(epochs):
        for images, labels in ds.batches(ds.train, 128, rng=rng):
            logits, cache = F.linear_forward(images.reshape(len(images), -1), w, b)
            loss, loss_cache = F.cross_entropy_forward(logits, labels)
            dlogits = F.cross_entropy_backward(loss_cache)
            _, dw, db = F.linear_backward(dlogits, cache, need_dx=False)
            w -= lr * (dw + weight_decay * w)
            b -= lr * db
            losses.append(loss)
    return w, b, losses


def linear_accuracy(w, b, split):
    """Share of a split's pictures whose largest logit is the right one."""
    flat = ds.normalize(split.images).reshape(len(split), -1)
    return float(((flat @ w.T + b).argmax(axis=1) == split.labels).mean())


# %% tags=["nbval-ignore-output"]
w, b, losses = train_linear(epochs=plan.linear_epochs, lr=2e-3)
linear_val = linear_accuracy(w, b, ds.val)
print(f"first loss {losses[0]:.3f}, mean of the last fifty {np.mean(losses[-50:]):.3f}")
print(f"validation accuracy {linear_val:.3f}")

# %%
expect("the first loss", losses[0], 2.25, 2.40)
expect("validation accuracy of the linear classifier", linear_val, 0.25, 0.50)

# %% [markdown]
# Each row of $W$ has one number for each pixel and colour, so it *is* a picture: the template the
# classifier holds against every photograph. Grey means "does not matter".

# %%
fig = plots.weight_images(w, ds.train.images.shape[1:], columns=5, titles=ds.class_names)
plots.show(
    fig,
    "The ten weight templates are blurred: colours of typical backgrounds and one smeared shape "
    "for each class, such as a wide dark form for vehicles.",
    format="jpeg",
)

# %% [markdown]
# ### Why this is not enough
#
# One template for each class has to serve a red car and a white one, a horse that looks left and
# one that looks right. A linear classifier can only add up evidence pixel by pixel; it cannot say
# "this colour matters *if* that edge is there". In two dimensions the same weakness is plain to
# see: it draws straight borders, whatever the data do.

# %%
rng = np.random.default_rng(0)
arm = np.repeat(np.arange(3), 100)
radius = np.tile(np.linspace(0.1, 1, 100), 3)
angle = 2.1 * arm + 4 * radius + 0.15 * rng.standard_normal(300)
spiral = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])


def fit_spiral(sizes, steps=600):
    """Train a net on the three arms of the spiral and return it."""
    net, criterion = nn.mlp(sizes, dtype=np.float64), nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        criterion(net(spiral), arm)
        optimizer.zero_grad()
        net.backward(criterion.backward())
        optimizer.step()
    return net


nets = {"linear": fit_spiral([2, 3]), "two layers": fit_spiral([2, 64, 3])}
fig = plots.decision_regions(
    {name: lambda p, net=net: net(p).argmax(axis=1) for name, net in nets.items()}, spiral, arm
)
plots.show(
    fig,
    "Three interleaved spiral arms. The linear classifier cuts the plane into three straight "
    "wedges and gets about half of the points; two layers bend their borders along the arms.",
)

# %%
expect("linear accuracy on the spiral", (nets["linear"](spiral).argmax(1) == arm).mean(), 0.4, 0.65)
expect(
    "two-layer accuracy on the spiral", (nets["two layers"](spiral).argmax(1) == arm).mean(), 0.95
)

# %% [markdown]
# The picture shows that two layers *can* bend. It does not show that they will find the right bend
# in 3072 dimensions; that is what the rest of this lesson is about.
#
# ## 3. Two layers, and their gradient derived twice
#
# Put a nonlinearity between two matrix products. Without it the product of two matrices would be
# one matrix, and nothing would be won. The **ReLU** is $\max(0, a)$:
#
# $$a = x W_1^\top + b_1, \qquad h = \max(0, a), \qquad z = h W_2^\top + b_2, \qquad
# L = \text{cross-entropy}(z, y).$$
#
# ### First derivation: on the graph
#
# Draw the computation, one simple step a node, with numbers small enough for pencil and paper:
# one input $x = 2$, weights $w_1 = -1$, $w_2 = 3$, biases $b_1 = 5$, $b_2 = 0$, and
# $L = \tfrac12 (z - 4)^2$ in place of the cross-entropy.
#
# ```text
#        w1=-1   b1=5             w2=3    b2=0
#          |      |                 |      |
#  x=2 -> (*) -> (+) -> [ReLU] -> (*) -> (+) -> [½(z-4)²]
#          u=-2   a=3     h=3      v=9    z=9     L=12.5
# ```
#
# Go back from right to left. At each node multiply what arrives by the node's own derivative:
#
# | value | gradient | because |
# |---|---|---|
# | $z$ | $z - 4 = 5$ | derivative of the square |
# | $b_2$ | $5$ | a sum passes the gradient on |
# | $w_2$ | $5 \cdot h = 15$ | a product hands each factor the other one |
# | $h$ | $5 \cdot w_2 = 15$ | the same, the other way |
# | $a$ | $15$ | $a > 0$, so the ReLU passes it; for $a \le 0$ it would be $0$ |
# | $b_1$ | $15$ | sum |
# | $w_1$ | $15 \cdot x = 30$ | product |
#
# That is all of backpropagation. Nothing was computed twice, and each node knew only its own rule.
#
# ### Second derivation: in matrices
#
# For a batch each node holds a matrix, and the rule for a product becomes the pair from part 2:
#
# $$\mathrm{d}z = (p - \text{onehot}(y)) / N$$
# $$\mathrm{d}W_2 = \mathrm{d}z^\top h, \quad \mathrm{d}b_2 = \textstyle\sum_n \mathrm{d}z_n, \quad
#   \mathrm{d}h = \mathrm{d}z\, W_2$$
# $$\mathrm{d}a = \mathrm{d}h \odot [a > 0]$$
# $$\mathrm{d}W_1 = \mathrm{d}a^\top x, \quad \mathrm{d}b_1 = \textstyle\sum_n \mathrm{d}a_n$$
#
# Line by line it is the table above, with sums over the batch where a weight was used more than
# once: **used $N$ times, blamed $N$ times.**
#
# ### Exercise: relu
# Difficulty 1/5 · importance 5/5 · 5 minutes
#
# What you keep in the cache is up to you. At exactly 0 the gradient is 0, as in PyTorch.


# %%
def relu_forward(x):
    """Return max(x, 0), same shape as x, and the cache."""
    ### BEGIN SOLUTION
    return np.maximum(x, 0), x > 0
    ### END SOLUTION


def relu_backward(dout, cache):
    """Pass dout on where the input was positive."""
    ### BEGIN SOLUTION
    return dout * cache
    ### END SOLUTION


# %% tags=["exercise:relu"]
check("relu_forward", relu_forward)
check("relu_backward", relu_forward, relu_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Multiplying by a boolean mask keeps the dtype. Changing `dout` in place would spoil it for the
# caller, and the check will notice.
#
# </details>
#
# ### Exercise: two_layer_loss
# Difficulty 3/5 · importance 5/5 · 25 minutes
#
# The whole net in one function: forward, loss, backward. Add an L2 penalty
# $\tfrac{\lambda}{2} (\lVert W_1 \rVert^2 + \lVert W_2 \rVert^2)$ on the weights, not on the
# biases. Use your functions from above.


# %%
def two_layer_loss(x, y, w1, b1, w2, b2, weight_decay):
    """Loss of a two-layer ReLU net and a dict of its gradients, keys w1, b1, w2, b2.

    x (N, D), y (N,), w1 (H, D), b1 (H,), w2 (C, H), b2 (C,).
    """
    ### BEGIN SOLUTION
    a, cache1 = linear_forward(x, w1, b1)
    h, cache_relu = relu_forward(a)
    logits, cache2 = linear_forward(h, w2, b2)
    loss, dlogits = softmax_cross_entropy(logits, y)
    loss += weight_decay / 2 * ((w1 * w1).sum() + (w2 * w2).sum())
    dh, dw2, db2 = linear_backward(dlogits, cache2)
    _, dw1, db1 = linear_backward(relu_backward(dh, cache_relu), cache1)
    grads = {"w1": dw1 + weight_decay * w1, "b1": db1, "w2": dw2 + weight_decay * w2, "b2": db2}
    return loss, grads
    ### END SOLUTION


# %% tags=["exercise:two_layer_loss"]
check("two_layer_loss", two_layer_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Backwards through what you called forwards, with the cache of each call. The penalty's gradient is
# $\lambda W$: the half in front of the sum is there to cancel the 2.
#
# </details>
#
# ## 4. Is the gradient right?
#
# A wrong gradient rarely crashes. It trains a bit worse, and you look for the reason everywhere
# else. So we test it against the definition of a derivative:
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}.$$
#
# The **central** difference is worth its second evaluation: its error shrinks with $h^2$, that of
# the one-sided difference only with $h$.
#
# ### Exercise: numerical_gradient
# Difficulty 2/5 · importance 4/5 · 15 minutes
#
# For an array of any shape, and leave `x` as it was.


# %%
def numerical_gradient(f, x, h=1e-5):
    """Gradient of f, which maps an array to a number, at x by central differences."""
    ### BEGIN SOLUTION
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        gradient[i] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient
    ### END SOLUTION


# %% tags=["exercise:numerical_gradient"]
check("numerical_gradient", numerical_gradient)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.ndindex(x.shape)` walks over all indices of an array of any shape, also of shape `()`.
#
# </details>
#
# Now use it on your net. **Expect** relative errors around $10^{-8}$; anything above $10^{-4}$ is
# a mistake, not rounding.

# %% tags=["needs:numerical_gradient", "needs:two_layer_loss"]
rng = np.random.default_rng(1)
tiny = {"w1": (7, 6), "b1": (7,), "w2": (4, 7), "b2": (4,)}
tiny = {name: rng.standard_normal(shape) for name, shape in tiny.items()}
tiny_x, tiny_y = rng.standard_normal((5, 6)), rng.integers(4, size=5)
_, grads = two_layer_loss(tiny_x, tiny_y, **tiny, weight_decay=0.1)
for name in tiny:
    slope = numerical_gradient(
        lambda value, name=name: two_layer_loss(
            tiny_x, tiny_y, **(tiny | {name: value}), weight_decay=0.1
        )[0],
        tiny[name],
    )
    error = np.abs(grads[name] - slope).max() / np.abs(slope).max()
    expect(f"largest relative error of {name}", error, high=1e-6)

# %% [markdown]
# ### A check that gives a verdict
#
# The course's `gradcheck` does this for any pair of functions and says PASS or FAIL. It works in
# double precision, recognises gradients that are zero by construction, steps around kinks, and
# also checks dtype, shapes, and that no input was touched.

# %%
rng = np.random.default_rng(2)
args = (rng.standard_normal((5, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3))
print(checks.gradcheck(F.linear_forward, F.linear_backward, *args))


# %% [markdown]
# And on a mistake that is easily made: the mean over the batch where the sum belongs.


# %%
def wrong_backward(dout, cache):
    """Average the bias gradient over the batch instead of adding it up."""
    dx, dw, db = F.linear_backward(dout, cache)
    return dx, dw, db / len(dout)


verdict = checks.gradcheck(F.linear_forward, wrong_backward, *args)
print("passed:", verdict.passed)
print("names the argument:", "b" in str(verdict))

# %% tags=["nbval-ignore-output"]
print(verdict)

# %% [markdown]
# It can also draw where the gradient is wrong. The left panel shows the mistake's place, here every
# entry of the bias; the right one shows that no choice of step explains it.

# %%
plots.show(
    verdict.plot(),
    "Left, the error of every entry of the bias gradient: all are as large as the gradient itself. "
    "Right, relative error against step size: for x and w tiny and growing as the step shrinks, for "
    "b large at every step.",
)

# %% [markdown]
# Which step $h$ should one take? Large steps see the curvature, small ones drown in rounding.
# Between them is a valley about four orders of magnitude wide, so nobody has to be precise.

# %%
steps = np.logspace(-13, 0, 40)
point = np.array([0.7])
truth = np.cos(point)[0]
central = [abs((np.sin(point + h) - np.sin(point - h))[0] / (2 * h) - truth) for h in steps]
one_sided = [abs((np.sin(point + h) - np.sin(point))[0] / h - truth) for h in steps]
fig, ax = plt.subplots(figsize=(7, 3))
for name, error in {"central difference": central, "one-sided difference": one_sided}.items():
    ax.loglog(steps, np.maximum(error, 1e-17), label=name, markevery=5)
ax.set(xlabel="step h", ylabel="error of the derivative of sin at 0.7")
ax.legend()
plots.show(
    fig,
    "Error against step size, both axes logarithmic: two valleys. From the right the central "
    "difference falls twice as steeply, to about 1e-11 near h = 1e-5; the one-sided one bottoms out "
    "near 1e-8. To the left of the valleys rounding makes both rise.",
)

# %% [markdown]
# ## 5. Any depth
#
# Nothing new is needed for ten layers. The backward pass walks the same list the other way.
#
# ### Exercise: mlp_loss
# Difficulty 3/5 · importance 4/5 · 25 minutes
#
# A net of any depth: linear layers with ReLU between them and none after the last. `weights` and
# `biases` are lists of equal length, at least 1.


# %%
def mlp_loss(x, y, weights, biases):
    """Loss, and gradients as two lists in the order of `weights` and `biases`."""
    ### BEGIN SOLUTION
    out, caches = x, []
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        relu_cache = None
        if i:
            out, relu_cache = relu_forward(out)
        out, linear_cache = linear_forward(out, w, b)
        caches.append((relu_cache, linear_cache))
    loss, dout = softmax_cross_entropy(out, y)
    dweights, dbiases = [], []
    for relu_cache, linear_cache in reversed(caches):
        dout, dw, db = linear_backward(dout, linear_cache)
        if relu_cache is not None:
            dout = relu_backward(dout, relu_cache)
        dweights.insert(0, dw)
        dbiases.insert(0, db)
    return loss, dweights, dbiases
    ### END SOLUTION


# %% tags=["exercise:mlp_loss"]
check("mlp_loss", mlp_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Keep the caches in a list as you go forward, then iterate over `reversed(...)` of it. A net of one
# layer has no ReLU at all.
#
# </details>
#
# The course wraps the same functions into objects with PyTorch's names: layers keep their cache,
# `Sequential` walks the list. They must agree with your lists to the last digits.

# %% tags=["needs:numerical_gradient", "needs:two_layer_loss", "needs:mlp_loss"]
net = nn.mlp([6, 8, 7, 4], dtype=np.float64, seed=3)
weights = [layer.weight.data for layer in net if isinstance(layer, nn.Linear)]
biases = [layer.bias.data for layer in net if isinstance(layer, nn.Linear)]
criterion = nn.CrossEntropyLoss()
loss = criterion(net(tiny_x), tiny_y)
net.backward(criterion.backward())
your_loss, your_dweights, _ = mlp_loss(tiny_x, tiny_y, weights, biases)
expect("difference of the losses", abs(loss - your_loss), high=1e-12)
expect(
    "difference of the gradients", np.abs(net[1].weight.grad - your_dweights[0]).max(), high=1e-12
)

# %%
net = nn.mlp([3072, 512, 512, 10])
nn.summary(net, (3, 32, 32))[["output", "parameters", "MACs"]]

# %% [markdown]
# Nearly all parameters sit in the first layer: it connects every pixel with every unit. Keep that
# in mind for lesson 3.
#
# ## 6. Before you train: the ladder
#
# Four questions, each cheaper than the next, asked of every net before it gets an hour of
# computing:
#
# 1. Is the first loss near $\log 10$?
# 2. Does a penalty on the weights raise it?
# 3. Does every gradient agree with finite differences?
# 4. Can it learn fifty pictures by heart?
#
# The first needs small initial weights, as here; a net whose logits start out large begins somewhat
# higher without being wrong. The last is the strongest: a net that cannot memorise fifty pictures
# has a bug, whatever its accuracy. `sanity_ladder` climbs the rungs, and stops at the first that
# breaks with what that usually means.

# %%
small_net = nn.mlp([3072, 64, 10], init=partial(nn.init.normal, std=0.01))
ladder = checks.sanity_ladder(small_net, ds)

# %% [markdown]
# And a net whose last layer was multiplied by a hundred, a mistake that no exception reports:

# %% tags=["nbval-ignore-output"]
loud_net = nn.mlp([3072, 64, 10])
loud_net[3].weight.data *= 100
loud = checks.sanity_ladder(loud_net, ds)

# %%
print("passed:", loud.passed, "- stopped at rung", len(loud.rungs), "of 4")

# %% [markdown]
# This is what the fourth rung looks like from close by:

# %%
fifty = data.Dataset(
    ds.name,
    data.Split(ds.train.images[:50], ds.train.labels[:50]),
    data.Split(ds.val.images[:500], ds.val.labels[:500]),
    ds.test,
    ds.class_names,
)
net = nn.mlp([3072, 100, 10])
trainer = training.Trainer(
    net,
    fifty,
    optimizer=optim.SGD(net.parameters(), lr=0.002, momentum=0.9),
    criterion=nn.CrossEntropyLoss(),
    batch_size=10,
)
history = trainer.fit(20)
fig = plots.learning_curves({"": history}, window=5)
plots.show(
    fig,
    "Trained on fifty pictures, the loss falls to nearly 0 within a few dozen steps and training "
    "accuracy reaches 1, while validation accuracy stays far below.",
)

# %%
expect("training accuracy on fifty pictures", trainer.evaluate(fifty.train)["accuracy"], 1.0)
expect("validation accuracy", history.epochs[-1]["val_accuracy"], 0.10, 0.40)

# %% [markdown]
# The gap between the two curves is **overfitting** in its purest form. Here it is the goal; from
# part 10 on it is the enemy.
#
# ## 7. Where to start: initial weights
#
# All weights zero would make all hidden units equal, for ever: each would get the same gradient.
# So weights start random. How large?
#
# A unit adds up $D$ products. If inputs and weights are independent with mean zero, variances add:
#
# $$\operatorname{Var}(a) = D \cdot \operatorname{Var}(w) \cdot \operatorname{E}[x^2].$$
#
# To keep the size of the signal from layer to layer, $\operatorname{Var}(w)$ should be about
# $1/D$ (Glorot and Bengio, 2010). A ReLU throws away half of $\operatorname{E}[x^2]$, so behind one
# it should be twice that: $\operatorname{Var}(w) = 2/D$ (He et al., 2015), known as **Kaiming**
# initialisation.
#
# ### Exercise: kaiming_normal
# Difficulty 1/5 · importance 4/5 · 5 minutes


# %%
def kaiming_normal(fan_in, fan_out, rng):
    """Gaussian weights (fan_out, fan_in) that keep the signal's size through a ReLU layer."""
    ### BEGIN SOLUTION
    return rng.standard_normal((fan_out, fan_in)) * np.sqrt(2 / fan_in)
    ### END SOLUTION


# %% tags=["exercise:kaiming_normal"]
check("kaiming_normal", kaiming_normal)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `rng.standard_normal(shape)` has variance 1. Multiplying by $s$ gives variance $s^2$.
#
# </details>
#
# Watch the signal go through six ReLU layers of 256 units before any training.
#
# <details><summary>Predict first: with weights of standard deviation 0.01, how large is the output
# of the sixth layer compared with that of the first?</summary>
#
# Each layer multiplies the size by $0.01 \cdot \sqrt{256 / 2} \approx 0.11$, so five layers later it
# is about $2 \cdot 10^{-5}$ of what it was. The gradient on the way back shrinks by the same factor.
#
# </details>


# %%
def layer_outputs(init, depth=6, width=256):
    """Outputs of every ReLU layer of an untrained net, for 200 pictures."""
    net = nn.mlp([3072] + [width] * depth + [10], init=init)
    outputs = []
    for name, layer in net.named_layers():
        if name.endswith("ReLU"):
            layer.register_forward_hook(lambda module, x, out: outputs.append(out))
    net(ds.normalize(ds.train.images[:200]))
    return outputs


def gaussian(gain):
    """Initialiser with standard deviation gain / sqrt(fan_in)."""
    return lambda shape, *, rng, dtype: nn.init.normal(
        shape, std=gain / np.sqrt(shape[1]), rng=rng, dtype=dtype
    )


signals = {
    "sd 0.01": layer_outputs(partial(nn.init.normal, std=0.01)),
    "Xavier": layer_outputs("xavier_normal"),
    "Kaiming": layer_outputs("kaiming_normal"),
    "2 × Kaiming": layer_outputs(gaussian(2 * np.sqrt(2))),
}
fig = plots.activation_histograms(signals, limits=(0, 3))
plots.show(
    fig,
    "Histograms of the positive outputs of six ReLU layers for four ways to start. With sd 0.01 the outputs shrink towards "
    "zero with depth, with Xavier slowly, with Kaiming they keep their size, with twice Kaiming "
    "they double at every layer.",
)

# %%
ratio = {name: outs[-1].std() / outs[0].std() for name, outs in signals.items()}
expect("sd 0.01: size at layer 6 over layer 1", ratio["sd 0.01"], high=0.001)
expect("Kaiming: size at layer 6 over layer 1", ratio["Kaiming"], 0.4, 2.5)
expect("2 × Kaiming: size at layer 6 over layer 1", ratio["2 × Kaiming"], low=10)

# %% [markdown]
# Does it matter for learning? Twenty scales, the same everything else: a net of five layers, two
# passes over the pictures, accuracy at the end. The scale is the **gain** $g$ in
# $\operatorname{sd}(w) = g / \sqrt D$; Kaiming is $g = \sqrt 2$.

# %%
small = data.load(train_size=plan.small)
seeds = range(plan.seeds)
hidden = plan.hidden


def train(net, ds, epochs, optimizer, *, batch_size=128, seed=0, **options):
    """Train without a bar and return the trainer; a run that explodes returns None."""
    trainer = training.Trainer(
        net,
        ds,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        batch_size=batch_size,
        seed=seed,
        progress=False,
        **options,
    )
    try:
        with np.errstate(all="ignore"):
            trainer.fit(epochs)
    except training.TrainingDivergedError:
        return None
    return trainer


def accuracy_with_gain(gain, seed):
    """Validation accuracy after two epochs from an initial scale; chance if it explodes."""
    width = plan.gain_width
    net = nn.mlp([3072, width, width, width, width, 10], init=gaussian(gain), seed=seed)
    trainer = train(net, small, 2, optim.SGD(net.parameters(), lr=0.01, momentum=0.9), seed=seed)
    return trainer.history.epochs[-1]["val_accuracy"] if trainer else 0.1


gains = np.geomspace(0.1, 20, 20)
by_gain = np.array([[accuracy_with_gain(gain, seed) for seed in seeds] for gain in gains])
fig = plots.sweep(
    gains,
    {"": by_gain},
    xlabel="gain g of the initial weights (Kaiming: 1.41)",
    ylabel="validation accuracy",
    chance=0.1,
)
plots.show(
    fig,
    "Accuracy after two epochs against the initial scale: chance for gains below about 0.3, a broad "
    "top around gains of 1 to 3, and a fall for larger ones.",
)

# %%
expect("gain of the best start", gains[by_gain.mean(axis=1).argmax()], 0.6, 6)
expect("accuracy from the smallest start", by_gain[0].mean(), high=0.2)

# %% [markdown]
# The theory is about the very first step and still predicts two whole epochs, to within a factor of
# two. It does not say that $\sqrt2$ is *best*: the top is broad, and the biases and the
# data were not in the derivation.
#
# ## 8. Four ways downhill
#
# Plain gradient descent has one complaint: where the valley is narrow it bounces between the walls,
# and along the floor it crawls. Each of the next rules answers it.
#
# | rule | idea | update of weight $w$ for gradient $g$ |
# |---|---|---|
# | SGD | go downhill | $w \leftarrow w - \eta g$ |
# | momentum | remember the direction | $v \leftarrow \mu v + g; \quad w \leftarrow w - \eta v$ |
# | RMSProp | divide by the usual size | $s \leftarrow \alpha s + (1-\alpha) g^2; \quad w \leftarrow w - \eta g / (\sqrt s + \epsilon)$ |
# | Adam | both, corrected for their start at 0 | $m, v$ as below; $w \leftarrow w - \eta \hat m / (\sqrt{\hat v} + \epsilon)$ |
#
# ### Exercise: sgd_momentum
# Difficulty 1/5 · importance 4/5 · 5 minutes
#
# Pure functions again: return new arrays, leave the old ones alone. The convention is PyTorch's.


# %%
def sgd_momentum(w, g, v, lr, momentum):
    """One step with momentum: return the new (w, v)."""
    ### BEGIN SOLUTION
    v = momentum * v + g
    return w - lr * v, v
    ### END SOLUTION


# %% tags=["exercise:sgd_momentum"]
check("sgd_momentum", sgd_momentum)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Older texts put the learning rate inside $v$. With a constant rate that is the same path; with a
# schedule it is not.
#
# </details>
#
# ### Exercise: rmsprop
# Difficulty 1/5 · importance 3/5 · 5 minutes


# %%
def rmsprop(w, g, s, lr, alpha, eps):
    """One step of RMSProp: return the new (w, s)."""
    ### BEGIN SOLUTION
    s = alpha * s + (1 - alpha) * g**2
    return w - lr * g / (np.sqrt(s) + eps), s
    ### END SOLUTION


# %% tags=["exercise:rmsprop"]
check("rmsprop", rmsprop)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $\epsilon$ is added to the root, not under it. With gradients of $10^{-7}$ that matters.
#
# </details>
#
# ### Exercise: adam
# Difficulty 2/5 · importance 5/5 · 10 minutes
#
# $$m \leftarrow \beta_1 m + (1-\beta_1) g, \qquad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \qquad
# \hat m = \frac{m}{1-\beta_1^t}, \qquad \hat v = \frac{v}{1-\beta_2^t}$$
#
# The first step has $t = 1$. Why is the correction needed? Work out $m$ and $v$ after that step.


# %%
def adam(w, g, m, v, t, lr, beta1, beta2, eps):
    """Step number t (from 1) of Adam: return the new (w, m, v)."""
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    ### END SOLUTION


# %% tags=["exercise:adam"]
check("adam", adam)

# %% [markdown]
# <details><summary>Hint</summary>
#
# After the first step $m = (1-\beta_1) g$ and $v = (1-\beta_2) g^2$: ten and a thousand times too
# small. Return the uncorrected $m$ and $v$; the correction is for the update alone.
#
# </details>
#
# ### On a valley with two weights
#
# A bowl twenty times steeper one way than the other, in two positions: lying along the axes, and
# turned by 45 degrees.
#
# <details><summary>Predict first: for which rules does turning the valley change the way
# down?</summary>
#
# Not for SGD and momentum: they follow the gradient vector, and that turns with the valley. RMSProp
# and Adam scale each coordinate by itself, so they depend on how the axes lie.
#
# </details>

# %% tags=["needs:sgd_momentum", "needs:rmsprop", "needs:adam"]
STEEP = np.array([0.1, 2.0])


def descend(rule, turn, steps=60):
    """Path of one rule down the valley 0.05 p² + q², turned by `turn` radians."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s], [s, c]])
    w = rotation @ np.array([-9.0, 2.0])
    state, path = [np.zeros(2), np.zeros(2)], [w]
    for t in range(1, steps + 1):
        g = rotation @ (STEEP * (rotation.T @ w))
        if rule == "SGD":
            w = w - 0.9 * g
        elif rule == "momentum":
            w, state[0] = sgd_momentum(w, g, state[0], lr=0.1, momentum=0.85)
        elif rule == "RMSProp":
            w, state[0] = rmsprop(w, g, state[0], lr=0.3, alpha=0.9, eps=1e-8)
        else:
            w, *state = adam(w, g, *state, t, lr=0.5, beta1=0.9, beta2=0.99, eps=1e-8)
        path.append(w)
    return np.array(path)


def valley(turn):
    """Height of the turned valley."""
    c, s = np.cos(turn), np.sin(turn)
    return lambda x, y: 0.05 * (c * x + s * y) ** 2 + (-s * x + c * y) ** 2


rules = ["SGD", "momentum", "RMSProp", "Adam"]
for turn, where in [(0.0, "along the axes"), (np.pi / 4, "turned by 45 degrees")]:
    fig = plots.descent_paths(
        valley(turn),
        {rule: descend(rule, turn) for rule in rules},
        x_range=(-10, 5),
        y_range=(-4, 4) if turn == 0 else (-9, 5),
        minimum=(0, 0),
    )
    plots.show(
        fig,
        f"Paths of four update rules down a narrow valley {where}. SGD zigzags between the walls; "
        "momentum swings wide and comes back; RMSProp and Adam go nearly straight only where the "
        "valley lies along the axes.",
    )

# %% tags=["needs:sgd_momentum", "needs:rmsprop", "needs:adam"]
turn = np.pi / 4
back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
for rule in rules:
    moved = np.abs(descend(rule, turn) @ back.T - descend(rule, 0.0)).max()
    print(f"{rule:9s} turning the valley changes the path: {moved > 1e-9}")

# %% [markdown]
# ### On the net
#
# A fair race gives every rule the same number of tries. Each gets three learning rates and all
# seeds; the best rate of each, by validation accuracy, enters the figure.

# %%
RACES = {
    "SGD": (optim.SGD, {}, [0.02, 0.06, 0.2]),
    "momentum": (partial(optim.SGD, momentum=0.9), {}, [0.002, 0.006, 0.02]),
    "RMSProp": (optim.RMSprop, {}, [1e-4, 3e-4, 1e-3]),
    "Adam": (optim.Adam, {}, [1e-4, 3e-4, 1e-3]),
}
epochs = plan.race_epochs
best_runs, race_accuracy = {}, {}
for name, (rule, options, rates) in RACES.items():
    runs = {}
    for lr in rates:
        nets = [nn.mlp([3072, hidden, 10], seed=seed) for seed in seeds]
        runs[lr] = [
            train(net, small, epochs, rule(net.parameters(), lr=lr, **options), seed=seed)
            for seed, net in zip(seeds, nets, strict=True)
        ]
    score = {
        lr: np.mean([r.history.epochs[-1]["val_accuracy"] if r else 0.1 for r in trainers])
        for lr, trainers in runs.items()
    }
    best = max(score, key=score.get)
    best_runs[f"{name}"] = runs[best][0].history
    race_accuracy[name] = score[best]
fig = plots.learning_curves(best_runs)
plots.show(
    fig,
    "Four update rules, each at the best of three learning rates. Momentum and Adam are ahead of "
    "RMSProp and plain SGD, in training more clearly than in validation.",
)

# %% tags=["nbval-ignore-output"]
pd.Series(race_accuracy, name="validation accuracy, mean over seeds").round(3).to_frame()

# %%
lead = max(race_accuracy["momentum"], race_accuracy["Adam"]) - race_accuracy["SGD"]
expect("lead of the better of momentum and Adam over plain SGD", lead, 0, 0.15)

# %% [markdown]
# Remembering the direction pays: momentum and Adam lead. But with a rate of its own for each rule the
# lead is a few points and no more. What the rules differ in most is *how large* the right rate is,
# by a factor of a hundred, so comparing two of them at the same rate compares nothing.
#
# ### Or straighten the valley
#
# Where does the narrow valley come from? Mostly from the pictures. Along a direction of the input
# the loss of a linear layer curves in proportion to the input's variance in that direction, and
# neighbouring pixels are so alike that these variances differ enormously. **Principal component
# analysis** finds the directions, largest variance first.

# %%
from sklearn.decomposition import PCA

count, directions = plan.pca_pictures, plan.directions
flat = ds.normalize(ds.train.images[:count]).reshape(count, -1)
pca = PCA(directions, whiten=True, random_state=0).fit(flat)
fig = plots.weight_images(pca.components_[:16], ds.train.images.shape[1:], columns=8)
plots.show(
    fig,
    "The sixteen directions of largest variance as pictures: overall brightness first, then light "
    "against dark from top to bottom and from side to side, then ever finer waves.",
    format="jpeg",
)

# %%
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.loglog(np.arange(1, directions + 1), pca.explained_variance_, markevery=0.1)
ax.set(xlabel="component", ylabel="variance of the pictures along it")
plots.show(
    fig,
    "Variance by component, both axes logarithmic: an almost straight fall from several hundred for "
    "the first component to about one or less for the last.",
)

# %%
narrow = pca.explained_variance_[0] / pca.explained_variance_[-1]
expect("how much steeper the valley is along the first component than the last", narrow, low=100)

# %% [markdown]
# RMSProp and Adam cannot help much: this valley does not lie along the axes, which are the pixels.
# But PCA *is* the turn that lays it along them. Divide each component by its standard deviation
# (**whitening**) and the valley is round.
#
# Turning and dividing is a linear map. So it is a `Linear` layer whose weights are computed, not
# learnt: **frozen**, with `requires_grad` off, as in PyTorch.


# %%
def whitening_layer():
    """Turn flat pictures into whitened principal components."""
    scale = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
    layer = nn.Linear(*scale.shape[::-1])
    layer.weight.data[...] = scale
    layer.bias.data[...] = -scale @ pca.mean_
    return layer.requires_grad_(False)


def whitened_mlp(sizes, seed=0):
    """Make a fully connected net on top of whitened pictures."""
    net = nn.mlp([directions, *sizes], seed=seed)
    return nn.Sequential(nn.Flatten(), whitening_layer(), *net)


def raw_mlp(sizes, seed=0):
    """Make the same on raw pixels."""
    return nn.mlp([3072, *sizes], seed=seed)


x, _ = next(ds.batches(ds.train, 1000))
spread = nn.Sequential(nn.Flatten(), whitening_layer())(x).std(axis=0)
expect("smallest standard deviation of a whitened input", spread.min(), low=0.6)
expect("largest standard deviation of a whitened input", spread.max(), high=1.5)

# %% [markdown]
# <details><summary>Predict first: compared with raw pixels, how large a rate will the whitened net
# stand, and which of the two will be more accurate on <em>validation</em> pictures?</summary>
#
# The largest stable rate is set by the steepest direction, so it will be far larger. And the net
# will learn faster. But *what* it learns faster is the fine detail, which whitening has turned up,
# and with few pictures the fine detail is mostly noise.
#
# </details>

# %%
INPUTS = {
    "raw pixels": (raw_mlp, [0.006, 0.02, 0.06]),
    "whitened": (whitened_mlp, [0.02, 0.06, 0.2]),
}
by_input = {}
for name, (make, rates) in INPUTS.items():
    for lr in rates:
        results = []
        for seed in seeds:
            net = make([hidden, 10], seed=seed)
            optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9)
            run = train(net, small, epochs, optimizer, seed=seed)
            last = run.history.epochs[-1] if run else {"train_accuracy": 0.1, "val_accuracy": 0.1}
            results.append([last["train_accuracy"], last["val_accuracy"]])
        by_input[name, lr] = np.mean(results, axis=0)

# %% tags=["nbval-ignore-output"]
pd.DataFrame(by_input, index=["train", "val"]).T.rename_axis(["input", "rate"]).round(3)

# %%
fastest = {name: max(by_input[name, lr][0] for lr in INPUTS[name][1]) for name in INPUTS}
expect(
    "training accuracy, whitened minus raw", fastest["whitened"] - fastest["raw pixels"], low=0.03
)
expect("training accuracy on raw pixels at 0.06", by_input["raw pixels", 0.06][0], high=0.45)

# %% [markdown]
# Faster it is, at three to ten times the rate, and *not* more accurate: the validation column says
# that the gain went into learning by heart. Optimisation and generalisation are two different
# things, and a better optimiser can lose. Keep the whitened net in mind all the same: part 12
# gives it pictures enough.
#
# ## 9. Learning rate, batch size, stability
#
# The learning rate is the one setting to get right. Too small and nothing happens in the time you
# have; too large and every step overshoots. What does "too large" look like?

# %% tags=["nbval-ignore-output"]
net = nn.mlp([3072, hidden, 10])
trainer = training.Trainer(
    net,
    small,
    optimizer=optim.SGD(net.parameters(), lr=1e12),
    criterion=nn.CrossEntropyLoss(),
    progress=False,
)
exploded = None
with np.errstate(all="ignore"):
    try:
        trainer.fit(1)
    except training.TrainingDivergedError as error:
        exploded = error
print(exploded)

# %%
print("stopped with a reason:", "learning rate" in str(exploded))

# %% [markdown]
# Between those ends: many rates, three batch sizes, the same number of *epochs* for all, so that
# every arm sees each picture equally often. A batch four times as large takes a quarter of the
# steps.
#
# <details><summary>Predict first: what rate does a batch of 64 need to do as well as a batch of 16
# does at 0.001? And which of the two stands the larger rate before it explodes?</summary>
#
# About 0.004. While steps are small, four of them at rate $\eta$ go about as far as one at
# $4\eta$ (Goyal et al., 2017). But the largest rate a net stands is set by the steepest direction of
# the valley, and averaging over more pictures does not make it less steep: it is nearly the same
# for both.
#
# </details>

# %%
FACTOR = plan.rate_factor
rates = 1e-3 * FACTOR ** np.arange(plan.rates)
sizes = [16, 64, 256]


def accuracy_at(lr, batch_size, seed, epochs=plan.rate_epochs):
    """Validation accuracy of plain SGD; chance if it explodes."""
    net = nn.mlp([3072, hidden, 10], seed=seed)
    optimizer = optim.SGD(net.parameters(), lr=lr)
    trainer = train(net, small, epochs, optimizer, batch_size=batch_size, seed=seed)
    return trainer.history.epochs[-1]["val_accuracy"] if trainer else 0.1


by_rate = {
    size: np.array([[accuracy_at(lr, size, seed) for seed in seeds] for lr in rates])
    for size in sizes
}
fig = plots.sweep(
    rates,
    {f"batch size {size}": values for size, values in by_rate.items()},
    xlabel="learning rate of SGD",
    ylabel="validation accuracy",
    chance=0.1,
)
plots.show(
    fig,
    "Validation accuracy against learning rate for three batch sizes. On the left the curves rise "
    "side by side, a larger batch shifted towards larger rates; on the right all of them fall to "
    "chance within about the same factor of ten.",
)

# %%
mean = {size: values.mean(axis=1) for size, values in by_rate.items()}
shift = plan.rates_to_fourfold  # so many places further the rate is four times as large
expect("batch 16 minus batch 64 at the same small rate", mean[16][0] - mean[64][0], low=0.01)
apart = abs(mean[16][0] - mean[64][shift])
expect("the same with four times the rate for batch 64, either way", apart, high=0.05)
expect(
    "accuracy at the largest rate, best batch size", max(m[-1] for m in mean.values()), high=0.25
)

# %% [markdown]
# So the rule "larger batch, larger rate" holds on the slope and ends at the cliff. Once the rate
# cannot grow any more, a larger batch only means fewer steps. And since the cliff is steeper than
# the slope, when in doubt err on the small side.
#
# ### Rates that change
#
# Early on, large steps cover ground; at the end, small ones settle. **One-cycle** (Smith and Topin,
# 2019) also starts small, because the first gradients point every which way.

# %%
total = 300


def rate_curve(make):
    """Rates of a schedule over `total` steps, from a base rate of 0.1."""
    schedule = make(optim.SGD([nn.Parameter(np.zeros(1))], lr=0.1, momentum=0.9))
    return [schedule.lr_at(step) for step in range(total)]


fig = plots.schedules(
    {
        "constant": [0.1] * total,
        "step": rate_curve(lambda o: optim.StepLR(o, total // 3)),
        "cosine": rate_curve(lambda o: optim.CosineAnnealingLR(o, total)),
        "one cycle": rate_curve(lambda o: optim.OneCycleLR(o, 0.1, total)),
    }
)
plots.show(
    fig,
    "Learning rate against step for four schedules: constant; step, which drops by ten at each "
    "third; cosine, which falls smoothly to zero; one cycle, which rises for 30 per cent of the "
    "steps and then falls smoothly to zero.",
)

# %% [markdown]
# The same net, the same peak rate, the same number of steps; only the schedule differs.

# %%
epochs = plan.schedule_epochs
SCHEDULES = {
    "constant": lambda optimizer, total: None,
    "step": lambda optimizer, total: optim.StepLR(optimizer, -(-total // 3)),
    "cosine": lambda optimizer, total: optim.CosineAnnealingLR(optimizer, total),
    "one cycle": lambda optimizer, total: optim.OneCycleLR(
        optimizer, optimizer.lr, total, cycle_momentum=False
    ),
}


def accuracy_with_schedule(make, seed):
    """Validation accuracy after a short run at a peak rate of 0.03."""
    net = nn.mlp([3072, hidden, 10], seed=seed)
    optimizer = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    scheduler = make(optimizer, epochs * -(-len(small.train) // 128))
    trainer = train(net, small, epochs, optimizer, scheduler=scheduler, seed=seed)
    return trainer.history.epochs[-1]["val_accuracy"] if trainer else 0.1


by_schedule = {
    name: np.array([accuracy_with_schedule(make, seed) for seed in seeds])
    for name, make in SCHEDULES.items()
}

# %% tags=["nbval-ignore-output"]
pd.DataFrame(by_schedule).agg(["mean", "std"]).T.round(3)

# %%
annealed = max(values.mean() for name, values in by_schedule.items() if name != "constant")
expect(
    "gain of the best schedule over a constant rate", annealed - by_schedule["constant"].mean(), 0
)

# %% [markdown]
# ### Inside the net
#
# Three numbers tell how a run is doing without waiting for its accuracy: how large each layer's
# gradient is, how large its update is compared with the weights, and what share of its units is
# dead. As a rule of thumb an update should change a weight by about a thousandth of its size.

# %%
ratio, norm = training.UpdateRatio(every=5), training.GradientNorm(every=5)
stats = training.ActivationStats(every=5)
net = nn.mlp([3072, hidden, hidden, hidden, 10])
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
_ = train(net, small, 3, optimizer, callbacks=[ratio, norm, stats])
watched = ratio.frame().merge(norm.frame(), on=["step", "layer"])
fig = plots.by_layer(
    watched, {"ratio": "size of update / size of weight", "norm": "norm of gradient"}, log=True
)
plots.show(
    fig,
    "Over the steps of a healthy run: for all four layers the update is between a ten-thousandth "
    "and a hundredth of the weights, and the gradient norms of all layers stay within about one "
    "order of magnitude of each other.",
)

# %%
expect("median update over weight", watched["ratio"].median(), 1e-4, 3e-2)
dead = stats.frame().query("layer.str.endswith('ReLU')")["dead"].max()
expect("largest share of dead units in any layer", dead, high=0.5)

# %% [markdown]
# ## 10. When the net learns by heart
#
# With few pictures a net of a million weights memorises them. Take two thousand pictures and train
# for long.

# %%
scarce = data.load(train_size=plan.scarce)
epochs = plan.scarce_epochs
net = nn.mlp([3072, hidden, 10])
plain = train(net, scarce, epochs, optim.SGD(net.parameters(), lr=0.01, momentum=0.9))
fig, ax = plt.subplots(figsize=(7, 3))
table = plain.history.frame()
for part in ("train", "val"):
    ax.plot(table.index, table[f"{part}_loss"], label=f"{part} loss", markevery=4)
best_epoch = int(table["val_loss"].idxmin())
ax.axvline(best_epoch, color="black", linestyle=":", marker="", label="lowest validation loss")
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plots.show(
    fig,
    "Training loss falls to nearly zero. Validation loss falls for a few epochs, reaches its "
    "lowest point early, marked by a dotted line, and then rises steadily.",
)

# %%
expect("training accuracy", table["train_accuracy"].iloc[-1], low=0.9)
expect("best epoch as a share of all", best_epoch / epochs, high=0.6)
gap = table["train_accuracy"].iloc[-1] - table["val_accuracy"].iloc[-1]
expect("gap between training and validation accuracy", gap, low=0.25)

# %% [markdown]
# **Early stopping** is the cheapest remedy: stop where the validation loss is lowest. It costs one
# callback, `training.EarlyStopping`.

# %%
net = nn.mlp([3072, hidden, 10])
stopped = train(
    net,
    scarce,
    epochs,
    optim.SGD(net.parameters(), lr=0.01, momentum=0.9),
    callbacks=[training.EarlyStopping(patience=4)],
    keep_best=True,
)
stopped.restore_best()
expect("epochs trained, as a share of the budget", stopped.epoch / epochs, high=0.95)

# %% [markdown]
# **Weight decay** (an L2 penalty) makes large weights expensive: each step first shrinks every
# weight by a small share. An **L1** penalty subtracts the same amount from all, large or small, and
# so pushes the unneeded ones to zero.
#
# <details><summary>Predict first: as weight decay grows from nothing to far too much, what will
# training and validation accuracy do?</summary>
#
# Training accuracy falls all the way. Validation accuracy first rises a little or stays, then falls
# with it when there is no capacity left to learn with.
#
# </details>


# %%
def accuracies_with_decay(weight_decay, seed):
    """Final (train, val) accuracy on few pictures."""
    net = nn.mlp([3072, hidden, 10], seed=seed)
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=weight_decay)
    trainer = train(net, scarce, epochs, optimizer, seed=seed)
    return [trainer.evaluate(split)["accuracy"] for split in (scarce.train, scarce.val)]


decays = np.geomspace(1e-3, 1, plan.decays)
by_decay = np.array([[accuracies_with_decay(d, seed) for seed in seeds] for d in decays])
fig = plots.sweep(
    decays,
    {"train": by_decay[..., 0], "validation": by_decay[..., 1]},
    xlabel="weight decay",
    ylabel="accuracy",
    chance=0.1,
)
plots.show(
    fig,
    "Against weight decay, training accuracy stays at 1 and then falls steeply; validation accuracy "
    "is nearly flat, with a low hill before it falls too. The gap closes from above.",
)

# %%
gaps = by_decay.mean(axis=1)[:, 0] - by_decay.mean(axis=1)[:, 1]
expect("gap at the largest weight decay over the gap at the smallest", gaps[-1] / gaps[0], high=0.3)

# %% [markdown]
# The gap closes, but mostly because training accuracy comes down. With so few pictures the hill of
# the validation curve is low: a penalty can keep a net from learning noise, and cannot tell it what
# the missing pictures would have said.
#
# What the two penalties do to the weights themselves is easier to see. Count the small ones:

# %% tags=["nbval-ignore-output"]
near_zero = {}
for name, decay, callbacks in [
    ("no penalty", 0.0, []),
    ("L2", 0.1, []),
    ("L1", 0.0, [training.L1Penalty(1e-3)]),
]:
    net = nn.mlp([3072, hidden, 10])
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=decay)
    _ = train(net, scarce, epochs // 2, optimizer, callbacks=callbacks)
    weights = np.abs(net[1].weight.data)
    near_zero[name] = float((weights < 0.05 * weights.max()).mean())
pd.Series(near_zero, name="share of first-layer weights below 5 % of the largest").to_frame().round(
    2
)

# %%
expect(
    "share of small weights with L1 minus that without",
    near_zero["L1"] - near_zero["no penalty"],
    0.1,
)

# %% [markdown]
# ### More pictures for free
#
# A mirrored horse is a horse, and so is one three pixels to the left. **Augmentation** draws a new
# variant of every picture each time it is used. Unlike the penalties it adds knowledge: *you* know
# that these changes do not matter, and the net has no other way to learn it.

# %%
from coursekit.data.augment import Compose, RandomCrop, RandomHorizontalFlip

augment = Compose([RandomHorizontalFlip(), RandomCrop(padding=3)])
rng = np.random.default_rng(4)
horse, car = (int(np.flatnonzero(ds.train.labels == c)[2]) for c in (7, 1))
same = np.repeat(ds.train.images[[horse, car]], 9, axis=0)
variants = np.concatenate([[same[0]], augment(same[:9], rng), [same[9]], augment(same[9:], rng)])
fig = plots.image_grid(variants, columns=10, row_labels=["original, then variants", ""])
plots.show(
    fig,
    "Two pictures, leftmost, and nine random variants of each: some mirrored, all shifted by up to "
    "three pixels with the edge reflected. All are as easy to name as the original.",
    format="jpeg",
)

# %%
epochs = plan.augment_epochs


def accuracies_with(augment, seed):
    """Final (train, val) accuracy with a given augmentation, on the medium set."""
    net = nn.mlp([3072, hidden, 10], seed=seed)
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    scheduler = optim.CosineAnnealingLR(optimizer, epochs * -(-len(small.train) // 128))
    trainer = train(net, small, epochs, optimizer, seed=seed, augment=augment, scheduler=scheduler)
    return [trainer.evaluate(split)["accuracy"] for split in (small.train, small.val)]


by_augment = {
    name: np.array([accuracies_with(a, seed) for seed in seeds])
    for name, a in [
        ("none", None),
        ("flips", RandomHorizontalFlip()),
        ("flips and crops", augment),
    ]
}

# %% tags=["nbval-ignore-output"]
pd.DataFrame(
    {name: v.mean(axis=0) for name, v in by_augment.items()}, index=["train", "val"]
).T.round(3)

# %%
narrowed = {name: float(np.ptp(v.mean(axis=0))) for name, v in by_augment.items()}
expect(
    "gap with flips and crops over gap without",
    narrowed["flips and crops"] / narrowed["none"],
    high=0.7,
)

# %% [markdown]
# Training accuracy *falls* with every step from top to bottom, and that is no loss: the task has
# become harder, and what is learnt on it carries over. Flips are worth about three points here.
# Crops add nothing yet, because this short run no longer fits what it is shown; a longer one, in
# part 12, will.
#
# ## 11. Let the machine search
#
# Rate, width, decay: the settings interact, so tuning one after the other misleads. **Random
# search** draws all of them at once; with the same number of tries it explores every single setting
# more finely than a grid does (Bergstra and Bengio, 2012).
#
# One validation set is soon worn out by many comparisons. **Cross-validation** deals the training
# pictures into $k$ folds and scores every candidate $k$ times, with each fold held out once. All
# jobs are independent, so they run in parallel; each gets one BLAS thread, so that two cores do
# twice the work and not half of it.

# %%
from scipy.stats import loguniform

space = {
    "lr": loguniform(3e-3, 0.3),
    "weight_decay": loguniform(1e-5, 1e-1),
    "hidden": plan.search_hidden,
}


def score(params, fold, seed, epochs=plan.search_epochs):
    """Validation accuracy on one fold, annealed along a cosine."""
    net = nn.mlp([3072, params["hidden"], 10], seed=seed)
    optimizer = optim.SGD(
        net.parameters(), lr=params["lr"], momentum=0.9, weight_decay=params["weight_decay"]
    )
    scheduler = optim.CosineAnnealingLR(optimizer, epochs * -(-len(fold.train) // 128))
    trainer = train(net, fold, epochs, optimizer, seed=seed, scheduler=scheduler)
    return trainer.history.epochs[-1]["val_accuracy"] if trainer else 0.1


found = training.random_search(score, space, small, n_iter=plan.search_tries, folds=3)

# %% tags=["nbval-ignore-output"]
found.frame().head(8).round(5)

# %%
fig = plots.search_scatter(found.frame(), "lr", "weight_decay")
plots.show(
    fig,
    "Each candidate as a point over learning rate and weight decay, brighter where the "
    "cross-validated accuracy is higher, the best one ringed. The rate decides most; weight decay "
    "matters only where it is large.",
)

# %%
ranked = found.frame()["mean"]
expect("best over worst candidate", ranked.iloc[0] - ranked.iloc[-1], low=0.01)

# %% [markdown]
# Read the table with its standard deviations: the first few candidates are usually closer to each
# other than their spread over the folds. The search tells you where the plateau is, not which point
# on it is best.
#
# ## 12. The best net you can train
#
# Everything at once: whitened pictures, a wide net with a Kaiming start, Nesterov momentum, one
# cycle, flips and small crops. One thing is new: **label smoothing** asks for 90 % on the true class
# and spreads the rest, so that the net is never rewarded for being infinitely sure.
#
# On CIFAR-10 expect about 67 %. Fully connected nets in public course solutions stand at 50 to 56 %.

# %%
augment = Compose([RandomHorizontalFlip(), RandomCrop(padding=2)])
widths, epochs = plan.best_widths, plan.best_epochs
steps = epochs * -(-len(ds.train) // 128)
net = whitened_mlp(widths)
optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
best = training.Trainer(
    net,
    ds,
    optimizer=optimizer,
    criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
    scheduler=optim.OneCycleLR(optimizer, 0.05, steps, cycle_momentum=False),
    batch_size=128,
    augment=augment,
    callbacks=[
        training.LivePlot(
            "Loss falls and both accuracies rise through the whole cycle, fastest towards its end, "
            "while the rate anneals; validation accuracy stays close to training accuracy."
        )
    ],
)
clock = time.perf_counter()
_ = best.fit(epochs)
seconds = time.perf_counter() - clock

# %% tags=["nbval-ignore-output"]
best.history.frame().tail(3).round(3)

# %%
final = best.history.epochs[-1]
expect(
    "validation accuracy over what this budget asks for", final["val_accuracy"] / plan.asked, low=1
)
expect("gain over the linear classifier", final["val_accuracy"] - linear_val, low=0.02)

# %% [markdown]
# Training accuracy is measured on flipped and shifted pictures while the net still changes, so
# validation may well be the higher of the two for most of the cycle. The steepest gain comes when
# the rate comes down: a net that looks stuck at a high rate often is not.
#
# ## 13. The test set, once
#
# All choices are made. Only now do the test pictures come out.

# %% tags=["nbval-ignore-output"]
test = best.evaluate(ds.test)
linear_test = linear_accuracy(w, b, ds.test)
print(f"test accuracy: {test['accuracy']:.4f} (linear classifier: {linear_test:.4f})")

# %%
expect(
    "difference of validation and test accuracy",
    abs(test["accuracy"] - final["val_accuracy"]),
    high=0.05,
)

# %%
predictions = best.predict(ds.test)
fig = plots.confusion_matrix(ds.test.labels, predictions, ds.class_names)
plots.show(
    fig,
    "Confusion matrix of the test pictures in per cent of the true class. The diagonal dominates; "
    "the largest mistakes are between animals of similar build and between vehicles.",
)

# %% [markdown]
# Look for pairs that mirror each other across the diagonal, such as cat and dog or car and truck:
# there the net sees that it is one of two and cannot say which. Single large cells on one side
# only would mean a bias towards one class.

# %%
from sklearn.metrics import recall_score

by_class = recall_score(ds.test.labels, predictions, average=None)
order = by_class.argsort()[::-1]
fig = plots.bars(
    [ds.class_names[c] for c in order],
    by_class[order],
    xlabel="share of the class's test pictures that were recognised",
    line_at=test["accuracy"],
)
plots.show(
    fig,
    "Test accuracy of each class, best first, with the overall accuracy as a dotted line. Classes "
    "differ by tens of points.",
)

# %%
probabilities = F.softmax(best.logits(ds.test))
wrong = np.flatnonzero(predictions != ds.test.labels)
wrong = wrong[probabilities[wrong, predictions[wrong]].argsort()[::-1][:24]]
fig = plots.image_grid(
    ds.test.images[wrong],
    columns=8,
    titles=[
        f"{ds.class_names[p]},\nnot {ds.class_names[t]}"
        for p, t in zip(predictions[wrong], ds.test.labels[wrong], strict=True)
    ],
    size=0.95,
)
plots.show(
    fig,
    "The 24 mistakes the net was surest of, each with what it said and what it should have said. "
    "Many show an object in the place, pose or colours that another class usually has.",
    format="jpeg",
)

# %%
first = net[3].weight.data @ net[1].weight.data  # what each unit sees of the raw pixels
strongest = np.linalg.norm(first, axis=1).argsort()[::-1][:40]
fig = plots.weight_images(first[strongest], ds.train.images.shape[1:], columns=10)
plots.show(
    fig,
    "First-layer weights of the forty strongest units as pictures: patterns of light against dark, "
    "many of them striped, no longer templates of whole classes.",
    format="jpeg",
)

# %% [markdown]
# Compare these pictures with the ten templates of part 2. No unit stands for a class any more;
# each looks for a contrast at *one place*. The net had to learn the same edge again for every
# position it can appear in. A layer that learns it once and looks everywhere is the subject of
# lesson 3.
#
# ### The running table
#
# Each lesson adds its row.

# %% tags=["nbval-ignore-output"]
bill = nn.summary(net, (3, 32, 32)).loc["total"]
pd.DataFrame(
    [
        {
            "net": f"PCA {directions}-" + "-".join(map(str, widths)),
            "parameters": f"{bill['parameters']:,}",
            "MACs a picture": f"{bill['MACs']:,}",
            "data": ds.name,
            "test accuracy": f"{test['accuracy']:.3f}",
            "training": f"{seconds:.0f} s",
        }
    ]
)

# %% [markdown]
# ## What differs from older courses
#
# | | here, as in PyTorch | elsewhere you may meet |
# |---|---|---|
# | weights of a linear layer | `(out, in)`, $x W^\top$ | `(in, out)`, $x W$ |
# | hinge loss | divided by the number of classes | not divided |
# | momentum | $v \leftarrow \mu v + g$, $w \leftarrow w - \eta v$ | $v \leftarrow \mu v - \eta g$, $w \leftarrow w + v$ |
# | L2 | $\tfrac{\lambda}{2} \lVert W \rVert^2$, named `weight_decay` | $\lambda \lVert W \rVert^2$ |
# | an epoch | every picture once | as many random draws as pictures |
#
# ## Where to go from here
#
# - Remove one ingredient of part 12 at a time and measure what it was worth, over three seeds.
# - Replace the ReLU by `nn.Tanh` and redo part 7. Which gain is best now, and why?
# - Average the logits of a picture and its mirror image. How much does the test accuracy gain?
#
# **Next:** lesson 2 makes deep nets start from almost anywhere, with batch normalisation.
#
# ### Sources
#
# Glorot and Bengio 2010 (initialisation) · He et al. 2015 (Kaiming) · Polyak 1964, Sutskever et al.
# 2013 (momentum) · Hinton 2012 (RMSProp) · Kingma and Ba 2015 (Adam) · Bergstra and Bengio 2012
# (random search) · Szegedy et al. 2016 (label smoothing) · Goyal et al. 2017 (batch size and rate) ·
# Smith and Topin 2019 (one cycle) · Krizhevsky 2009 (CIFAR-10).

# %% tags=["nbval-ignore-output"]
print(f"this notebook took {time.perf_counter() - started:.0f} s")
