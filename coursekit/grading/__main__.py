"""Grade notebooks from the command line: ``python -m coursekit.grading --help``."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

_NEEDED = {"nbclient": "nbclient", "nbformat": "nbformat", "ipykernel": "ipykernel"}
_MORE = """\
The exercises' checks run on the bundled pictures, with the code that they use; trainings do not
run. Outcomes: passed; wrong (the check found a mistake); not attempted (the stub is untouched);
could not run (an error outside the answer, a time limit, a cell that is not Python).

examples:
  python -m coursekit.grading exercises/01_fc_nets.ipynb
  python -m coursekit.grading handed_in/*.ipynb --reference exercises/01_fc_nets.ipynb \\
      --json results.json

exit code: 0 if every exercise of every notebook passed, 1 if one did not, 2 if a notebook could
not be graded (the others are) or nothing could be."""


def main(arguments: list[str] | None = None) -> int:
    """Grade, write, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.grading",
        description="Grade the exercises of notebooks.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="NOTEBOOK",
        help="the notebook as handed out: its checks are the ones run, whatever became of them",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there too")
    parser.add_argument(
        "--seconds", type=float, default=60, help="what one statement or check may take (60)"
    )
    args = parser.parse_args(arguments)
    if not args.seconds > 0:
        parser.error(f"--seconds: got {args.seconds:g}; needed a number above 0")
    if args.json and not _real(args.json).parent.is_dir():
        parser.error(f"--json: got {args.json}; needed a file in a folder that exists")
    if args.json and _real(args.json) in {_real(p) for p in [*args.notebooks, args.reference] if p}:
        parser.error(f"--json: got {args.json}, a notebook that is to be read; needed another file")
    missing = [package for name, package in _NEEDED.items() if find_spec(name) is None]
    if missing:
        print(
            f"grading needs {', '.join(missing)}: python -m pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        return 2
    return _grade(args)


def _real(path: Path) -> Path:
    """Where links lead; before Python 3.13, `Path.resolve` fails at one that leads to itself."""
    return Path(os.path.realpath(path))


def _grade(args: argparse.Namespace) -> int:
    from coursekit.grading.grade import grade
    from coursekit.grading.report import Graded, shown, write_json

    report = []
    for path in args.notebooks:
        try:
            verdicts = grade(path, args.reference, cell_seconds=args.seconds)
            report.append(Graded(path, tuple(verdicts)))
        except (ValueError, RuntimeError, OSError) as error:
            report.append(Graded(path, error=str(error).removeprefix(f"{path}: ")))
        except Exception as error:  # ours, then; it must not cost the other notebooks theirs
            report.append(Graded(path, error=f"{type(error).__name__}: {error}"))
    code = 0 if all(g.passed == len(g.verdicts) for g in report) else 1
    if any(g.error for g in report):
        code = 2
    if args.json:
        try:
            write_json(report, args.json)
        except OSError as error:
            print(f"--json: {args.json} could not be written: {error}", file=sys.stderr)
            code = 2
    try:
        print(shown("\n\n".join(g.table() for g in report), sys.stdout.encoding), flush=True)
    except BrokenPipeError:  # the reader, `head` for one, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
