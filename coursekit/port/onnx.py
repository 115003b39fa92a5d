"""A net for other programs: the ONNX file, and the proof that it computes the same."""

import copy
from pathlib import Path

import numpy as np
import torch

from coursekit.atomic import written_whole


def export_onnx(
    net: torch.nn.Module, path: str | Path, input_shape: tuple[int, ...], *, tolerance: float = 1e-4
) -> float:
    """Write ``net``, as it evaluates, to an ONNX file that takes any number of pictures.

    The file is then run by onnxruntime on a batch of another size, and its logits compared.

    Args:
        net: any module that takes one tensor; it stays as it is.
        path: of the file, usually ``.onnx``.
        input_shape: of one picture, (C, H, W).
        tolerance: largest difference of a logit that passes, in parts of the largest logit.

    Returns:
        the largest difference of a logit between onnxruntime and the net.

    Raises:
        ImportError: one of them is missing: ``pip install onnx onnxscript onnxruntime``.
        ValueError: the logits differ.
        OSError: the file cannot be written. After either error an old file is as it was.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it, and says so less clearly)
    except ImportError as error:
        raise ImportError("export_onnx needs: pip install onnx onnxscript onnxruntime") from error
    plain = copy.deepcopy(net).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    dtype = next(plain.parameters()).dtype
    few, more = (torch.randn(n, *input_shape, generator=generator, dtype=dtype) for n in (2, 5))
    with torch.inference_mode():
        expected = plain(more).numpy()
    with written_whole(path) as part:
        torch.onnx.export(
            plain,
            (few,),
            str(part),
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("pictures_in_batch", min=1)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        (got,) = session.run(["logits"], {"pictures": more.numpy()})
        difference = float(np.abs(got - expected).max())
        if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
            raise ValueError(
                f"net: onnxruntime's logits differ from it by up to {difference:.3g}; needed at "
                f"most {tolerance:g} of the largest logit"
            )
    return difference
