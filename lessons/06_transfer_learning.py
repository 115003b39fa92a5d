# %% [markdown]
# # Transfer learning
#
# {{badge}}
#
# Lesson 4 spent forty-five thousand labelled pictures on a net. You will rarely have that many. Here is what people do
# who have a thousand: they take a net that somebody trained on *other* pictures of *other* classes, and teach it the
# rest. This lesson measures how much that is worth, which parts of a net are worth it, and where it ends.
#
# **When you are through, you can**
#
# - take the head off a ResNet, a VGG or an Inception, and put on one of your own;
# - train a last layer in seconds instead of hours, because everything before it is computed once;
# - freeze a net so that it *stays* frozen, and thaw it stage by stage;
# - say from measurements when borrowing helps, how much, and down to how few pictures;
# - look at ten thousand features at once, and know what such a picture does not show.
#
# **You need** lesson 4 (nets, training and evaluation in PyTorch). **Time:** an hour to read, two and a half with the
# exercises. **Data:** CIFAR-10 and MNIST, or stand-ins where there is no network. A GPU is welcome and not needed.
#
# | Part | Question | Answer |
# |---|---|---|
# | 1 | what can be borrowed? | a net that has seen other classes; two are made here |
# | 2 | what has to change? | the head, and how pictures are prepared |
# | 3 | what is the cheapest way? | a linear layer on features that are computed once |
# | 4 | last layer, staged, or everything? | the same budget, three seeds, from scratch beside it |
# | 5 | how few pictures are enough? | from a hundred to three thousand |
# | 6 | which layers carry over? | a probe on every stage, and nets thawed from the back |
# | 7 | what do the features look like? | principal components and t-SNE |
# | 8 | does a larger picture help? | accuracy and cost against input size |
# | 9 | how far does it carry? | from animals and cars to digits |
# | 10 | and the real ones? | ResNet18, VGG16 and Inception v3, where their weights can be had |

# %%
# {{setup}}

# %%
import itertools
import shutil
import time
from functools import partial

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import nn

from coursekit import data, lesson, plots, port, training
from coursekit.checks import check, expect
from coursekit.data import Dataset, Split, augment

THREADS = joblib.cpu_count(only_physical_cores=True)
torch.set_num_threads(THREADS)
started = time.perf_counter()

# %% tags=["nbval-ignore-output"]
ds = data.load()
plan = lesson.Plan(
    ds,
    minutes=(5, 2, 10, 2),
    widths=([24, 48, 96], [16, 32, 64], [24, 48, 96], [16, 32, 64]),
    lent_epochs=(8, 5, 8, 5),
    asked_of_lender=(0.8, 0.4, 0.6, 0.4),
    labelled=(1_000, 100, 1_000, 100),
    strengths=([10.0, 1e3, 1e5], [1e3], [10.0, 1e3, 1e5], [1e3]),
    updates=(200, 30, 200, 30),
    nets=(["ResNet", "VGG"], ["ResNet"], ["ResNet"], ["ResNet"]),
    method_seeds=(3, 5, 3, 5),
    patience_least=(0.0, -0.15, -0.15, -0.15),
    seeds=(3, 2, 2, 2),
    pictures=([100, 300, 1_000, 3_000], [50, 200], [100, 300, 1_000], [50, 200]),
    frozen=([0, 1, 2, 3, 4], [0, 4], [0, 1, 2, 3, 4], [0, 4]),
    frozen_allowed=(0.0, 0.05, 0.05, 0.05),
    shown=(500, 250, 500, 250),
    enlarged=([16, 24, 32, 48, 64], [16, 32, 48], [16, 24, 32, 48, 64], [16, 32, 48]),
    mnist=(True, False, True, False),
    published=(True, False, True, False),
    final_allowed=(0.0, 0.03, 0.03, 0.03),
)
print(plan)

# %% [markdown]
# ## 1. Something to borrow
#
# What everybody borrows are nets trained on ImageNet: a million photographs of a thousand classes. Part 10 uses three
# of them. Their weights are hundreds of megabytes from a server, and to train all of them several ways takes a GPU. So
# that every experiment of this lesson runs everywhere and in minutes, we first make something to borrow ourselves, and
# say plainly what it is: **small nets, pre-trained on five of the ten classes**. The other five are our task. No net
# sees a picture of those until it is lent out.

# %% tags=["nbval-ignore-output"]
SOURCE, TARGET = (0, 1, 3, 4, 6), (2, 5, 7, 8, 9)


def only(ds, classes):
    """The pictures of some classes, which are numbered anew."""
    parts = []
    for split in (ds.train, ds.val, ds.test):
        rows = np.flatnonzero(np.isin(split.labels, classes))
        parts.append(Split(split.images[rows], np.searchsorted(classes, split.labels[rows])))
    return Dataset(ds.name, *parts, class_names=tuple(ds.class_names[c] for c in classes))


source, target = only(ds, SOURCE), only(ds, TARGET)
MEAN, STD = ([round(float(v), 4) for v in values] for values in (source.mean, source.std))
print("somebody else's:", source, "-", ", ".join(source.class_names))
print("ours:           ", target, "-", ", ".join(target.class_names))

# %%
seen, unseen = (
    np.concatenate([d.train.images[d.train.labels == c][:8] for c in range(5)])
    for d in (source, target)
)
plots.show(
    plots.image_grid(
        np.concatenate(
            [
                np.concatenate(rows)
                for rows in zip(np.split(seen, 5), np.split(unseen, 5), strict=True)
            ]
        ),
        columns=16,
        row_labels=[
            f"{a} | {b}" for a, b in zip(source.class_names, target.class_names, strict=True)
        ],
    ),
    "Left eight pictures of each class on which the nets are pre-trained, right eight of each class of our task: other things, "
    "photographed or drawn in the same way.",
    format="jpeg",
)

# %% [markdown]
# That is a *near* transfer: same camera, same size, other things. Each of our classes even has a relative among the
# others (a dog, a cat). Part 9 asks for something far.
#
# The nets: `port.SmallResNet` and `port.SmallVGG`, a hundred and fifty thousand parameters each, or fewer at the quick
# budget. Their parts carry the names that torchvision's nets have: a ResNet ends in `fc`, a VGG in `classifier`. What
# is written for them below works on the large ones unchanged.

# %%
WIDTHS = {"ResNet": plan.widths}
WIDTHS["VGG"] = [*WIDTHS["ResNet"], WIDTHS["ResNet"][-1]]
EPOCHS = plan.lent_epochs


def fresh(kind, widths, seed):
    """A small net with five classes and random weights."""
    torch.manual_seed(seed)
    net = {"ResNet": port.SmallResNet, "VGG": port.SmallVGG}[kind](5, widths)
    return port.with_own_kernels(net)


def pretrain(kind, source, epochs):
    """A net trained on the source classes, as in lesson 4: flips, crops, one cycle."""
    torch.set_num_threads(1)
    net = fresh(kind, WIDTHS[kind], seed=0)
    rule = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * -(-len(source.train) // 64)
    trainer = port.Trainer(
        net,
        source,
        optimizer=rule,
        scheduler=torch.optim.lr_scheduler.OneCycleLR(
            rule, 0.1, total_steps=steps, cycle_momentum=False
        ),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=64,
        augment=augment.Compose([port.RandomHorizontalFlip(), port.RandomCrop(3)]),
        device="cpu",
        progress=False,
    )
    trainer.fit(epochs)
    return trainer.net, trainer.evaluate(source.test)["accuracy"]


# %% [markdown]
# Nets this small leave two threads waiting for each other, so each gets a process and one thread, and both train at
# the same time.

# %% tags=["nbval-ignore-output"]
clock = time.perf_counter()
trained = joblib.Parallel(n_jobs=2)(joblib.delayed(pretrain)(k, source, EPOCHS) for k in WIDTHS)
lenders = {kind: net for kind, (net, _) in zip(WIDTHS, trained, strict=True)}
pretraining = time.perf_counter() - clock
pd.DataFrame(
    {
        "parameters": [sum(p.numel() for p in net.parameters()) for net in lenders.values()],
        "accuracy on its own classes": [round(own, 3) for _, own in trained],
    },
    index=list(lenders),
)

# %%
own = min(own for _, own in trained)
expect("accuracy on their own classes over what is asked", own / plan.asked_of_lender, low=1)

# %% [markdown]
# They go into files, since that is how one gets a net from somebody else, and how the experiments below get theirs,
# some of which run in processes of their own. `port.load_weights` runs no code that may be in a file (lesson 4, part
# 8).

# %%
LENT = f"{ds.name}-{plan.budget}"


def weights_file(kind, lent):
    """Where the weights of a net that is lent out lie."""
    return data.cache_dir() / "lent" / f"{kind}-{lent}.pt"


for kind, net in lenders.items():
    port.save_weights(net, weights_file(kind, LENT))


def borrow(kind, widths, lent, seed=0):
    """A net with the lent weights, and a new head for our five classes."""
    net = fresh(kind, widths, seed)
    port.load_weights(net, weights_file(kind, lent))
    return port.replace_head(net, 5)


# %% [markdown]
# ## 2. What has to change
#
# ### The head
#
# The last layer gives one score for each class *of the lender's*. Take it off, and put on one of your own, with random
# weights.
#
# ### Exercise: replace_head
# Difficulty 2/5 · importance 5/5 · 15 minutes
#
# Three families, three places. A ResNet's last layer is `net.fc`. A VGG has `net.classifier`, a Sequential, whose
# *last* entry it is. Inception v3 has `net.fc`, and a second head for training, `net.AuxLogits.fc`, with a different
# number of inputs; `net.AuxLogits` may be None. Put in new linear layers with biases and `classes` outputs, touch
# nothing else, and return the net.


# %%
def replace_head(net, classes):
    """Give net new last layers for so many classes, in place; return net."""
    ### BEGIN SOLUTION
    if hasattr(net, "classifier"):
        net.classifier[-1] = nn.Linear(net.classifier[-1].in_features, classes)
        return net
    net.fc = nn.Linear(net.fc.in_features, classes)
    if getattr(net, "AuxLogits", None) is not None:
        net.AuxLogits.fc = nn.Linear(net.AuxLogits.fc.in_features, classes)
    return net
    ### END SOLUTION


# %% tags=["exercise:replace_head"]
check("replace_head", replace_head)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The old layer knows its `in_features`. To set its `out_features` changes what it prints, not what it computes. A
# Sequential can be assigned to: `chain[-1] = layer`.
#
# </details>
#
# Why a *new* layer even where the number of classes fits? Because row 3 of the old one means "deer", and yours means
# "ship". A head that begins by being sure of wrong things takes longer to teach than one that begins with nothing.
#
# ### The pictures
#
# A net is used to pictures of one kind: scaled and normalised with the numbers of *its* training, and of about its
# size. Give it others and no error will tell you, only the accuracy.
#
# ### Exercise: prepare
# Difficulty 2/5 · importance 5/5 · 15 minutes
#
# uint8 pictures $(N, 3, H, W)$ become float32 $(N, 3, \text{size}, \text{size})$: scaled to $[0, 1]$, resized
# (bilinear, with antialias), then normalised with three numbers `mean` and three `std`, which belong to pictures in
# $[0, 1]$. Leave `images` as it is.


# %%
def prepare(images, size, mean, std):
    """Pictures as a net was trained to see them: float32 (N, 3, size, size)."""
    ### BEGIN SOLUTION
    x = torch.tensor(images).float() / 255
    x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
    return (x - mean) / std
    ### END SOLUTION


# %% tags=["exercise:prepare"]
check("prepare", prepare)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `F.interpolate(x, (size, size), mode="bilinear", antialias=True)` wants floats. Without `antialias` a smaller picture
# is made of single pixels, and what lies between them is lost. Resizing whole numbers rounds them.
#
# </details>
#
# <details><summary>Predict first: a net gets pictures that are scaled to [0, 1] and not normalised. How much of its
# accuracy is left?</summary>
#
# Batch norm stands behind every convolution, but in evaluation mode it subtracts what it *remembers*, so it does not
# save us. Pictures that are brighter by a constant shift every first-layer output by a constant, and many ReLUs behind
# it open or close for good. The net answers a few classes for nearly everything.
#
# </details>


# %%
def accuracy(net, x, labels, size=500):
    """Share of prepared pictures that net gets right; its mode is left as it was."""
    mode = net.training
    net.eval()
    with torch.no_grad():
        found = torch.cat([net(part).argmax(dim=1) for part in x.split(size)]).numpy()
    net.train(mode)
    return float((found == labels).mean())


# %% tags=["nbval-ignore-output", "needs:prepare"]
lender = lenders["ResNet"]
shown = source.val.images[:1_000]
truth = source.val.labels[:1_000]
nothing, one = [0.0] * 3, [1.0] * 3

prepared = pd.Series(
    {
        "as in training": accuracy(lender, prepare(shown, 32, MEAN, STD), truth),
        "not normalised": accuracy(lender, prepare(shown, 32, nothing, one), truth),
        "not scaled": accuracy(lender, 255 * prepare(shown, 32, nothing, one), truth),
        "red and blue exchanged": accuracy(lender, prepare(shown, 32, MEAN, STD).flip(1), truth),
    },
    name="accuracy on its own classes",
)
prepared.round(3)

# %% tags=["needs:prepare"]
expect(
    "accuracy that a wrong preparation costs",
    prepared["as in training"] - prepared["not scaled"],
    low=0.05,
)

# %% [markdown]
# It still answers, with great confidence. This is the commonest mistake with borrowed nets, and the quietest.
#
# ### A few pictures of ours
#
# From here on we pretend to have a thousand labelled pictures (a hundred at the quick budget). Which thousand is a
# matter of luck, so every seed draws its own, with as many of each class.
#
# ### Exercise: balanced_subset
# Difficulty 1/5 · importance 3/5 · 10 minutes
#
# Return an array with the indices of `per_class` pictures of *every class that occurs* in `labels`, drawn by `rng`,
# none of them twice. The order does not matter.


# %%
def balanced_subset(labels, per_class, rng):
    """Indices of per_class random pictures of each class."""
    ### BEGIN SOLUTION
    parts = [
        rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)
    ]
    return np.concatenate(parts)
    ### END SOLUTION


# %% tags=["exercise:balanced_subset"]
check("balanced_subset", balanced_subset)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.flatnonzero(labels == c)` are the places of a class. `rng.choice(..., replace=False)` draws without putting back.
#
# </details>

# %%
FEW = plan.labelled


def subset(split, pictures, seed):
    """So many pictures of a split, as many of each of its classes."""
    rng = np.random.default_rng(seed)
    per_class = pictures // len(np.unique(split.labels))
    rows = port.balanced_subset(split.labels, per_class, rng)
    return Split(split.images[rows], split.labels[rows])


few = subset(target.train, FEW, seed=0)
print("pictures of each class:", len(np.unique(np.bincount(few.labels))) == 1 and "equally many")

# %% [markdown]
# ## 3. The last layer only
#
# The cheapest way to use a borrowed net: leave it as it is, and learn a new last layer. What the last layer is given
# are the **features** of a picture, here 96 numbers (64 at the quick budget), 512 in ResNet18 and 4,096 in VGG16.
# They do not change while the head learns. So they need to be computed *once* for each picture, and not once an epoch,
# and no gradient goes through the net at all.
#
# ### Exercise: extract_features
# Difficulty 3/5 · importance 5/5 · 20 minutes
#
# `batches` are prepared pictures. Return what the layer `head` is *given* for all of them, in one tensor $(N, D)$. Do
# not chain the net's children: there may be steps between them that are no modules. Evaluation mode, no graph; and
# afterwards the net is as it was: its mode, its head, and no hook left.


# %%
def extract_features(net, head, batches):
    """Inputs of the layer head of net for every picture in batches: (N, D)."""
    ### BEGIN SOLUTION
    found, mode = [], net.training
    handle = head.register_forward_pre_hook(lambda _module, args: found.append(args[0]))
    net.eval()
    with torch.no_grad():
        for x in batches:
            net(x)
    net.train(mode)
    handle.remove()
    return torch.cat(found)
    ### END SOLUTION


# %% tags=["exercise:extract_features"]
check("extract_features", extract_features)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `module.register_forward_pre_hook(f)` calls `f(module, args)` *before* the module computes, with a tuple of what it is
# given. If `f` returns something other than None, that takes the place of the arguments. `list.append` returns None.
#
# </details>
#
# `port.cached_features` prepares, extracts, and keeps the result in a file whose name is a hash of all it depends on:
# the net's weights, the pictures, size, mean and std. Change one of them and another file is asked for; nothing old can
# be taken for something new.

# %% tags=["nbval-ignore-output"]
CACHE = data.cache_dir() / "features"
borrowed = {kind: borrow(kind, WIDTHS[kind], LENT) for kind in WIDTHS}


def features(kind, images, size=32):
    """What the head of a borrowed net is given, computed once and kept."""
    return port.cached_features(borrowed[kind], images, size, MEAN, STD, folder=CACHE)


shutil.rmtree(CACHE, ignore_errors=True)  # so that the first call below has work to do
times = []
for _ in range(2):
    clock = time.perf_counter()
    val_features = features("ResNet", target.val.images)
    times.append(time.perf_counter() - clock)
print(f"{len(val_features):,} pictures, {val_features.shape[1]} features each")
print(f"computed in {times[0]:.2f} s, read again in {times[1]:.2f} s")

# %%
expect("time of reading over time of computing", times[1] / times[0], high=0.5)

# %% [markdown]
# With so few numbers a picture, the last layer need not even be trained by gradient descent. Ask for scores that are
# near 1 for the right class and near 0 for the others, in the sense of squares, and there is a formula. With $x_n$ the
# features and $t_n$ the one-hot label of picture $n$,
#
# $$\min_{W, b} \; \sum_n \lVert W x_n + b - t_n \rVert^2 + \lambda \lVert W \rVert^2 ,$$
#
# where the penalty $\lambda$ keeps $W$ small, which matters when features are many and pictures few. The bias is not
# penalised: how often a class occurs is no matter of taste. Set the derivative by $b$ to zero: $b = \bar t - W \bar x$.
# So centre both, and what is left is $(X^T X + \lambda I)\, W^T = X^T T$.
#
# ### Exercise: linear_probe
# Difficulty 3/5 · importance 4/5 · 25 minutes
#
# Arrays in, arrays out: `features` $(N, D)$, `labels` $(N,)$ from 0 to `classes` - 1, some of which may not occur.
# Return `weight` $(\text{classes}, D)$, as `nn.Linear` has it, and `bias` $(\text{classes},)$.


# %%
def linear_probe(features, labels, classes, strength):
    """Ridge regression on one-hot targets: return weight and bias."""
    ### BEGIN SOLUTION
    targets = np.eye(classes)[labels]
    centre, middle = features.mean(axis=0), targets.mean(axis=0)
    x, t = features - centre, targets - middle
    gram = x.T @ x + strength * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ t).T
    return weight, middle - weight @ centre
    ### END SOLUTION


# %% tags=["exercise:linear_probe"]
check("linear_probe", linear_probe)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.eye(classes)[labels]` is one-hot. `np.linalg.solve(a, b)` solves for many right sides at once. The penalty is on
# the sum, not on the mean: do not divide by $N$.
#
# </details>
#
# How strong a penalty? That is a setting, and settings are chosen on pictures that are neither trained on nor the test
# set. (We have a validation set of a size that nobody with a thousand labels would have. With less, cross-validate.)


# %%
STRENGTHS = [0.01, 0.1, 1.0, 10.0, 100.0]


def probe_accuracy(train, labels, val, val_labels, strengths=STRENGTHS):
    """Best validation accuracy of a linear probe over strengths, and its strength."""
    # In float64, and scaled so that one strength means about the same for every net.
    scale = train.std()
    best = (0.0, 0.0)
    for strength in strengths:
        weight, bias = port.linear_probe(
            train.astype(np.float64) / scale, labels, int(val_labels.max()) + 1, strength
        )
        found = (val / scale @ weight.T + bias).argmax(axis=1)
        best = max(best, (float((found == val_labels).mean()), strength))
    return best


# %% tags=["nbval-ignore-output"]
rows = {}
for kind in borrowed:
    clock = time.perf_counter()
    score, strength = probe_accuracy(
        features(kind, few.images), few.labels, features(kind, target.val.images), target.val.labels
    )
    rows[f"{kind}, borrowed"] = score, strength, time.perf_counter() - clock
flat = [port.prepare(s.images, 32, MEAN, STD).flatten(1).numpy() for s in (few, target.val)]
clock = time.perf_counter()
score, strength = probe_accuracy(flat[0], few.labels, flat[1], target.val.labels, plan.strengths)
rows["the pixels themselves"] = score, strength, time.perf_counter() - clock
probes = pd.DataFrame(rows, index=["validation accuracy", "strength", "seconds"]).T
probes.round(3)

# %%
gain = probes["validation accuracy"].drop("the pixels themselves").min()
gain -= probes.loc["the pixels themselves", "validation accuracy"]
expect("borrowed features minus pixels, validation accuracy", gain, low=0.05)

# %% [markdown]
# Linear layers both, on the same pictures: what differs is what they are a linear function *of*. The net was never
# asked to tell our classes apart, and yet they lie apart in its features. That is all there is to transfer learning; the
# rest of this lesson is about how to get more of it.
#
# ## 4. Last layer, staged, or everything?
#
# ### Frozen is more than `requires_grad`
#
# To train a head with crops and flips, or to train a few layers with it, features cannot be kept, and the net has to be
# *frozen* instead. There is a trap. `requires_grad_(False)` stops the optimiser. It does not stop batch norm, whose
# running mean and variance are no parameters: in training mode each forward pass moves them. And training mode is what
# every training loop asks for, with `net.train()`, at the start of each epoch.
#
# ### Exercise: freeze
# Difficulty 4/5 · importance 5/5 · 25 minutes
#
# `keep` is a module inside `net`. After `freeze(net, keep)` the parameters of `keep` learn (also if they were frozen
# before) and no others do. Batch norm *outside of* `keep` is in evaluation mode, and stays there when somebody calls
# `net.train()`. Inside of `keep` nothing changes. `net.eval()` works as ever.


# %%
def freeze(net, keep):
    """Let nothing of net learn, nor move, but its part keep."""
    ### BEGIN SOLUTION
    kept = set(keep.modules())
    net.requires_grad_(False)
    keep.requires_grad_(True)

    def stay(layer, mode=True):
        return layer

    for layer in net.modules():
        if layer not in kept and not list(layer.children()):
            layer.eval()
            layer.train = partial(stay, layer)
    ### END SOLUTION


# %% tags=["exercise:freeze"]
check("freeze", freeze)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `net.train()` calls `train(mode)` of every module below. An attribute of an *instance* hides the method of its class:
# a layer whose `train` does nothing stays as it is. (`momentum = 0` would hold the statistics, but in training mode the
# layer would still normalise with the batch's own.)
#
# </details>
#
# ### Staged, with a rate for each stage
#
# A new head has random weights, so the first gradients that reach the layers below it are noise. Staged training
# therefore teaches the head alone for a while, then thaws the rest. And since the first layers (edges, colours) are
# fine as they are while the last ones are specialists, each stage gets a rate of its own, smaller towards the pictures.
#
# ### Exercise: layerwise_rates
# Difficulty 2/5 · importance 4/5 · 15 minutes
#
# `stages` is a list of modules, from the pictures to the head. Return a list of dicts `{"params": [...], "lr": ...}`
# for an optimiser: the last stage learns at `lr`, and each stage before it at `decay` times the rate of the next.
# Frozen parameters are left out, and so are stages with nothing to learn (they still count as a step). A parameter that
# two stages share belongs to the first of them, and to no other.


# %%
def layerwise_rates(stages, lr, decay):
    """Parameter groups with a rate for each stage."""
    ### BEGIN SOLUTION
    groups, seen = [], set()
    for i, stage in enumerate(stages):
        own = [p for p in stage.parameters() if p.requires_grad and p not in seen]
        seen.update(own)
        if own:
            groups.append({"params": own, "lr": lr * decay ** (len(stages) - 1 - i)})
    return groups
    ### END SOLUTION


# %% tags=["exercise:layerwise_rates"]
check("layerwise_rates", layerwise_rates)

# %% [markdown]
# <details><summary>Hint</summary>
#
# From the last stage, stage $i$ of $n$ is $n - 1 - i$ steps away. Parameters can be put into a set: two are equal if
# they are the same object.
#
# </details>
#
# `port.stages(net)` gives the stages of any of the three families by name; the last is called "head".

# %%
for kind, net in borrowed.items():
    print(f"{kind}: {', '.join(port.stages(net))}")

# %% [markdown]
# ### The comparison
#
# Four ways to spend one budget. The same number of updates on batches of fifty, drawn from the same thousand pictures in
# the same order with the same flips and crops; a seed decides on pictures, order and new weights. `training.study`
# measures that it is so, and stores every run.
#
# - **scratch**: the same net with random weights, everything learns;
# - **head**: the borrowed net, the last layer learns;
# - **whole**: the borrowed net, everything learns from the first update on;
# - **staged**: the head for a fifth of the updates, then everything, with a rate for each stage.


# %%
RATES = {"scratch": 0.1, "head": 0.1, "whole": 0.05, "staged": 0.05}
UPDATES = plan.updates


def draws(ds, split, seed, mean, std):
    """Prepared batches of fifty without end: shuffled, flipped and moved."""
    changes = augment.Compose([augment.RandomHorizontalFlip(), augment.RandomCrop(3)])
    rng = np.random.default_rng([seed, 1])
    while True:
        for rows in np.split(rng.permutation(len(split)), range(50, len(split), 50)):
            ds.note_drawn(split.labels[rows])  # the study looks on
            x = port.prepare(changes(split.images[rows], rng), 32, mean, std)
            yield x, torch.tensor(split.labels[rows])


def spend(groups, net, batches, updates):
    """So many updates of what is in groups, over one cycle of the rate."""
    rule = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    peaks = [group["lr"] for group in rule.param_groups]
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        rule, peaks, total_steps=updates, cycle_momentum=False
    )
    net.train()
    for x, y in itertools.islice(batches, updates):
        rule.zero_grad()
        F.cross_entropy(net(x), y).backward()
        rule.step()
        cycle.step()


def parts(net):
    """The stages of net, each as one module, from the pictures to the head."""
    return [nn.ModuleList(layers) for layers in port.stages(net).values()]


def train_by(method, net, batches, updates, lr):
    """Spend the budget in one of the four ways."""
    if method == "staged":
        port.freeze(net, parts(net)[-1])
        spend(
            [{"params": list(parts(net)[-1].parameters()), "lr": 0.1}], net, batches, updates // 5
        )
        port.thaw(net)
        spend(port.layerwise_rates(parts(net), lr, 0.7), net, batches, updates - updates // 5)
        return
    if method == "head":
        port.freeze(net, port.head_of(net))
    spend(
        [{"params": [p for p in net.parameters() if p.requires_grad], "lr": lr}],
        net,
        batches,
        updates,
    )


def transfer_run(settings, ds, seed):
    """Validation accuracy of one net, trained in one way on a few pictures."""
    torch.set_num_threads(1)
    kind, method = settings["net"], settings["method"]
    net = fresh(kind, settings["widths"][: 3 + (kind == "VGG")], seed)
    if method != "scratch":
        port.load_weights(net, weights_file(kind, settings["lent"]))
        port.replace_head(net, 5)
    few = subset(ds.train, settings["labelled"], seed)
    batches = draws(ds, few, seed, settings["mean"], settings["std"])
    train_by(method, net, batches, settings["updates"], settings["rates"][METHODS.index(method)])
    val = port.prepare(ds.val.images, 32, settings["mean"], settings["std"])
    return {"val_accuracy": accuracy(net, val, ds.val.labels)}


METHODS = ["scratch", "head", "whole", "staged"]
BASE = {
    "net": "ResNet",
    "widths": WIDTHS["VGG"],
    "method": "scratch",
    "labelled": FEW,
    "updates": UPDATES,
    "rates": [RATES[method] for method in METHODS],
    "mean": MEAN,
    "std": STD,
    "lent": LENT,
    "pretraining": f"{EPOCHS} epochs, batches of 64, rate 0.1",
}


def kept(study):
    """Name of a study's stored results; quick ones are always run."""
    return f"06_{study}_{ds.name}" if plan.full else None


# %% [markdown]
# <details><summary>Predict first: which of the four wins with a thousand pictures, and which comes last?</summary>
#
# The two that may change everything, and begin with something, win: *whole* and *staged*. From scratch a thousand pictures
# are little for a net that has to find out what an edge is. The surprise is the head: it learns 485 numbers on features
# that were made to tell five *other* classes apart, and it may be no better than scratch. Whether the care of staged
# training pays depends on the rate: a gentle rate for everything is careful, too.
#
# </details>

# %% tags=["nbval-ignore-output"]
several = len(plan.nets) > 1
methods = training.study(
    transfer_run,
    target,
    base=BASE,
    factors={"net": plan.nets, "method": METHODS} if several else {"method": METHODS},
    seeds=plan.method_seeds,
    name=kept("methods"),
)
torch.set_num_threads(THREADS)
methods.summary("val_accuracy").drop(columns=["diverged", "n"]).round(3)

# %%
plots.show(
    plots.study(
        methods.frame(),
        x="method",
        y="val_accuracy",
        lines="net" if several else None,
        ylabel="validation accuracy",
        chance=0.2,
    ),
    "Validation accuracy of the four ways, every seed a dot: the borrowed net that is trained as a whole or staged is above the one from scratch.",
)


# %%
def margin(frame, method):
    """By how much a method beats scratch for the same seed: mean, and the 95 % band of it."""
    table = frame.pivot(index="seed", columns="method", values="val_accuracy")
    gain = table[method] - table["scratch"]
    return gain.mean(), stats.t.ppf(0.975, len(gain) - 1) * gain.sem()


frame = methods.frame()
frame = frame[frame["net"] == "ResNet"] if several else frame
gain, band = margin(frame, "staged")
expect("staged minus scratch, less its band", gain - band, low=0)

# %% [markdown]
# The claim is about *differences between runs of the same seed*, which saw the same pictures: their band is narrower
# than that of the means, and it is the one to ask about. What the figure does not show: that scratch would stay behind
# with a larger budget in time. Give it one.

# %% tags=["nbval-ignore-output"]
patient = training.study(
    transfer_run,
    target,
    base=BASE,
    factors={"updates": [UPDATES, 4 * UPDATES]},
    data_factors=["updates"],
    seeds=plan.seeds,
    name=kept("patience"),
)
torch.set_num_threads(THREADS)
patient.summary("val_accuracy").drop(columns=["diverged", "n"]).round(3)

# %%
longer = patient.summary("val_accuracy").set_index("updates")["mean"][4 * UPDATES]
staged = frame.loc[frame["method"] == "staged", "val_accuracy"].mean()
expect(
    "staged minus scratch with four times its updates, above what this budget asks for",
    staged - longer - plan.patience_least,
    low=0,
)

# %% [markdown]
# Four times the updates bring scratch nearer, and not past. What it lacks is not time but pictures.
#
# ## 5. How few pictures are enough?
#
# <details><summary>Predict first: does the gap between borrowed and scratch grow or shrink with more
# pictures?</summary>
#
# It shrinks: with enough pictures of your own you need nobody else's. With very few, the order among the borrowed ones
# changes as well: a head of five hundred numbers can be learnt from a hundred pictures, a hundred and fifty thousand
# weights can hardly be improved by them.
#
# </details>

# %% tags=["nbval-ignore-output"]
PICTURES = plan.pictures
numbers = training.study(
    transfer_run,
    target,
    base=BASE,
    factors={"method": ["scratch", "head", "staged"], "labelled": PICTURES},
    data_factors=["labelled"],
    seeds=plan.seeds,
    name=kept("pictures"),
)
torch.set_num_threads(THREADS)
numbers.summary("val_accuracy").pivot(index="labelled", columns="method", values="mean").round(3)

# %%
plots.show(
    plots.study(
        numbers.frame(),
        x="labelled",
        y="val_accuracy",
        lines="method",
        xlabel="labelled pictures",
        ylabel="validation accuracy",
        log_x=True,
        chance=0.2,
    ),
    "Validation accuracy against the number of labelled pictures, on a logarithmic axis: at the smallest number both borrowed nets are far above "
    "the one from scratch.",
)

# %%
means = numbers.summary("val_accuracy").pivot(index="labelled", columns="method", values="mean")
expect(
    "head minus scratch with the fewest pictures",
    (means["head"] - means["scratch"])[PICTURES[0]],
    low=0.02,
)

# %% [markdown]
# Read the figure *sideways*: how many pictures does scratch need for what the borrowed net reaches with a hundred? On
# CIFAR-10 three thousand, if both get two hundred updates. That is what the loan is worth, in the currency that costs
# most. What the figure does not show is where the curves meet: three thousand pictures are still few.
#
# ## 6. Which layers carry over?
#
# ### A probe on every stage
#
# Each stage's output, averaged over positions, is a set of features like any other. A linear probe on it says how much
# of *our* task can be read off there, and, for comparison, how much of the lender's.

# %% tags=["nbval-ignore-output"]
own_few = subset(source.train, FEW, seed=0)
rows = []
for kind, net in borrowed.items():
    for task, few_split, val in (("ours", few, target.val), ("the lender's", own_few, source.val)):
        outs = [
            port.stage_features(net, port.prepare(s.images, 32, MEAN, STD).split(250))
            for s in (few_split, val)
        ]
        for depth, stage in enumerate(outs[0]):
            score, _ = probe_accuracy(outs[0][stage], few_split.labels, outs[1][stage], val.labels)
            rows.append({"net": kind, "task": task, "stage": depth, "accuracy": score})
by_stage = pd.DataFrame(rows)
by_stage.pivot(index=["net", "stage"], columns="task", values="accuracy").round(3)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
for ax, kind in zip(axes, borrowed, strict=True):
    for task, label in (("the lender's", "the lender's classes"), ("ours", "our classes")):
        of = by_stage[(by_stage["net"] == kind) & (by_stage["task"] == task)]
        ax.plot(of["stage"], of["accuracy"], label=label)
    ax.set(title=kind, xlabel="stage", xticks=of["stage"])
axes[0].set_ylabel("accuracy of a linear probe")
axes[0].legend()
plots.show(
    fig,
    "Accuracy of a linear probe on each stage of both nets: on the lender's classes it climbs to the last stage; on ours it climbs less.",
)

# %%
ends = by_stage[by_stage["net"] == "ResNet"].pivot(index="stage", columns="task", values="accuracy")
rise = ends.iloc[-1] - ends.iloc[0]
expect("rise from first to last stage, the lender's classes", rise["the lender's"], low=0.05)
expect("that rise minus ours", rise["the lender's"] - rise["ours"], low=0)

# %% [markdown]
# The first stages serve both tasks alike: edges and colours belong to nobody. The further back, the more a net has
# specialised in what it was asked, and the wider the two curves stand apart. What a probe does not show is what a stage
# *could become*: a linear readout is a lower bound.
#
# ### Frozen up to a stage
#
# The other way to ask: freeze the first $k$ stages, train the rest, same budget.


# %%
def frozen_run(settings, ds, seed):
    """Validation accuracy with the first stages frozen and the rest trained."""
    torch.set_num_threads(1)
    net = borrow("ResNet", settings["widths"][:3], settings["lent"], seed)
    port.freeze(net, nn.ModuleList(parts(net)[settings["frozen"] :]))
    few = subset(ds.train, settings["labelled"], seed)
    batches = draws(ds, few, seed, settings["mean"], settings["std"])
    learning = [p for p in net.parameters() if p.requires_grad]
    spend([{"params": learning, "lr": settings["lr"]}], net, batches, settings["updates"])
    val = port.prepare(ds.val.images, 32, settings["mean"], settings["std"])
    return {"val_accuracy": accuracy(net, val, ds.val.labels)}


# %% tags=["nbval-ignore-output"]
plain = {k: v for k, v in BASE.items() if k not in ("net", "method", "rates")}
frozen = training.study(
    frozen_run,
    target,
    base=plain | {"lr": RATES["whole"], "frozen": 0},
    factors={"frozen": plan.frozen},
    seeds=plan.seeds,
    name=kept("frozen"),
)
torch.set_num_threads(THREADS)
frozen.summary("val_accuracy").drop(columns=["diverged", "n"]).round(3)

# %%
fig = plots.study(
    frozen.frame(),
    x="frozen",
    y="val_accuracy",
    xlabel="stages frozen, from the pictures on",
    ylabel="validation accuracy",
)
fig.axes[0].set_xticks(range(5))
plots.show(
    fig,
    "Validation accuracy against the number of frozen stages, with its band over seeds, from none to all but the head.",
)

# %%
means = frozen.summary("val_accuracy").set_index("frozen")["mean"]
allowed = plan.frozen_allowed  # a few updates on few pictures change little
expect(
    "nothing frozen minus all frozen, with what is allowed", means[0] - means[4] + allowed, low=0
)

# %% [markdown]
# Where this curve is flat, the frozen stages were worth as much as trained ones, and training them was wasted time:
# each frozen stage at the front spares its backward pass. Where it falls, the net needed to change. On CIFAR-10 the
# first two may stay as they are, and most is lost where all but the head is frozen.
#
# ## 7. Features seen
#
# A thousand pictures are a thousand points in 96 dimensions. To see them, two dimensions have to be chosen.
#
# **Principal components** are the directions in which the points vary most: turn the cloud so that its longest axis is
# horizontal and its second longest vertical. It is a rotation and a projection, nothing is bent.
#
# ### Exercise: pca
# Difficulty 2/5 · importance 4/5 · 20 minutes
#
# Return the coordinates $(N, k)$ of the centred features along the $k$ directions of largest variance, largest first,
# and each one's share $(k,)$ of *all* variance. There may be fewer pictures than features. A direction's sign is free.


# %%
def pca(features, k):
    """Coordinates along the first k principal components, and their shares."""
    ### BEGIN SOLUTION
    x = features - features.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, :k] * s[:k], s[:k] ** 2 / (s**2).sum()
    ### END SOLUTION


# %% tags=["exercise:pca"]
check("pca", pca)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.linalg.svd(x, full_matrices=False)` writes $x = U S V^T$ with the rows of $V^T$ as directions, largest first. The
# coordinates are $x V = U S$. Variance goes with the square of a singular value.
#
# </details>

# %% tags=["needs:pca"]
shown = subset(target.val, plan.shown, seed=1)
cloud = features("ResNet", shown.images).astype(np.float64)
coordinates, shares = pca(cloud, 2)
theirs = PCA(n_components=2).fit(cloud)
expect(
    "shares, ours and scikit-learn's, largest difference",
    abs(shares - theirs.explained_variance_ratio_).max(),
    high=1e-6,
)

# %% [markdown]
# **t-SNE** bends. It places points so that near neighbours stay near, and lets go of everything else. It is good at
# showing groups, and it invents distances: between two groups, and how large a group looks, mean nothing.


# %% tags=["needs:pca"]
def scatter(ax, points, labels, names):
    """Points by class: a colour and a marker each."""
    for c, (name, marker) in enumerate(zip(names, "os^Dv", strict=True)):
        of = points[labels == c]
        ax.scatter(*of.T, s=14, marker=marker, color=f"C{c}", alpha=0.7, label=name)
    ax.set(xticks=[], yticks=[])


def neighbours_agree(points, labels, k=5):
    """Share of the k nearest neighbours that are of the same class."""
    apart = ((points[:, None] - points) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1)[:, :k]
    return float((labels[nearest] == labels[:, None]).mean())


pixels = port.prepare(shown.images, 32, MEAN, STD).flatten(1).numpy().astype(np.float64)
tsne = TSNE(n_components=2, perplexity=30, init="pca", random_state=0)
views = {"pixels, PCA": pca(pixels, 2)[0], "features, PCA": coordinates}
with threadpool_limits(1):  # so few points leave a second thread waiting
    views |= {
        "pixels, t-SNE": tsne.fit_transform(pixels),
        "features, t-SNE": tsne.fit_transform(cloud),
    }
fig, axes = plt.subplots(2, 2, figsize=(8, 7))
for ax, (name, points) in zip(axes.flat, views.items(), strict=True):
    scatter(ax, points, shown.labels, target.class_names)
    ax.set_title(name)
handles, names = axes[0, 0].get_legend_handles_labels()
fig.legend(handles, names, loc="outside lower center", ncols=5)
plots.show(
    fig,
    "Pictures of our classes as points, a colour and a marker for each class, four times: by PCA and by t-SNE, of pixels and of borrowed features. "
    "Classes are mixed in pixels; in features they form groups that overlap.",
)

# %% tags=["needs:pca"]
agree = {
    "pixels": neighbours_agree(pixels, shown.labels),
    "features": neighbours_agree(cloud, shown.labels),
}
expect(
    "neighbours of the same class, features minus pixels",
    agree["features"] - agree["pixels"],
    low=0.05,
)

# %% [markdown]
# The number below the figure is the honest part: how often a picture's nearest neighbours *in all dimensions* are of its
# class. A t-SNE picture can be made to look better or worse by its perplexity; the number cannot.
#
# ## 8. Does a larger picture help?
#
# A net with global pooling takes any size. The lender's pictures had 32 pixels. (ImageNet's had 224, which is why
# everybody enlarges CIFAR's before giving them to a borrowed net.)
#
# <details><summary>Predict first: pictures of 32 pixels are shrunk to 16, 24, or enlarged to 48 and 64. No detail is
# added by enlarging. Which size is best?</summary>
#
# The size that the net was trained at. Its filters expect an eye or a wheel to be so many pixels wide. Smaller pictures
# lose detail besides. Larger ones lose nothing and still confuse, since every part is now too large for its filter. For a
# net trained on 224 pixels, 32-pixel pictures are seven times too small, and enlarging helps a great deal.
#
# </details>

# %% tags=["nbval-ignore-output"]
SIZES = plan.enlarged
rows = []
for kind in borrowed:
    for size in SIZES:
        clock = time.perf_counter()
        score, _ = probe_accuracy(
            features(kind, few.images, size),
            few.labels,
            features(kind, target.val.images, size),
            target.val.labels,
        )
        seconds = time.perf_counter() - clock
        rows.append({"net": kind, "size": size, "accuracy": score, "seconds": seconds})
sizes = pd.DataFrame(rows)
sizes.round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 3.2))
for kind in borrowed:
    of = sizes[sizes["net"] == kind]
    ax.plot(of["size"], of["accuracy"], label=kind)
ax.set(xlabel="side of the pictures, pixels", ylabel="accuracy of a linear probe", xticks=SIZES)
ax.legend()
plots.show(
    fig,
    "Accuracy of a linear probe against the size to which pictures are brought, for both nets: sixteen pixels are worse than the thirty-two at which "
    "the nets were trained.",
)

# %%
by_size = sizes.pivot(index="size", columns="net", values="accuracy").mean(axis=1)
expect("accuracy at 32 pixels minus accuracy at 16", by_size[32] - by_size[16], low=0.01)

# %% [markdown]
# The cost goes with the area: twice the side, four times the time. (Seconds of sizes that were already in the cache are
# those of reading them.)
#
# ## 9. How far does it carry?
#
# From frogs and cars to dogs and ships is a short way. Handwritten digits are a long one: grey, flat, no background, and
# meaning in strokes. Three sets of features for the same linear probe: the pixels, a net with *random* weights, and the
# borrowed net.


# %%
def small_digits():
    """scikit-learn's digits, enlarged to 32 x 32, as a Dataset."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.kron(bunch.images, np.ones((4, 4)))[:, None] * 255 / 16
    order = np.random.default_rng(0).permutation(len(images))
    splits = (
        Split(images[i].round().astype(np.uint8), bunch.target[i])
        for i in np.split(order, [1_000, 1_400])
    )
    return Dataset("digits", *splits, class_names=tuple("0123456789"))


def load_digits_data():
    """MNIST at the full budget, if it can be had; else the small ones."""
    if plan.mnist:
        try:
            return data.load_mnist()
        except data.DataError as error:
            print(f"MNIST is not at hand, so smaller digits stand in: {error}")
    return small_digits()


# %% tags=["nbval-ignore-output"]
digits = load_digits_data()
print(digits)
few_digits = [subset(digits.train, 200, seed) for seed in range(3)]
val_digits = Split(digits.val.images[:1_000], digits.val.labels[:1_000])


def coloured(images):
    """Grey pictures with three equal channels."""
    return np.repeat(images, 3, axis=1)


def features_of(net, images):
    """Features of a net for grey pictures, brought to its size."""
    return port.cached_features(net, coloured(images), 32, MEAN, STD, folder=CACHE)


readers = {
    "the pixels": lambda images: images.reshape(len(images), -1).astype(np.float32),
    "a net with random weights": partial(
        features_of, fresh("ResNet", WIDTHS["ResNet"], seed=5).eval()
    ),
    "the borrowed net": partial(features_of, borrowed["ResNet"]),
}
rows = [
    {
        "features": name,
        "seed": seed,
        "accuracy": probe_accuracy(
            read(s.images), s.labels, read(val_digits.images), val_digits.labels
        )[0],
    }
    for name, read in readers.items()
    for seed, s in enumerate(few_digits)
]
far = pd.DataFrame(rows)
far.groupby("features", sort=False)["accuracy"].agg(["mean", "std"]).round(3)

# %%
plots.show(
    plots.study(far, x="features", y="accuracy", ylabel="accuracy on digits"),
    "Accuracy of a linear probe on two hundred labelled digits, for three kinds of features: pixels, a net with random weights, and the borrowed "
    "net; every seed a dot.",
)

# %%
reached = far.groupby("features")["accuracy"].mean()
lead = reached["the borrowed net"] - reached["a net with random weights"]
expect("accuracy on digits, the borrowed net minus random weights", lead, low=0)

# %% [markdown]
# Two things. On MNIST, at the full budget, the borrowed net reads digits better than plain pixels do: strokes are
# edges, and edges it knows. (On the small digits of the quick budget, 8 × 8 and enlarged, pixels are the better
# features.) And a net with *random* weights does worse than pixels: convolutions, ReLU and pooling by themselves are no
# help. What helps was learnt, on frogs and cars. What the figure does not show is how it would go on: with sixty thousand
# labelled digits LeNet, from scratch, gets 99.4 % (lesson 4). A loan is for those who have little.
#
# ## 10. The real ones
#
# `port.pretrained(name)` builds torchvision's ResNet18, VGG16 with batch norm or Inception v3, with the weights that
# ImageNet gave them. It fetches the file with torchvision's own downloader into torchvision's own cache, compares its
# hash with the one that was published (also when it was in the cache already), and loads nothing but tensors from it.
# Without a network, or with a damaged file, there is one error that says which file and what to do.
#
# `COURSEKIT_WEIGHTS=offline` forbids the download, and the quick budget asks for none. Where a net's weights can be had,
# the cell below gives it the same treatment as ours: pictures prepared as *its* training had them, features once, a
# linear probe, at several sizes. On a CPU that is ResNet18 alone, with the pictures of part 3.


# %%
def at_hand():
    """The nets whose weights can be had here, and why others cannot."""
    found = {}
    names = ["resnet18", "vgg16_bn", "inception_v3"] if torch.cuda.is_available() else ["resnet18"]
    for name in names if plan.published else []:
        try:
            found[name] = port.pretrained(name).to(port.pick_device("auto"))
        except port.WeightsError as error:
            reason = str(error).partition(": ")[2].partition("; ")[0]  # without the file's place
            print(f"{name} is left out: {reason}")
    return found


# %% tags=["nbval-ignore-output"]
rows = []
for name, net in at_hand().items():
    asked = port.published(name)
    for size in [96, 128, 224, 299] if name == "inception_v3" else [32, 64, 128, 224]:
        clock = time.perf_counter()
        outs = [
            port.cached_features(
                net, s.images, size, asked.mean, asked.std, folder=CACHE, batch_size=100
            )
            for s in (few, target.val)
        ]
        score, _ = probe_accuracy(outs[0], few.labels, outs[1], target.val.labels)
        seconds = time.perf_counter() - clock
        rows.append({"net": name, "size": size, "accuracy": score, "seconds": seconds})
real = pd.DataFrame(rows)
if real.empty:
    print("No published weights here: what this lesson shows, it shows with its own small nets.")
else:
    print(real.round(3).to_string(index=False))
    by_size = real[real["net"] == "resnet18"].set_index("size")["accuracy"]
    expect(
        "ResNet18, accuracy at 224 pixels minus accuracy at 32", by_size[224] - by_size[32], low=0
    )

# %% [markdown]
# All ten classes, all pictures, all three nets, heads and whole nets over three seeds: that takes a GPU for a quarter of
# an hour, and is a script of its own.
#
# ```
# python benchmarks/transfer.py --data FOLDER            # with the published weights
# python benchmarks/transfer.py --dry-run                # tiny and random: does it run at all?
# ```
#
# What it has to reach: a linear head at 224 pixels 87 % with ResNet18, 86 % with VGG16-bn, 89 % with Inception v3 (at
# 299); ResNet18 trained as a whole 96 %. Numbers of ours stand in `benchmarks/results/transfer.json` if that file exists.
# If it does not, these are goals from other people's reports, and nobody has run them here.
#
# ## Once, on the test set
#
# Everything above was chosen and compared on validation pictures. The test set is asked once, by one net: the borrowed
# ResNet, staged, on a thousand pictures (a hundred at the quick budget), beside the one from scratch.

# %% tags=["nbval-ignore-output"]
final = {}
test = port.prepare(target.test.images, 32, MEAN, STD)
clock = time.perf_counter()
for method in ("scratch", "staged"):
    if method == "scratch":
        net = fresh("ResNet", WIDTHS["ResNet"], seed=0)
    else:
        net = borrow("ResNet", WIDTHS["ResNet"], LENT)
    train_by(method, net, draws(target, few, 0, MEAN, STD), UPDATES, RATES[method])
    final[method] = accuracy(net, test, target.test.labels)
seconds = (time.perf_counter() - clock) / 2
pd.DataFrame(
    [
        {
            "net": f"SmallResNet {'-'.join(map(str, WIDTHS['ResNet']))}, {method}",
            "labelled pictures": len(few),
            "data": f"{ds.name}, five classes",
            "test accuracy": f"{value:.3f}",
            "training": f"{seconds:.0f} s"
            + f" (and {pretraining:.0f} s for two lenders)" * (method == "staged"),
        }
        for method, value in final.items()
    ]
)

# %%
allowed = plan.final_allowed  # one run each, and short ones
difference = final["staged"] - final["scratch"]
expect("staged minus scratch on the test set, with what is allowed", difference + allowed, low=0)

# %% [markdown]
# ## What to take along
#
# | you have | do |
# |---|---|
# | a hundred pictures | a linear probe on kept features; choose its strength by cross-validation |
# | a thousand | the probe first (it takes seconds and is the number to beat), then staged |
# | tens of thousands | the whole net, at a tenth of the rate that scratch would get, with scratch beside it |
# | another kind of picture | the same, and a net with random weights beside it |
#
# And check four things before you believe a result: the lender's mean and std, its channel order, its size, and that
# frozen batch norm did not move.
#
# ## Where to go from here
#
# - Give the *head* method no flips and crops. What does a probe on kept features lose by having none?
# - Exchange `SOURCE` and `TARGET`, or lend a net that has seen only vehicles. Whom does that help?
# - Pre-train on digits and transfer to pictures: part 9 the other way round.
# - Lend a net that was trained *without labels*, for instance by telling which way up a picture is.
#
# ### Sources
#
# Yosinski et al. 2014 (which layers transfer) · Razavian et al. 2014 (features off the shelf) · Kornblith et al. 2019
# (better ImageNet models transfer better) · Alain and Bengio 2016 (linear probes) · Howard and Ruder 2018 (a rate for
# each stage, thawing) · He, Girshick and Dollar 2019 (scratch with enough pictures) · Simonyan and Zisserman 2014 (VGG) ·
# He et al. 2015 (ResNet) · Szegedy et al. 2016 (Inception v3) · van der Maaten and Hinton 2008 (t-SNE) · Wattenberg et
# al. 2016 (how to read it) · Hoerl and Kennard 1970 (ridge regression).

# %% tags=["nbval-ignore-output"]
print(f"this notebook took {time.perf_counter() - started:.0f} s")
