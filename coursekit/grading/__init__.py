"""The pytest side of an exercise, and the grader: ``python -m coursekit.grading NOTEBOOK.ipynb``.

`coursekit.grading.plugin` is loaded by pytest by itself once coursekit is installed. An exercise is
known by the tag ``exercise:NAME`` of its check cell, never by the cell's number.
"""
