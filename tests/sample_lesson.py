# %% [markdown]
# # A sample lesson
#
# {{badge}}
#
# Small enough to be built by the tests, with one of everything.

# %%
# {{setup}}

# %%
import matplotlib.pyplot as plt
import numpy as np

from coursekit import plots
from coursekit.checks import ExerciseError


def check(name, function, value, wanted):
    """Raise ExerciseError unless ``function(value) == wanted``."""
    try:
        got = function(value)
    except NotImplementedError:
        raise ExerciseError(f"{name}: not implemented yet") from None
    if got != wanted:
        raise ExerciseError(f"{name}: expected {wanted}, got {got}")
    print(f"{name}: all good")


# %% [markdown]
# ## Exercise: double
# Difficulty 1/5 · importance 5/5 · 2 minutes
#
# Return twice the argument.


# %%
def double(x):
    """Return 2 * x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% tags=["exercise:double"]
check("double", double, 3, 6)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Add it to itself.
#
# </details>

# %% [markdown]
# ## Exercise: square
# Difficulty 1/5 · importance 4/5 · 2 minutes


# %%
def square(x):
    """Return x * x."""
    ### BEGIN SOLUTION
    result = x * x
    ### END SOLUTION
    return result


# %% tags=["exercise:square"]
check("square", square, 3, 9)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Multiply it by itself.
#
# </details>
#
# ## What they look like

# %% tags=["needs:double"]
print("double of 21 is", double(21))

# %%
print("this cell needs nobody")

# %% tags=["nbval-ignore-output"]
print("seconds since the epoch:", __import__("time").time())

# %%
fig, ax = plt.subplots()
_ = ax.plot(np.arange(4), np.arange(4) ** 2)
plots.show(fig, "A parabola: the growth grows.")

# %%
live = None
for epoch in range(3):
    fig, ax = plt.subplots()
    _ = ax.plot(range(epoch + 1))
    live = plots.show(fig, "A line that became longer.", update=live)
