"""What a training run leaves behind: one row a step and one row an epoch."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 4  # rows of a table at the end of a cell, half from either end


@dataclass(repr=False)
class History:
    """Losses and rates of every step; losses, accuracies and seconds of every epoch.

    Shown at the end of a cell it is a table of the first and last epochs; ``frame()`` has all.
    An epoch that broke off leaves no rows; a divergence keeps its steps until training goes on.

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

    def __repr__(self) -> str:
        table = f"\n{self.frame().to_string(max_rows=SHOWN)}" if self.epochs else ""
        return self._counts() + table

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        table = self.frame().to_html(max_rows=SHOWN) if self.epochs else ""
        return f"<p>{self._counts()}</p>{table}"

    def _counts(self) -> str:
        return f"History: {len(self.epochs):,} epochs, {len(self.steps):,} steps"

    def to_dict(self) -> dict:
        """Plain lists and numbers, ready for json."""
        return asdict(self)
