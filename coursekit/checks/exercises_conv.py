"""Lesson 3's exercises on convolution: how each is called, and on which inputs.

Pictures are higher than wide and wider than high, kernels too; strides leave pixels over; and
now and then all sizes are equal, so that swapped axes crash nowhere but give other numbers.
"""

from typing import Any

import numpy as np
from numpy.random import Generator

from coursekit.checks import references_conv as reference
from coursekit.checks.exercises import Case, Exercise, Functions, register
from coursekit.checks.outcomes import BadReturn, unpack
from coursekit.checks.pairs import run_backward, run_forward, with_dout

Shape4 = tuple[int, int, int, int]

# x, w, stride, padding, what is special
CONVOLUTIONS: list[tuple[Shape4, Shape4, int, int, str]] = [
    ((2, 3, 6, 6), (4, 3, 3, 3), 1, 1, ""),
    ((2, 3, 5, 7), (4, 3, 3, 3), 1, 1, ", wider than high"),
    ((2, 2, 8, 5), (3, 2, 3, 3), 1, 0, ", higher than wide"),
    ((2, 3, 7, 7), (4, 3, 3, 2), 1, 0, ", a kernel higher than wide"),
    ((2, 2, 7, 7), (3, 2, 2, 4), 1, 2, ", a kernel wider than high"),
    ((2, 2, 7, 9), (3, 2, 3, 3), 2, 1, ""),
    ((2, 2, 6, 7), (3, 2, 3, 2), 2, 0, ", a row and a column left over"),
    ((2, 2, 8, 5), (3, 2, 2, 2), 3, 0, ", pixels that no window sees"),
    ((3, 3, 3, 3), (3, 3, 3, 3), 1, 1, ", all sizes equal"),
    ((2, 3, 5, 4), (4, 3, 1, 1), 1, 0, ", a kernel of one pixel"),
    ((2, 2, 3, 4), (3, 2, 3, 4), 1, 0, ", a kernel as large as the picture"),
    ((1, 1, 4, 5), (1, 1, 2, 3), 1, 1, ", one picture, one channel, one filter"),
]


# --- what a convolution costs ---------------------------------------------------------------


def _run_cost(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    parts = unpack(functions[0](*inputs.values()), "it", "(out_h, out_w)", "parameters", "macs")
    size = parts.pop("(out_h, out_w)")
    if np.shape(size) != (2,):
        what = "the first thing that it returns should be (out_h, out_w)"
        raise BadReturn(f"{what}, got {type(size).__name__}")
    return {"out_h": size[0], "out_w": size[1], **parts}


def _cost_cases(rng: Generator) -> list[Case]:
    def case(kh: int, kw: int, stride: int, padding: int, h: int, w: int) -> Case:
        inputs = {
            "c_in": int(rng.integers(2, 40)),
            "c_out": int(rng.integers(41, 99)),
            "kernel_size": (kh, kw),
            "stride": stride,
            "padding": padding,
            "h": h,
            "w": w,
        }
        told = ", ".join(f"{name} {value}" for name, value in inputs.items())
        return Case(told, inputs)

    return [
        case(3, 3, 1, 1, 32, 32),
        case(3, 3, 1, 0, 28, 40),
        case(5, 3, 1, 2, 20, 20),
        case(7, 7, 2, 3, 224, 224),
        case(2, 4, 3, 1, 32, 18),
        case(1, 1, 1, 0, 8, 9),
        case(6, 5, 1, 0, 6, 5),
    ]


register(
    Exercise(
        "conv2d_cost",
        ("conv2d_cost",),
        (reference.conv2d_cost,),
        _run_cost,
        _cost_cases,
        floats=(np.float64,),
    )
)


# --- forward and backward -------------------------------------------------------------------


def _conv_cases(rng: Generator) -> list[Case]:
    cases = []
    for x, w, stride, padding, note in CONVOLUTIONS:
        inputs = {
            "x": rng.standard_normal(x),
            "w": rng.standard_normal(w),
            "b": 1 + rng.standard_normal(w[0]),
            "stride": stride,
            "padding": padding,
        }
        cases.append(Case(f"x {x}, w {w}, stride {stride}, padding {padding}{note}", inputs))
    return cases


register(
    Exercise(
        "conv2d_forward",
        ("conv2d_forward",),
        (reference.conv2d_forward,),
        run_forward,
        _conv_cases,
    )
)
register(
    Exercise(
        "conv2d_backward",
        ("conv2d_forward", "conv2d_backward"),
        (reference.conv2d_forward, reference.conv2d_backward),
        run_backward("dx", "dw", "db"),
        with_dout(_conv_cases, reference.conv2d_forward),
    )
)


# --- pictures as columns, and back ------------------------------------------------------------


def _im2col_cases(rng: Generator) -> list[Case]:
    cases = []
    for x, (_, _, kh, kw), stride, padding, note in CONVOLUTIONS:
        inputs = {
            "x": 3 + rng.standard_normal(x),  # no number near the 0 of the padding
            "kh": kh,
            "kw": kw,
            "stride": stride,
            "padding": padding,
        }
        told = f"x {x}, windows {kh, kw}, stride {stride}, padding {padding}{note}"
        if (kh, kw) != x[2:]:  # else the rows are the pictures, and a view of them would do
            cases.append(Case(told, inputs))
    return cases


def _run_im2col(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"cols": functions[0](*inputs.values())}


def _col2im_cases(rng: Generator) -> list[Case]:
    cases = []
    for c in _im2col_cases(rng):
        x, kh, kw, stride, padding = c.inputs.values()
        cols = rng.standard_normal(reference.im2col(x, kh, kw, stride, padding).shape)
        inputs = {"cols": cols, "x_shape": x.shape, "kh": kh, "kw": kw}
        told = c.description.replace("x ", "x_shape ", 1)
        cases.append(Case(told, inputs | {"stride": stride, "padding": padding}))
    return cases


def _run_col2im(functions: Functions, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"dx": functions[0](*inputs.values())}


register(Exercise("im2col", ("im2col",), (reference.im2col,), _run_im2col, _im2col_cases))
register(Exercise("col2im", ("col2im",), (reference.col2im,), _run_col2im, _col2im_cases))
