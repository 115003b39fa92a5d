"""Make the folder a learner works in.

python -m coursekit.lesson WORK [--exercises DIR] [--notebooks DIR]
"""

import argparse
import sys
from pathlib import Path

from coursekit.lesson.workspace import START, prepare


def main(arguments: list[str] | None = None) -> int:
    """Copy what is missing, say so, and return 0; 2 with the reason on stderr if it cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m coursekit.lesson", description="Make the folder a learner works in."
    )
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--exercises", type=Path, default=Path("exercises"), metavar="DIR")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), metavar="DIR")
    args = parser.parse_args(arguments)
    try:
        copied = prepare(args.work, args.exercises, args.notebooks)
    except (ValueError, OSError) as error:
        where = f"{args.work}: " if isinstance(error, OSError) and not error.filename else ""
        print(f"{where}{error}", file=sys.stderr)  # a full disk does not say which
        return 2
    what = f"copied {', '.join(copied)}" if copied else "your lessons are as you left them"
    print(f"{args.work}: {what}; start at {args.work / START}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
