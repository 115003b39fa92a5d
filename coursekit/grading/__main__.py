"""Grade notebooks from the command line.

python -m coursekit.grading NOTEBOOK.ipynb [...] [--reference HANDED_OUT.ipynb] [--json FILE]

Exit code: 0 if every exercise of every notebook passed, 1 if not, 2 if a notebook is unreadable.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from coursekit.grading.grade import PASSED, Verdict, grade


def table(path: Path, verdicts: list[Verdict]) -> str:
    """Return the verdicts as text, one exercise a line, with the score below."""
    width = max(len(verdict.exercise) for verdict in verdicts)
    lines = [f"  {v.exercise:<{width}}  {v.outcome:<13}  {v.message}".rstrip() for v in verdicts]
    passed = sum(v.outcome == PASSED for v in verdicts)
    return "\n".join([str(path), *lines, f"  {passed} of {len(verdicts)} exercises passed"])


def main(arguments: list[str] | None = None) -> int:
    """Grade, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.grading", description="Grade the exercises of notebooks."
    )
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument(
        "--reference", type=Path, help="the notebook as handed out: its checks are the ones run"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there too")
    args = parser.parse_args(arguments)
    report = []
    for path in args.notebooks:
        try:
            verdicts = grade(path, args.reference)
        except (ValueError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
        print(table(path, verdicts))
        passed = sum(verdict.outcome == PASSED for verdict in verdicts)
        report.append(
            {
                "notebook": str(path),
                "passed": passed,
                "of": len(verdicts),
                "score": passed / len(verdicts),
                "exercises": [asdict(verdict) for verdict in verdicts],
            }
        )
    if args.json:
        part = args.json.with_name(args.json.name + ".part")
        part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        os.replace(part, args.json)
    return 0 if all(entry["passed"] == entry["of"] for entry in report) else 1


if __name__ == "__main__":
    sys.exit(main())
