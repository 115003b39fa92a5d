"""What a lesson settles before it starts: its packages, its world, how long it will take.

- :func:`require`: are the packages there, and if not, which command installs them?
- :class:`Plan`: sizes, epochs and bars for the data set and the budget at hand.
- ``python -m coursekit.lesson FOLDER`` makes the folder a learner works in.
"""

from coursekit.lesson.packages import PackageMissing, require
from coursekit.lesson.plan import WORLDS, Plan

__all__ = ["WORLDS", "PackageMissing", "Plan", "require"]
