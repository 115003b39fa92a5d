"""One script in one process and, under ``torchrun``, in two: same pictures, same gradients."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from coursekit.data import Dataset, Split  # noqa: E402
from coursekit.port import distributed  # noqa: E402
from coursekit.port.trainer import Trainer  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys

import numpy as np
import torch
from pathlib import Path

from coursekit import port, training
from coursekit.data import Dataset, Split
from coursekit.data.augment import Compose

torch.set_num_threads(1)
folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
train, val = (
    Split(rng.integers(0, 256, (n, 3, 8, 8)).astype(np.uint8), rng.integers(0, 3, n))
    for n in (99, 20)
)
data = Dataset("toy", train, val, val, tuple("abc"))
seen, gradients = [], []


class Watch(training.Callback):
    def after_backward(self, trainer):
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.net.parameters()]).clone())


with port.process_group():
    torch.manual_seed(port.rank())  # nets that begin apart are made the same
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.GroupNorm(2, 4), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(4 * 64, 3),
    )
    net.register_forward_pre_hook(lambda m, x: seen.append(x[0].clone()) if m.training else None)
    trainer = port.Trainer(
        net,
        data,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9),
        criterion=torch.nn.CrossEntropyLoss(label_smoothing=0.1),
        batch_size=16,
        augment=Compose([port.RandomCrop(2), port.AlternatingFlip(), port.Cutout(3)]),
        callbacks=[Watch()],
        progress=False,
        device="cpu",
    )
    trainer.fit(2)
    trainer.save(folder / "run.pt")
    torch.save(
        {"seen": seen, "gradients": gradients, "world_size": port.world_size(),
         "history": trainer.history.to_dict()},
        folder / f"{port.rank()}.pt",
    )
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What the script saw: alone, and as the first and the second of two."""
    folder = tmp_path_factory.mktemp("runs")
    script = folder / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name, launcher in (("alone", []), ("two", torchrun)):
        (folder / name).mkdir()
        done = subprocess.run(
            [sys.executable, *launcher, str(script), str(folder / name)],
            env=environ,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    paths = ("alone/0.pt", "two/0.pt", "two/1.pt")
    return SimpleNamespace(
        folder=folder, seen=[torch.load(folder / path, weights_only=True) for path in paths]
    )


pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform == "win32",
    reason="needs torch.distributed with gloo",
)


def test_two_processes_see_one_process_pictures_in_its_order(runs):
    alone, first, second = runs.seen
    assert [run["world_size"] for run in runs.seen] == [1, 2, 2]
    assert len(alone["seen"]) == 14
    for whole, *parts in zip(alone["seen"], first["seen"], second["seen"], strict=True):
        assert torch.equal(whole, torch.cat(parts))
    assert [len(run["seen"][6]) for run in runs.seen] == [3, 1, 2]  # the last batch is uneven


def test_their_gradients_are_one_process_gradients(runs):
    alone, first, second = (run["gradients"] for run in runs.seen)
    assert len(alone) == 14
    for a, b, c in zip(alone, first, second, strict=True):
        assert torch.equal(b, c)
        assert float((a - b).abs().max()) <= 1e-6 < float(a.abs().max())


def test_every_process_has_the_whole_history(runs):
    alone, first, second = (run["history"] for run in runs.seen)
    for rows in ("steps", "epochs"):
        for a, b, c in zip(alone[rows], first[rows], second[rows], strict=True):
            for name in a.keys() - {"seconds"}:
                assert b[name] == c[name]
                assert a[name] == pytest.approx(b[name], abs=1e-5)


def test_the_run_is_written_once_and_goes_on_in_one_process(runs):
    names = sorted(path.name for path in (runs.folder / "two").iterdir())
    assert names == ["0.pt", "1.pt", "run.pt"]
    state = torch.load(runs.folder / "two" / "run.pt", weights_only=True)["states"]["net"]
    assert sorted(state) == ["0.bias", "0.weight", "1.bias", "1.weight", "4.bias", "4.weight"]


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group():
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.is_main()
        distributed.wait_for_all()


def two_process_trainer(monkeypatch, count, **options):
    """Set one up as the first of two would, up to its checks."""
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    if "loader" in options:
        images, labels = torch.zeros(count, 3, 4, 4), torch.zeros(count).long()
        sets = SimpleNamespace(train=torch.utils.data.TensorDataset(images, labels), val=[])
    else:
        split = Split(np.zeros((count, 3, 4, 4), np.uint8), np.zeros(count, np.int64))
        sets = Dataset("toy", split, split, split, tuple("abc"))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    optimizer = torch.optim.SGD(net.parameters())
    criterion = torch.nn.CrossEntropyLoss()
    return Trainer(net, sets, optimizer=optimizer, criterion=criterion, device="cpu", **options)


def test_a_batch_that_leaves_a_process_empty_handed_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="batch_size: got 8, so the smallest batch has 1 picture"):
        two_process_trainer(monkeypatch, 17, batch_size=8)


def test_a_loader_that_does_not_share_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="loader: got one that gives all 2 processes the same"):
        two_process_trainer(monkeypatch, 16, loader=torch.utils.data.DataLoader)
