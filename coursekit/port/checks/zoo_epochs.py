"""Wrong loops over epochs, and wrong ways to put a batch through a net in pieces."""

from torch.nn.functional import cross_entropy

from coursekit.checks.zoo.animal import animal

EPOCHS, PIECES = "train_epochs", "accumulated_gradients"


# --- epochs and a schedule --------------------------------------------------------------------


def _epochs(net, batches, optimizer, scheduler, epochs, evaluate, **when):
    """Training, with the times at which things are done."""
    when = {"train": "epoch", "zero": "step", "rate": "step", "order": "after"} | when
    scores = []
    if when["train"] == "once":
        net.train()
    for _ in range(epochs):
        if when["train"] == "epoch":
            net.train()
        if when["zero"] == "epoch":
            optimizer.zero_grad()
        for x, y in batches:
            if when["zero"] == "step":
                optimizer.zero_grad()
            cross_entropy(net(x), y).backward()
            if when["rate"] == "step" and when["order"] == "before":
                scheduler.step()
            optimizer.step()
            if when["rate"] == "step" and when["order"] == "after":
                scheduler.step()
        if when["rate"] == "epoch":
            scheduler.step()
        scores.append(evaluate(net))
    return scores


@animal(EPOCHS, "the rate hardly falls: training ends where it should begin to cool down")
def scheduler_stepped_per_epoch(*args):
    """the scheduler is stepped once an epoch; this one counts updates."""
    return _epochs(*args, rate="epoch")


@animal(EPOCHS, "a constant rate")
def scheduler_forgotten(*args):
    """the scheduler is never stepped."""
    return _epochs(*args, rate="never")


@animal(EPOCHS, "the first rate of the schedule is skipped, and PyTorch warns")
def scheduler_before_optimizer(*args):
    """the scheduler is stepped before the optimiser."""
    return _epochs(*args, order="before")


@animal(EPOCHS, "from the second epoch on, batch norm trains on frozen statistics")
def train_mode_set_once(*args):
    """net.train() stands before the loop over epochs, and evaluate() leaves evaluation mode."""
    return _epochs(*args, train="once")


@animal(EPOCHS, "batch norm trains on frozen statistics")
def train_mode_forgotten(*args):
    """net.train() is never called."""
    return _epochs(*args, train="never")


@animal(EPOCHS, "gradients of a whole epoch add up")
def zero_grad_per_epoch(*args):
    """zero_grad is called once an epoch; it belongs to every update."""
    return _epochs(*args, zero="epoch")


@animal(EPOCHS, "gradients of all updates add up")
def zero_grad_forgotten(*args):
    """zero_grad is never called."""
    return _epochs(*args, zero="never")


@animal(EPOCHS, "a curve that is one epoch late")
def evaluated_before(net, batches, optimizer, scheduler, epochs, evaluate):
    """evaluate is called before each epoch, not after it."""
    scores = []
    for _ in range(epochs):
        scores.append(evaluate(net))
        _epochs(net, batches, optimizer, scheduler, 1, lambda net: 0.0)
    return scores


@animal(EPOCHS, "one epoch, however many are asked for")
def returned_in_the_loop(net, batches, optimizer, scheduler, epochs, evaluate):
    """return stands inside the loop over epochs, or evaluate behind it."""
    return _epochs(net, batches, optimizer, scheduler, 1, evaluate)


# --- a batch in pieces ------------------------------------------------------------------------


def _pieces(net, x, y, size, *, zero="first", loss=None, share=None, last=True):
    """A batch in pieces, with a place for each bug."""
    loss = loss or (lambda z, y: cross_entropy(z, y, reduction="sum"))
    share = share or (lambda piece: 1 / len(x))
    if zero == "first":
        net.zero_grad()
    total = 0.0
    for piece, labels in zip(x.split(size), y.split(size), strict=True):
        if len(piece) < size and len(x) > size and not last:
            continue
        if zero == "piece":
            net.zero_grad()
        part = loss(net(piece), labels) * share(piece)
        part.backward()
        total += part.item()
    return total


@animal(PIECES, "steps k times too long for k pieces")
def never_divided(net, x, y, size):
    """the pieces' means are added; they have to be divided by the number of pieces."""
    return _pieces(net, x, y, size, loss=cross_entropy, share=lambda piece: 1)


@animal(PIECES, "steps k times too long for k pieces")
def divided_by_size(net, x, y, size):
    """the sum over a piece is divided by size; it has to be divided by the whole batch, len(x)."""
    return _pieces(net, x, y, size, share=lambda piece: 1 / size)


@animal(PIECES, "hard to tell: a smaller last piece counts too much")
def pieces_count_alike(net, x, y, size):
    """the pieces' means count alike; the last piece may be smaller, so pictures must."""
    count = -(-len(x) // size)
    return _pieces(net, x, y, size, loss=cross_entropy, share=lambda piece: 1 / count)


@animal(PIECES, "hard to tell: right where the pieces divide the batch")
def share_of_a_full_piece(net, x, y, size):
    """every piece counts as size / N, the smaller last one too."""
    return _pieces(net, x, y, size, loss=cross_entropy, share=lambda piece: size / len(x))


@animal(PIECES, "steps as of the last piece alone")
def zero_grad_every_piece(net, x, y, size):
    """zero_grad is called for every piece, so that only the last one's gradient is left."""
    return _pieces(net, x, y, size, zero="piece")


@animal(PIECES, "old gradients in the first update")
def old_gradients_kept(net, x, y, size):
    """old gradients are not cleared before the first piece."""
    return _pieces(net, x, y, size, zero="never")


@animal(PIECES, "steps as long as the batch is large")
def summed(net, x, y, size):
    """the losses are summed and never divided by the size of the batch."""
    return _pieces(net, x, y, size, share=lambda piece: 1)


@animal(PIECES, "steps of one piece's size")
def divided_by_the_piece_twice(net, x, y, size):
    """each piece is divided by its own size twice: once by the mean, once by hand."""
    return _pieces(net, x, y, size, loss=cross_entropy, share=lambda piece: 1 / len(piece))


@animal(PIECES, "pictures that never count")
def last_piece_dropped(net, x, y, size):
    """a smaller last piece is left out."""
    return _pieces(net, x, y, size, last=False)


@animal(PIECES, "out of memory, which was to be avoided")
def all_at_once(net, x, y, size):
    """the whole batch goes through the net at once."""
    return _pieces(net, x, y, len(x))


@animal(PIECES, "a loss of the last piece")
def loss_of_the_last_piece(net, x, y, size):
    """the loss that is returned is the last piece's."""
    _pieces(net, x, y, size)
    *_, (piece, labels) = zip(x.split(size), y.split(size), strict=True)
    return cross_entropy(net(piece), labels).item()
