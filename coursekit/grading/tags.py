"""Tags that name an exercise: ``exercise:NAME`` on its check, ``needs:NAME`` on what uses it."""

from typing import Any


def named_tags(tags: Any, kind: str) -> list[str]:
    """Return the names in the tags ``kind:NAME``, in order; of anything else than a list, none."""
    if not isinstance(tags, list):
        return []
    start = f"{kind}:"
    return [
        tag.removeprefix(start) for tag in tags if isinstance(tag, str) and tag.startswith(start)
    ]
