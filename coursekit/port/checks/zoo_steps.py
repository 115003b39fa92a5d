"""Wrong training steps: the mistakes of which PyTorch says nothing."""

import torch

from coursekit.checks.zoo.animal import animal
from coursekit.port.checks.references import training_step

STEP = "training_step"


@animal(STEP, "the loss falls, then rises: old gradients add up")
def zero_grad_forgotten(net, x, y, optimizer, criterion):
    """zero_grad is never called, so that gradients of all steps add up."""
    net.train()
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@animal(STEP, "nothing is ever learnt")
def nothing_updated(net, x, y, optimizer, criterion):
    """step is missing, or zero_grad stands between backward and step."""
    net.train()
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@animal(STEP, "'modified by an inplace operation', or the gradient of the batch before")
def step_before_backward(net, x, y, optimizer, criterion):
    """step comes before backward."""
    net.train()
    loss = criterion(net(x), y)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.item()


@animal(STEP, "steps twice as long, with momentum longer still")
def step_twice(net, x, y, optimizer, criterion):
    """step is called twice."""
    loss = training_step(net, x, y, optimizer, criterion)
    optimizer.step()
    return loss


@animal(STEP, "gradients twice as large")
def backward_twice(net, x, y, optimizer, criterion):
    """backward is called twice, and gradients add up."""
    net.train()
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss.item()


@animal(STEP, "slow learning that stops at a loss of 1.46 for ten classes")
def softmax_before_the_loss(net, x, y, optimizer, criterion):
    """softmax is applied before the criterion; cross-entropy does that itself."""
    return training_step(
        net, x, y, optimizer, lambda logits, y: criterion(logits.softmax(dim=1), y)
    )


@animal(STEP, "batch norm's running statistics never move; dropout never drops")
def left_in_evaluation_mode(net, x, y, optimizer, criterion):
    """the net is in evaluation mode: net.train() is missing, or net.eval() too many."""
    net.eval()
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@animal(STEP, "right until the first evaluation")
def mode_not_set(net, x, y, optimizer, criterion):
    """the mode is left as it is found; after an evaluation that is the wrong one."""
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@animal(STEP, "memory grows with every step")
def loss_with_its_graph(net, x, y, optimizer, criterion):
    """the loss is returned as a tensor, which keeps its graph; .item() makes a number of it."""
    kept = []

    def note(logits, y):
        kept.append(criterion(logits, y))
        return kept[-1]

    training_step(net, x, y, optimizer, note)
    return kept[-1]


@animal(STEP, "the loss looks one step better than it is")
def loss_after_the_update(net, x, y, optimizer, criterion):
    """the loss is taken again after the update."""
    training_step(net, x, y, optimizer, criterion)
    with torch.no_grad():
        return criterion(net(x), y).item()


@animal(STEP, "'element 0 of tensors does not require grad'")
def detached_logits(net, x, y, optimizer, criterion):
    """the logits are detached before the loss, so that nothing reaches the net."""
    return training_step(net, x, y, optimizer, lambda logits, y: criterion(logits.detach(), y))


@animal(STEP, "steps longer the larger the batch")
def summed_loss(net, x, y, optimizer, criterion):
    """the loss is multiplied by the batch size before backward."""
    loss = training_step(net, x, y, optimizer, lambda logits, y: criterion(logits, y) * len(y))
    return loss / len(y)
