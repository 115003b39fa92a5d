"""Weights in files: safetensors, torch.save read back without pickled code, and ONNX."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from coursekit.atomic import written_whole


def save_weights(net: torch.nn.Module, path: str | Path) -> Path:
    """Write the net's parameters and buffers, atomically: the old file or the new one.

    Args:
        net: any module.
        path: ends in ".safetensors" or, for ``torch.save``, in ".pt" or ".pth". Without an ending
            it gets ".safetensors" if that package is installed, else ".pt".

    Returns:
        the path of the file.

    Raises:
        ValueError: another ending.
        ImportError: safetensors is not installed.
        OSError: the file cannot be written; an old one is as it was.
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(".safetensors" if _has_safetensors() else ".pt")
    # Copies, since safetensors keeps neither shared memory nor channels-last strides.
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in net.state_dict().items()
    }
    safe = _format(path) == "safetensors" and _safetensors()
    # Given a name, torch.save hides what the disk says, and safetensors makes a private file of its
    # own, which takes the place of ours.
    with written_whole(path) as part, part.open("wb") as file:
        if safe:
            file.write(safe.save(state))
        else:
            torch.save(state, file)
    return path


def load_weights(net: torch.nn.Module, path: str | Path) -> None:
    """Read what :func:`save_weights` wrote into a net of the same architecture.

    No code in the file is run, whoever wrote it: safetensors holds none, and ``torch.load`` is
    called with ``weights_only=True``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, is damaged or holds more than tensors, or it does not
            fit the net; nothing is changed.
    """
    path = Path(path)
    if not path.suffix:
        found = [path.with_suffix(end) for end in (".safetensors", ".pt")]
        path = next((p for p in found if p.exists()), path.with_suffix(".pt"))
    read = _read_safetensors if _format(path) == "safetensors" else read_tensors
    state = read(path)
    try:
        check_state(net, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    net.load_state_dict(state)


def read_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU, if it is tensors and plain values alone.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, is damaged, or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a foreign file might be
            return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, MemoryError):
        raise
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a foreign file can raise nearly anything, a KeyError for a text
        raise ValueError(
            f"{path}: found no tensors and plain values alone: a damaged file, a text, or a net "
            "pickled as a whole, which would run code; needed what save_weights or "
            "torch.save(net.state_dict(), path) writes"
        ) from error


def check_state(net: torch.nn.Module, state: Any) -> None:
    """Raise ``ValueError`` unless ``state`` has the names and shapes of ``net``, and real tensors.

    What the net shares must have one value.
    """
    own = net.state_dict()
    if not isinstance(state, dict):
        raise ValueError(f"state: got a {type(state).__name__}; needed tensors by name")
    missing, unknown = (
        sorted(own.keys() - state.keys()),
        sorted(map(str, state.keys() - own.keys())),
    )
    if missing or unknown:
        raise ValueError(
            f"state does not fit this net: missing {missing}, unknown {unknown}{_hint(own, state)}"
        )
    first: dict[tuple[Any, ...], str] = {}
    for name, value in own.items():
        given = state[name]
        if not isinstance(value, torch.Tensor) or is_lazy(value):
            continue  # an extra state, or a lazy layer that takes any shape
        if not isinstance(given, torch.Tensor):
            raise ValueError(
                f"state[{name!r}]: got {type(given).__name__}; needed a tensor of real numbers"
            )
        dense = given.layout == torch.strided and not (given.is_quantized or given.is_meta)
        if given.is_complex() or not dense:
            kind = f"{given.dtype}, {given.layout}, on {given.device}"
            raise ValueError(f"state[{name!r}]: got {kind}; needed a tensor of real numbers")
        if given.shape != value.shape:
            raise ValueError(
                f"state[{name!r}] has shape {tuple(given.shape)}, "
                f"the net needs {tuple(value.shape)}"
            )
        if not value.numel() or value.is_meta:
            continue
        place = value.data_ptr(), value.shape, value.stride(), value.dtype
        other = first.setdefault(place, name)
        if other != name and not torch.equal(given, state[other]):
            raise ValueError(
                f"state: got two values for {other} and {name}, which this net shares; needed one, "
                "or a net that does not share them"
            )


def _hint(own: dict[str, Any], state: dict[Any, Any]) -> str:
    """What can be done about names that do not fit, if it can be seen."""
    for key, inner in state.items():
        if isinstance(inner, dict) and inner.keys() == own.keys():
            return f"; the weights are in its {key!r}: net.load_state_dict(file[{key!r}])"
    for prefix in ("module.", "_orig_mod."):
        if {f"{prefix}{name}" for name in own} == state.keys():
            return f"; all its names begin with {prefix!r}: save the net that was wrapped"
    return ""


def _format(path: Path) -> str:
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise ValueError(f"path: got {path.name!r}; needed .safetensors, .pt or .pth at its end")
    return path.suffix.removeprefix(".")


def _has_safetensors() -> bool:
    try:
        _safetensors()
    except ImportError:
        return False
    return True


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "files that end in .safetensors need safetensors: pip install safetensors; "
            "or end the name in .pt"
        ) from error
    return safetensors.torch


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    safe = _safetensors()
    from safetensors import SafetensorError

    try:
        return safe.load_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: found no safetensors, or a damaged file ({error}); needed what save_weights "
            "writes"
        ) from error
