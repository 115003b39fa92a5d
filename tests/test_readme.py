"""The README's numbers are those that were measured."""

import json
import re
from pathlib import Path

import pytest

from coursekit.checks import zoo

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "fc_best",
        "fc_norm_best",
        "cnn_best",
        "compact_10_epochs",
        "compact_best_10_epochs",
        "resnet18",
    ],
)
def test_the_accuracy_is_that_of_the_benchmark(name):
    result = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
    assert result["data"] == "cifar10" and len(result["runs"]) >= 3
    told = f"{100 * result['mean']:.1f} ± {100 * result['sd']:.1f} %"
    assert told in README


def test_the_convolutions_are_as_fast_as_told():
    result = json.loads((ROOT / "benchmarks/results/conv.json").read_text(encoding="utf-8"))
    assert f"{result['geometric mean']:.2f} of PyTorch's time" in README


def test_the_zoo_is_as_large_as_told():
    ((numpy, torch),) = re.findall(
        r"(\d+) wrong implementations in NumPy and (\d+) in PyTorch", README
    )
    homes = [a.function.__module__ for a in zoo.animals()]
    assert int(numpy) == sum(home.startswith("coursekit.checks.") for home in homes)
    # PyTorch's join when coursekit.port is imported.
    pytest.importorskip("coursekit.port", exc_type=ImportError)
    homes = [a.function.__module__ for a in zoo.animals()]
    assert int(torch) == sum(home.startswith("coursekit.port.") for home in homes)


def test_every_link_to_a_file_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 4
    assert [link for link in links if not (ROOT / link).exists()] == []
