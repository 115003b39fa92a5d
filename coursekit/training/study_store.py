"""Where a study's results are kept: one readable json file, written anew after every run.

Where the file cannot be written, the results stay in memory for as long as the process lives.
"""

import json
import math
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from coursekit.atomic import written_whole
from coursekit.data.files import cache_dir, why_not_written
from coursekit.training.study_guard import StudyError

SCHEMA = 1
SHIPPED = Path(__file__).parent / "studies"  # results that come with the package: read only

RunKey = tuple[str, int]  # arm, seed
Row = dict[str, Any]

_unwritten: dict[tuple[str, str], dict[RunKey, Row]] = {}
"""By name and hash, the runs of each study whose file could not be written."""


def folder() -> Path:
    """Return where results are read and written: ``COURSEKIT_STUDIES``, else the cache folder."""
    chosen = os.environ.get("COURSEKIT_STUDIES")
    return Path(chosen).expanduser().absolute() if chosen else cache_dir() / "studies"


class Store:
    """Finished runs of one study, by arm and seed.

    Runs are taken from the user's file and from the one shipped with the package, wherever hash
    and schema fit. Writing goes to the user's file alone; one that does not fit is kept beside it,
    as NAME.HASH.json, and found again when its hash is asked for.
    ``others`` holds the runs of files of that name whose hash does not fit.

    Args:
        name: the file's name without ``.json``; None keeps nothing.
        header: what the file says before its runs; ``header["hash"]`` decides whether it fits.
        recompute: start without what was stored.
    """

    def __init__(self, name: str | None, header: dict[str, Any], *, recompute: bool = False):
        if name is not None and (not name or Path(name).name != name):
            raise StudyError(f"name: got {name!r}; needed a file's name without a folder")
        self.header = {"schema": SCHEMA, "name": name, **header}
        self.path = None if name is None else folder() / f"{name}.json"
        self.rows: dict[RunKey, Row] = {}
        self.origin: dict[RunKey, str] = {}  # for each run that was read: where it is from
        self.others: dict[RunKey, Row] = {}
        self._foreign: str | None = None  # the hash of the user's file, where it does not fit
        if self.path is None or recompute:
            return
        file = self.path.name
        self._take(self._read(SHIPPED / file), f"the package's {file}")
        for path in sorted(self.path.parent.glob(f"{name}.*.json")):
            self._take(self._read(path), f"your {path.name}")
        self._take(self._read(self.path), f"your {file}")
        if kept := _unwritten.get(self._key):
            self._take(list(kept.values()), f"memory ({file} could not be written)")
            self._write()  # there may be room by now

    @property
    def _key(self) -> tuple[str, str]:
        return self.header["name"], self.header["hash"]

    def _take(self, rows: list[Row], origin: str) -> None:
        for row in rows:
            self.rows[row["arm"], row["seed"]] = row
            self.origin[row["arm"], row["seed"]] = origin

    def _read(self, path: Path) -> list[Row]:
        """Runs of a file; none if it does not exist, is of another study, or is damaged."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                return []
            rows = [_unpacked(row) for row in content["runs"]]
            if content["hash"] == self.header["hash"]:
                return rows
            self.others |= {(row["arm"], row["seed"]): row for row in rows}
            if path == self.path:
                self._foreign = content["hash"]
            return []
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:  # a damaged file can raise nearly anything
            found = "a file of results that cannot be read"
            if not isinstance(error, OSError):
                found = "a damaged file of results"
            warnings.warn(
                f"{path}: found {found} ({error!r}); it is not used, "
                "and its runs are computed again",
                stacklevel=4,
            )
            return []

    def take_others(self, wanted: list[RunKey]) -> None:
        """Take wanted runs of other code, settings or data where there are no fitting ones."""
        keys = [key for key in wanted if key not in self.rows and key in self.others]
        name = f"{self.header['name']}.json, of other code, settings or data"
        self._take([self.others[key] for key in keys], name)

    def add(self, row: Row) -> None:
        """Keep a finished run, on disk too: a study that is killed loses only runs under way."""
        self.rows[row["arm"], row["seed"]] = row
        if self.path is not None:
            self._write()

    def _write(self) -> None:
        """Write the file, or keep the runs in memory and say so once for each study."""
        assert self.path is not None
        content = self.text().encode()
        try:
            if self._foreign is not None:
                with written_whole(self.path.with_suffix(f".{self._foreign}.json")) as part:
                    shutil.copyfile(self.path, part)
                self._foreign = None
            with written_whole(self.path) as part:
                part.write_bytes(content)
        except OSError as error:
            if self._key not in _unwritten:
                why = why_not_written(self.path.parent, error, len(content), "COURSEKIT_STUDIES")
                warnings.warn(
                    f"{why} Until this process ends, the results of {self.header['name']!r} "
                    "are kept in memory.",
                    stacklevel=4,
                )
            _unwritten[self._key] = self.rows
        else:
            _unwritten.pop(self._key, None)

    def text(self) -> str:
        """The file's content: equal bytes for equal content, one line a run."""
        head = json.dumps(self.header, indent=1, sort_keys=True, allow_nan=False)
        rows = (json.dumps(_packed(self.rows[k]), sort_keys=True) for k in sorted(self.rows))
        return head.removesuffix("\n}") + ',\n "runs": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"


def rounded(value: float) -> float:
    """Six significant digits: what is kept, so that a table read is the table computed."""
    return float(f"{value:.6g}")


def _packed(row: Row) -> Row:
    """Json knows no nan and no infinity; they are kept as strings."""
    metrics = {k: v if math.isfinite(v) else str(v) for k, v in row["metrics"].items()}
    return {**row, "metrics": metrics}


def _unpacked(row: Row) -> Row:
    metrics = {name: float(value) for name, value in row["metrics"].items()}
    needed = ("arm", "seed", "diverged", "pictures", "stream", "unread", "seconds")
    return {**{name: row[name] for name in needed}, "metrics": metrics}
