"""Print the kill matrix: ``python -m coursekit.checks.zoo``."""

from coursekit.checks.report import say
from coursekit.checks.zoo import kill_matrix


def main() -> None:
    """One line an animal, and the totals."""
    rows = kill_matrix()
    width = max(len(r["exercise"]) for r in rows)
    wide = max(len(r["animal"]) for r in rows)
    say(f"{'exercise':{width}}  {'animal':{wide}}  caught  named  by one ordinary batch")
    for r in rows:
        marks = ["yes" if r[k] else "NO" for k in ("caught", "named", "ordinary")]
        say(
            f"{r['exercise']:{width}}  {r['animal']:{wide}}  {marks[0]:6}  {marks[1]:5}  {marks[2]}"
        )
    for key, what in (
        ("caught", "caught by the checks"),
        ("named", "named in the message"),
        ("ordinary", "caught by the values of one ordinary batch alone"),
    ):
        say(f"{sum(r[key] for r in rows)} of {len(rows)} {what}")


if __name__ == "__main__":
    main()
