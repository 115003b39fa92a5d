"""What a training run leaves behind: one row a step and one row an epoch."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class History:
    """Losses and rates of every step; losses, accuracies and seconds of every epoch.

    Attributes:
        steps: rows with ``step`` (counted from 0), ``loss`` of the batch and ``lr``.
        epochs: rows with ``epoch`` (counted from 1), ``step`` (updates done by its end),
            ``train_loss``, ``train_accuracy`` (running, while the weights change),
            ``val_loss``, ``val_accuracy`` (nan without validation pictures) and ``seconds``.
    """

    steps: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)

    def step_frame(self) -> "pd.DataFrame":
        """The steps as a table."""
        import pandas as pd

        return pd.DataFrame(self.steps)

    def frame(self) -> "pd.DataFrame":
        """The epochs as a table."""
        import pandas as pd

        return pd.DataFrame(self.epochs).set_index("epoch") if self.epochs else pd.DataFrame()

    def to_dict(self) -> dict:
        """Plain lists and numbers, ready for json."""
        return asdict(self)
