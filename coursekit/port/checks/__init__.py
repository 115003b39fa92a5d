"""Exercises of the PyTorch lessons: importing this makes them known to ``checks.check``.

They are checked as those of the other lessons are. Cases hold NumPy arrays; a run makes tensors of
them *that share their memory*, so that what a learner writes into a tensor is noticed as a changed
argument, calls the learner's function, and hands NumPy arrays back.
"""

from coursekit.port.checks import (  # noqa: F401  importing fills the collections
    exercises_autograd,
    exercises_features,
    exercises_residual,
    exercises_residual_training,
    exercises_tensors,
    exercises_training,
    exercises_transfer,
    zoo_autograd,
    zoo_epochs,
    zoo_evaluation,
    zoo_residual_block,
    zoo_residual_groups,
    zoo_residual_layers,
    zoo_residual_losses,
    zoo_residual_nets,
    zoo_residual_views,
    zoo_residual_width,
    zoo_steps,
    zoo_tensors,
    zoo_transfer_features,
    zoo_transfer_heads,
    zoo_transfer_pictures,
    zoo_transfer_probe,
)
