"""Checks that say what is wrong: gradients, the sanity of a net, claims, exercises.

- :func:`gradcheck` and :func:`gradcheck_module`: is the backward the derivative?
- :func:`sanity_ladder`: four questions to ask of a net before it is trained in earnest.
- :func:`expect`: a claim about a number, tested and told without its digits.
- :func:`check`: a learner's function beside the reference, on hostile inputs.
- :func:`last_failure`: the arrays of the check that failed last, and where they differ.
- ``coursekit.checks.zoo``: the wrong implementations which those checks must catch.
"""

from coursekit.checks.exercises import check
from coursekit.checks.expect import expect
from coursekit.checks.failures import Failure, last_failure
from coursekit.checks.gradcheck import gradcheck
from coursekit.checks.gradcheck_module import gradcheck_module
from coursekit.checks.gradcheck_result import GradCheckResult
from coursekit.checks.ladder import LadderResult, sanity_ladder
from coursekit.checks.report import CheckFailed, ExerciseError, NotAttempted

__all__ = [
    "CheckFailed",
    "ExerciseError",
    "Failure",
    "GradCheckResult",
    "LadderResult",
    "NotAttempted",
    "check",
    "expect",
    "gradcheck",
    "gradcheck_module",
    "last_failure",
    "sanity_ladder",
]
