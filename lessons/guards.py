"""What every stored notebook must be, beyond what nbval looks at.

nbval passes a cell that was never run, a picture nobody can read out, and a badge that leads
nowhere. A guard takes the notebook as JSON has it and yields one sentence per problem, naming the
cell; `problems` asks them all.
"""

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from sources import METADATA, badge, depends_on_learner

MAX_BYTES = 1_200_000
KNOWN_TAG = re.compile(r"nbval-ignore-output|(exercise|needs):[a-z][a-z0-9_]*")
# Two folders or more from the root, or a Windows drive; not the path of a web address.
_PATH = re.compile(r"(?<![\w.:/<-])/(?:[\w.+-]+/)+[\w.+-]*|\b[A-Za-z]:\\\w")
_PAYLOAD = re.compile(r";base64,[\w+/=]+")  # a picture: many slashes, no path
_WIDGET = "application/vnd.jupyter.widget-view+json"

Problems = Iterator[str]


def problems(path: Path) -> list[str]:
    """Return what is wrong with the stored notebook `path`; an empty list is a pass."""
    if not path.is_file():
        return ["does not exist; build it from its lesson (make notebooks)"]
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = [text for guard in GUARDS for text in guard(notebook)]
    found += badge_matches(notebook, path.parent.name, path.stem)
    if path.stat().st_size > MAX_BYTES:
        found.append(f"has {path.stat().st_size} bytes; at most {MAX_BYTES} are allowed")
    return found


def run_in_order(notebook: dict) -> Problems:
    """Each code cell was run once, from top to bottom."""
    for number, cell in enumerate(_code(notebook), start=1):
        if _is_unsolved(notebook, cell):
            if cell["execution_count"] is not None or cell["outputs"]:
                yield f"{_name(cell)} shows what only the learner's own run can give"
        elif cell["execution_count"] != number:
            yield f"{_name(cell)} has execution count {cell['execution_count']}, not {number}"


def no_errors(notebook: dict) -> Problems:
    """No cell ended in an error, and none wrote a warning."""
    for cell, output in _outputs(notebook):
        if output["output_type"] == "error":
            yield f"{_name(cell)} ended in {output['ename']}: {output['evalue']}"
        if output.get("name") == "stderr":
            yield f"{_name(cell)} wrote to stderr: {_text(output['text'])[:80]!r}"


def no_semicolon(notebook: dict) -> Problems:
    """No cell ends in a semicolon: nbval's kernel ignores it and sees an output more."""
    for cell in _code(notebook):
        if _text(cell["source"]).rstrip().endswith(";"):
            yield f"{_name(cell)} ends in a semicolon; write `_ = ...` instead"


def alt_texts(notebook: dict) -> Problems:
    """Each picture is HTML, whose alt text every page keeps, and stands there as plain text too."""
    for cell, output in _outputs(notebook):
        data = output.get("data", {})
        plain = _text(data.get("text/plain", ""))
        alts = _alts(_text(data.get("text/html", "")))
        alts += ["" for mime in data if mime.startswith("image/")]  # JupyterLab gives these none
        if any(not alt.strip() or plain != f"[figure] {alt}" for alt in alts):
            yield f"{_name(cell)} shows a picture without alt text; use plots.show(fig, alt)"
        if "image/svg+xml" in data:
            yield f"{_name(cell)} shows an SVG, which differs between matplotlib versions"


def _alts(page: str) -> list[str]:
    """Return the alt text of each picture in the HTML, "" where it has none."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                found.append(dict(attributes).get("alt") or "")

    Reader().feed(page)
    return found


def cell_ids(notebook: dict) -> Problems:
    """Each cell has an id of its own that says something."""
    seen = set()
    for cell in notebook["cells"]:
        name = cell.get("id", "")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
            yield f"a {cell['cell_type']} cell has the id {name!r}; lower case, digits and - only"
        if name in seen:
            yield f"two cells have the id {name!r}"
        seen.add(name)


def known_tags(notebook: dict) -> Problems:
    """A tag with a typing error in it would be no tag at all; comments for nbval are noise."""
    for cell in notebook["cells"]:
        for tag in cell["metadata"].get("tags", []):
            if not KNOWN_TAG.fullmatch(tag):
                yield f"{_name(cell)} has the unknown tag {tag!r}"
        if cell["cell_type"] == "code" and re.search(r"#\s*NBVAL_", _text(cell["source"])):
            yield f"{_name(cell)} steers nbval by a comment; use a tag"


def lean_metadata(notebook: dict) -> Problems:
    """No widgets, timings or editor settings."""
    if notebook["metadata"] != METADATA:
        yield f"the notebook's metadata holds more than {sorted(METADATA)}"
    for cell in notebook["cells"]:
        if extra := set(cell["metadata"]) - {"tags"}:
            yield f"{_name(cell)} has metadata {sorted(extra)}"
    for cell, output in _outputs(notebook):
        if _WIDGET in output.get("data", {}):
            yield f"{_name(cell)} stores a widget; set COURSEKIT_PROGRESS=off"


def checks_compared(notebook: dict) -> Problems:
    """Each exercise's check prints something, and nbval compares it."""
    seen = set()
    for cell in _code(notebook):
        tags = cell["metadata"].get("tags", [])
        for tag in (tag for tag in tags if tag.startswith("exercise:")):
            if tag in seen:
                yield f"{_name(cell)} is a second check of {tag}"
            seen.add(tag)
            if "nbval-ignore-output" in tags:
                yield f"{_name(cell)} checks {tag}, and its output is ignored"
            if not cell["outputs"] and not _is_unsolved(notebook, cell):
                yield f"{_name(cell)} checks {tag} without a word"


def claims_alike(notebook: dict) -> Problems:
    """`expect` prints its name and bounds, which nbval compares: alike in every world."""
    for cell in _code(notebook):
        if "nbval-ignore-output" in cell["metadata"].get("tags", []):
            continue
        for call in ast.walk(ast.parse(_text(cell["source"]))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "expect":
                bounds = [*call.args[:1], *call.args[2:], *call.keywords]
                if any("plan." in ast.unparse(part) for part in bounds):
                    yield f"{_name(cell)}: what depends on the plan belongs into expect's value"


def solutions_in_place(notebook: dict) -> Problems:
    """Check, hints, solution (where there is one), then the text that goes on: in this order."""
    cells = notebook["cells"]
    folded = _is_exercises(notebook)
    for number, cell in enumerate(cells):
        text = _text(cell["source"])
        if cell["cell_type"] == "markdown" and text.count("<details") != text.count("</details>"):
            yield f"{_name(cell)}: <details> and </details> do not come in pairs"
        checked = _tagged(cells[number - 1], "exercise") if number else []
        if cell["cell_type"] == "markdown" and "<summary>Hint" in text and not checked:
            yield f"{_name(cell)}: hints stand right behind a check, all in one cell"
        for name in _tagged(cell, "exercise"):
            hint, after = (*cells[number + 1 : number + 3], {}, {})[:2]
            left = re.sub(r"<details.*?</details>", "", _text(hint.get("source", "")), flags=re.S)
            if hint.get("cell_type") != "markdown" or left.strip():
                yield f"{_name(cell)}: the cell after it holds more than hints, or none"
            if folded and after.get("id") != f"solution-{name.replace('_', '-')}":
                yield f"{_name(cell)}: its solution does not stand right after its hints"


def mostly_compared(notebook: dict) -> Problems:
    """Fewer than half of the code cells are ignored."""
    code = _code(notebook)
    ignored = sum("nbval-ignore-output" in cell["metadata"].get("tags", []) for cell in code)
    if 2 * ignored >= max(len(code), 1):
        yield f"{ignored} of {len(code)} code cells carry nbval-ignore-output"


def no_machine_paths(notebook: dict) -> Problems:
    """No output names a folder of the machine it was made on."""
    for cell, output in _outputs(notebook):
        data = output.get("data", {})
        texts = [data[mime] for mime in data if mime.startswith("text/")]
        for text in [output.get("text", ""), *texts]:
            if hit := _PATH.search(_PAYLOAD.sub("", _text(text))):
                yield f"{_name(cell)} prints the path {hit[0]!r}"


def headings_in_order(notebook: dict) -> Problems:
    """One title, in the first cell, and no level left out on the way down."""
    level = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        text = re.sub(r"^```.*?^```", "", _text(cell["source"]), flags=re.DOTALL | re.MULTILINE)
        for marks, title in re.findall(r"^(#{1,6}) +(.*)", text, flags=re.MULTILINE):
            if len(marks) > level + 1:
                yield f"{_name(cell)}: heading {title!r} is {len(marks) - level} levels down"
            if len(marks) == 1 and level:
                yield f"{_name(cell)}: {title!r} is a second title"
            level = len(marks)
    if not _text(notebook["cells"][0]["source"]).startswith("# "):
        yield "the first cell does not begin with the title"


def badge_matches(notebook: dict, folder: str, name: str) -> Problems:
    """The first cell's badge opens this very notebook of the project's repository."""
    if badge(folder, name) not in _text(notebook["cells"][0]["source"]):
        yield f"the first cell lacks the Colab badge of {folder}/{name}.ipynb"


GUARDS = (
    run_in_order,
    no_errors,
    no_semicolon,
    alt_texts,
    cell_ids,
    known_tags,
    lean_metadata,
    checks_compared,
    claims_alike,
    solutions_in_place,
    mostly_compared,
    no_machine_paths,
    headings_in_order,
)


def _is_exercises(notebook: dict) -> bool:
    """True for the learner's edition, which has folded solutions."""
    return any(cell.get("id", "").startswith("solution-") for cell in notebook["cells"])


def _is_unsolved(notebook: dict, cell: dict) -> bool:
    """True for a cell of the learner's edition whose output is the learner's to make."""
    return depends_on_learner(cell) and _is_exercises(notebook)


def _tagged(cell: dict, kind: str) -> list[str]:
    tags = cell["metadata"].get("tags", [])
    return [tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:")]


def _code(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _outputs(notebook: dict) -> Iterator[tuple[dict, dict]]:
    return ((cell, output) for cell in _code(notebook) for output in cell["outputs"])


def _text(lines: str | list[str]) -> str:
    """The format stores a text as its lines."""
    return "".join(lines)


def _name(cell: dict) -> str:
    return f"cell {cell.get('id', '?')!r}"
