"""Is this file a run, and one that this trainer can continue? Asked before anything is changed."""

from numbers import Real
from pathlib import Path
from typing import Any

FORMAT = 2

_META: dict[str, type | tuple[type, ...]] = {
    "epoch": int,
    "step": int,
    "best_accuracy": Real,
    "scheduler": (dict, type(None)),
    "setup": dict,
    "history": dict,
}


def refused(path: Path, found: str, needed: str = "a run that this trainer can continue") -> Any:
    """Return the one error of a file that cannot be continued."""
    return ValueError(
        f"{path}: {found}; needed {needed}. Nothing was changed: load another file, or set net, "
        "data, optimizer, scheduler and Trainer up as they were when it was saved"
    )


def foreign(path: Path, found: str, trainer: str) -> Any:
    """Return the one error of a file that is damaged or something else."""
    return ValueError(
        f"{path}: found {found}; needed a run that the save() of {trainer} wrote. Nothing was "
        "changed: load another file, or start the run anew"
    )


def kind_of(scheduler: Any) -> str | None:
    """Name and origin of a schedule and those inside it: "torch.SequentialLR(torch.LinearLR)"."""
    if scheduler is None:
        return None
    kind = type(scheduler)
    inner = [str(kind_of(one)) for one in getattr(scheduler, "_schedulers", ())]
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return f"{name}({', '.join(inner)})" if inner else name


def check_run(
    path: Path,
    meta: dict[str, Any],
    states: dict[str, Any],
    setup: dict[str, Any],
    net: dict[str, Any],
) -> None:
    """Raise ``ValueError`` unless a trainer can continue what a file holds.

    Args:
        path: of the file, for the message.
        meta: what the file says of the run.
        states: its arrays or tensors, by room and name.
        setup: the trainer's own.
        net: the state of the trainer's net.
    """
    _check_meta(path, meta)
    saved = meta["setup"]
    if saved.get("optimizer") != setup["optimizer"]:
        raise refused(
            path,
            f"the optimizer's state does not fit {setup['optimizer']}: the run was saved with "
            f"{saved.get('optimizer')}",
            setup["optimizer"],
        )
    if (saved.get("scheduler") is None) != (setup["scheduler"] is None):
        raise refused(
            path,
            f"scheduler: either the run saved in {path.name} or this trainer has none "
            f"({saved.get('scheduler')} and {setup['scheduler']})",
            "the same in both",
        )
    _check_state(path, "net", states["net"], net)
    for name, own in setup.items():
        came = saved.get(name)
        if came != own:
            raise refused(
                path,
                f"{name} of the run saved in {path.name} is {_shown(came, own)}, this trainer has "
                f"{_shown(own, came)}",
                f"{name} as saved",
            )
    if states["best"]:
        _check_state(path, "best weights", states["best"], net)


def _shown(value: Any, other: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list):  # the layers of a net, of which there may be hundreds
        return ", ".join([part for part in value if part not in (other or [])][:3]) or "without"
    return str(value)


def _check_meta(path: Path, meta: Any) -> None:
    if meta.get("format") != FORMAT:
        raise refused(
            path,
            f"found a run in format {meta.get('format')}, of another version of coursekit",
            f"format {FORMAT}",
        )
    for name, kind in _META.items():
        if not isinstance(meta.get(name), kind):
            raise refused(path, f"found a damaged run, whose {name!r} is {meta.get(name)!r}")
    rows = meta["history"]
    for name, needed in (("steps", ("step", "loss")), ("epochs", ("epoch", "val_accuracy"))):
        for row in rows.get(name) if isinstance(rows.get(name), list) else [None]:
            if not isinstance(row, dict) or not all(isinstance(row.get(k), Real) for k in needed):
                raise refused(path, f"found a damaged run, whose history has {row!r} in {name!r}")
    if rows.keys() != {"steps", "epochs"}:
        raise refused(path, f"found a damaged run, whose history has {sorted(rows)}")


def _check_state(path: Path, what: str, state: Any, own: dict[str, Any]) -> None:
    """Names, shapes and dtypes; a module's extra state has none and is left to the net."""
    if not isinstance(state, dict):
        raise refused(path, f"found a damaged run, whose {what} is a {type(state).__name__}")
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise refused(
            path,
            f"the {what}'s state does not fit this net: missing {missing}, unknown {unknown}",
            "the same layers",
        )
    for name, value in own.items():
        if not hasattr(value, "dtype"):
            continue
        for of in ("shape", "dtype"):
            came, needed = getattr(state[name], of, None), getattr(value, of)
            if came != needed:
                came = tuple(came) if of == "shape" and came is not None else came
                needed = tuple(needed) if of == "shape" else needed
                raise refused(path, f"{what}[{name!r}] has {of} {came}", f"{needed} as in this net")
