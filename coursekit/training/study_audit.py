"""What makes a comparison fair, measured: which pictures a run drew, which settings it read."""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field, fields
from zlib import crc32

import numpy as np

from coursekit.data.dataset import Dataset
from coursekit.training.study_guard import Settings, StudyError, key


@dataclass
class Audit:
    """How many training pictures a run drew, and a checksum of their labels in that order.

    Batches are taken as one stream, so their size does not matter.
    """

    pictures: int = 0
    checksum: int = 0

    def note(self, labels: np.ndarray) -> None:
        """Add one batch."""
        self.pictures += len(labels)
        self.checksum = crc32(labels.astype("<i8").tobytes(), self.checksum)


@dataclass(frozen=True, eq=False, repr=False)
class AuditedDataset(Dataset):
    """A data set that notes every shuffled batch drawn from it, or from a replaced copy of it.

    A batch drawn in the stored order, as for evaluation, is no training and is not noted.
    """

    audit: Audit = field(default_factory=Audit)

    @classmethod
    def of(cls, data: Dataset) -> "AuditedDataset":
        """Wrap ``data``, with an empty audit and without counting its mean and sd again."""
        audited = cls(**{f.name: getattr(data, f.name) for f in fields(Dataset)})
        vars(audited)["_moments"] = data._moments
        return audited

    def __sizeof__(self) -> int:
        """Bytes of the pictures: from this Dask sees that it pays to send the set only once."""
        return sum(s.images.nbytes + s.labels.nbytes for s in (self.train, self.val, self.test))

    def note_drawn(self, labels: np.ndarray) -> None:
        """Add one batch to the audit."""
        self.audit.note(labels)


class WatchedSettings(dict):
    """Settings that note which of them are read; where all are copied, all are read."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.unread = set(settings)

    def __getitem__(self, name):
        self.unread.discard(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        """Read one."""
        self.unread.discard(name)
        return super().get(name, default)

    def pop(self, name, *default):
        """Read one."""
        self.unread.discard(name)
        return super().pop(name, *default)

    def __iter__(self):  # having it makes ``**settings`` and ``dict(settings)`` ask one by one
        return super().__iter__()

    def items(self):
        """Read all."""
        self.unread.clear()
        return super().items()

    def values(self):
        """Read all."""
        self.unread.clear()
        return super().values()

    def copy(self):
        """Read all."""
        return dict(self.items())

    def __or__(self, other):
        return dict(self.items()) | other


def check_read(declared: Collection[str], rows: Iterable[dict]) -> None:
    """Raise `StudyError` for a setting declared to vary that no run ever looked at."""
    never = set(declared).intersection(*(row["unread"] for row in rows))
    for name in sorted(never):
        raise StudyError(
            f"{name!r} is declared to vary, but run never reads settings[{name!r}]: the arms do "
            "not differ in it, whatever the table says"
        )


class StreamGuard:
    """Compares what the arms of one seed were fed.

    Args:
        data_factors: settings that are meant to change which pictures are drawn.
    """

    def __init__(self, data_factors: Collection[str]) -> None:
        self.data_factors = sorted(data_factors)
        self.first: dict[Hashable, dict] = {}

    def check(self, row: dict, settings: Settings) -> None:
        """Compare a finished run with the first of its seed and data settings.

        Raises:
            StudyError: it drew other pictures, another number, or in another order, or it
                measured other things.
        """
        if row["diverged"]:  # it stopped where it broke; what it drew until then says nothing
            return
        group = (row["seed"], *(key(settings[name]) for name in self.data_factors))
        first = self.first.setdefault(group, row)
        arms = f"arms {first['arm']!r} and {row['arm']!r}, seed {row['seed']}"
        if first["metrics"].keys() != row["metrics"].keys():
            raise StudyError(
                f"{arms}: measured {sorted(first['metrics'])} and {sorted(row['metrics'])}; "
                "needed the same names from every run"
            )
        if (first["pictures"], first["stream"]) == (row["pictures"], row["stream"]):
            return
        if first["pictures"] != row["pictures"]:
            found = f"{first['pictures']:,} and {row['pictures']:,} training pictures"
        else:
            found = f"the same number of training pictures ({row['pictures']:,}) in another order"
        raise StudyError(
            f"{arms}: drew {found}. Arms of one seed are compared on the same pictures in the same "
            "order; a setting that is meant to change them must be named in data_factors"
        )
