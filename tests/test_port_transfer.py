"""Borrowed nets: published weights or one clear error, known parts, features that are kept."""

import copy
import errno
import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torchvision import models  # noqa: E402

from coursekit import port  # noqa: E402
from coursekit.port.pretrained import Published  # noqa: E402

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A server that is a folder, with the weights of a small net, and an empty cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("COURSEKIT_WEIGHTS", raising=False)

    def publish(content, *, name="tiny", truth=None):
        """Put a file there, under the hash of ``truth``."""
        file = tmp_path / "content"
        torch.save(content, file)
        data = file.read_bytes()
        digest = hashlib.sha256(truth or data).hexdigest()[:8]
        target = tmp_path / f"{name}-{digest}.pth"
        target.write_bytes(data)
        make = lambda: port.SmallResNet(3, (4, 8))  # noqa: E731
        tiny = Published(make, target.as_uri(), 32, MEAN, STD)
        module = importlib.import_module("coursekit.port.pretrained")
        monkeypatch.setattr(module, "published", lambda name: tiny)
        return target, tmp_path / "hub" / "checkpoints" / target.name

    return publish


def weights():
    torch.manual_seed(3)
    return port.SmallResNet(3, (4, 8)).state_dict()


def test_weights_are_fetched_once_and_then_read_from_the_cache(shop, capsys):
    state = weights()
    source, kept = shop(state)
    net = port.pretrained("resnet18")
    assert not net.training
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    source.unlink()
    again = port.pretrained("resnet18")
    assert torch.equal(again.fc.weight, state["fc.weight"])
    assert [f.name for f in kept.parent.iterdir()] == [kept.name]
    assert not capsys.readouterr().out  # it would name a folder, in a notebook's stored output


def test_a_missing_file_is_one_clear_error(shop):
    source, kept = shop(weights())
    source.unlink()
    with pytest.raises(port.WeightsError, match="could not be fetched") as error:
        port.pretrained("resnet18")
    assert str(kept) in str(error.value)
    assert source.as_uri() in str(error.value)
    assert not any(kept.parent.iterdir())


def test_a_wrong_download_is_refused_and_leaves_nothing(shop):
    _, kept = shop(weights(), truth=b"something else")
    with pytest.raises(port.WeightsError, match="invalid hash value"):
        port.pretrained("resnet18")
    assert not any(kept.parent.iterdir())


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_in_the_cache_is_told(shop, damage):
    _, kept = shop(weights())
    port.pretrained("resnet18")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes({"cut": content[:1000], "changed": content, "empty": b""}[damage])
    with pytest.raises(port.WeightsError, match="damaged file.*Delete it") as error:
        port.pretrained("resnet18")
    assert str(kept) in str(error.value)


def test_code_in_the_file_is_not_run(shop):
    shop({"fc.weight": print})
    with pytest.raises(port.WeightsError, match="more than tensors"):
        port.pretrained("resnet18")


def test_weights_of_another_net_are_refused(shop):
    shop(port.SmallVGG(3, (4, 8)).state_dict())
    with pytest.raises(port.WeightsError, match="another net; needed resnet18"):
        port.pretrained("resnet18")


def test_offline_nothing_is_fetched_but_the_cache_is_read(shop, monkeypatch):
    _, kept = shop(weights())
    monkeypatch.setenv("COURSEKIT_WEIGHTS", "offline")
    with pytest.raises(port.WeightsError, match="COURSEKIT_WEIGHTS=offline"):
        port.pretrained("resnet18")
    monkeypatch.setenv("COURSEKIT_WEIGHTS", "auto")
    port.pretrained("resnet18")
    monkeypatch.setenv("COURSEKIT_WEIGHTS", "offline")
    port.pretrained("resnet18")
    monkeypatch.setenv("COURSEKIT_WEIGHTS", "no")
    kept.unlink()
    with pytest.raises(ValueError, match="COURSEKIT_WEIGHTS: got 'no'"):
        port.pretrained("resnet18")


def test_the_timeout_of_sockets_is_put_back(shop):
    import socket

    shop(weights())
    socket.setdefaulttimeout(7)
    try:
        port.pretrained("resnet18")
        assert socket.getdefaulttimeout() == 7
    finally:
        socket.setdefaulttimeout(None)


def test_names_and_preparation_of_the_published():
    with pytest.raises(ValueError, match="name: got 'alexnet'; needed 'resnet18', 'vgg16_bn' or"):
        port.pretrained("alexnet")
    names = ("resnet18", "vgg16_bn", "inception_v3")
    assert [port.published(name).size for name in names] == [224, 224, 299]
    assert port.published("vgg16_bn").mean == (0.485, 0.456, 0.406)


# --- parts -------------------------------------------------------------------------------------


def torchvision_nets():
    yield models.resnet18(), 64
    yield models.vgg16_bn(init_weights=False), 32
    yield models.inception_v3(init_weights=False), 75
    yield port.SmallResNet(5), 32
    yield port.SmallVGG(5), 32


def test_every_parameter_belongs_to_one_stage_and_every_stage_is_seen():
    for net, size in torchvision_nets():
        parts = port.stages(net)
        counted = [p for part in parts.values() for layer in part for p in layer.parameters()]
        assert len(counted) == len(set(counted)) == len(list(net.parameters()))
        assert list(parts)[-1] == "head"
        assert port.head_of(net) in parts["head"]
        with torch.no_grad():
            found = port.stage_features(net, [torch.rand(2, 3, size, size)])
        assert list(found) == list(parts)[:-1]
        assert all(v.shape[0] == 2 and v.ndim == 2 for v in found.values())


def test_heads_are_replaced_in_torchvisions_nets():
    for net, size in torchvision_nets():
        assert port.replace_head(net, 7) is net
        assert net.eval()(torch.rand(2, 3, size, size)).shape == (2, 7)
    inception = port.replace_head(models.inception_v3(init_weights=False), 4).train()
    logits, aux = inception(torch.rand(2, 3, 299, 299))
    assert logits.shape == aux.shape == (2, 4)


def test_a_net_of_another_kind_is_named():
    with pytest.raises(ValueError, match="net: got Sequential; needed a ResNet"):
        port.stages(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("make", [port.SmallResNet, port.SmallVGG])
def test_small_nets_take_pictures_of_any_size_and_learn(make):
    net = make(4, (8, 16))
    for size in (16, 24, 48):
        assert net(torch.rand(2, 3, size, size)).shape == (2, 4)
    net.zero_grad()
    net(torch.rand(4, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_what_is_frozen_stays_through_training_and_thaws():
    net = port.SmallResNet(3, (4, 8))
    port.freeze(net, net.fc)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.train()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.rand(8, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    moved = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"fc.weight", "fc.bias"}
    port.thaw(net)
    assert net.bn1.training and all(p.requires_grad for p in net.parameters())
    net.eval()
    assert not net.bn1.training


# --- features that are kept --------------------------------------------------------------------


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (7, 3, 32, 32), np.uint8)


def test_features_are_computed_once(pictures, tmp_path, monkeypatch, rng):
    net = port.SmallVGG(5, (4, 8)).train()
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path, batch_size=3)
    assert first.shape == (7, 8) and first.dtype == np.float32
    assert net.training
    x = port.prepare(pictures, 32, MEAN, STD)
    expected = port.extract_features(net, net.classifier[-1], [x]).numpy()
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-6)

    looked_at = []

    def count(net, head, batches):
        batches = list(batches)
        looked_at.extend(map(len, batches))
        return port.extract_features(net, head, batches)

    many = rng.integers(0, 256, (70, 3, 32, 32), np.uint8)
    kept = port.cached_features(net, many, 32, MEAN, STD, folder=tmp_path)
    monkeypatch.setattr("coursekit.port.transfer.extract_features", count)
    again = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert np.array_equal(first, again)
    assert np.array_equal(port.cached_features(net, many, 32, MEAN, STD, folder=tmp_path), kept)
    assert sum(looked_at) <= 8  # a few, to see that the net still makes them
    for file in tmp_path.iterdir():
        file.unlink()
    port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_anything_else_gives_other_features(pictures, tmp_path):
    net = port.SmallVGG(5, (4, 8))

    def files(*args):
        port.cached_features(*args, folder=tmp_path)
        return len(list(tmp_path.iterdir()))

    assert files(net, pictures, 32, MEAN, STD) == 1
    assert files(net, pictures, 24, MEAN, STD) == 2
    assert files(net, pictures, 32, STD, MEAN) == 3
    assert files(net, 255 - pictures, 32, MEAN, STD) == 4
    with torch.no_grad():
        net.features[1].running_mean += 0.1
    assert files(net, pictures, 32, MEAN, STD) == 5
    port.replace_head(net, 9)  # comes after the features
    assert files(net, pictures, 32, MEAN, STD) == 5


class Scaled(torch.nn.Module):
    """A layer whose value hangs on what is no parameter."""

    power = 2

    def __init__(self):
        super().__init__()
        self.factor, self.act, self.stages = 1.5, torch.relu, [torch.nn.ReLU()]
        self.register_buffer("shift", torch.zeros(1), persistent=False)
        self.settings = {"floor": 0.1}

    def forward(self, x):
        x = self.stages[0](self.act(self.factor * x + self.shift))
        return x.clamp(min=self.settings["floor"]) ** self.power


class Cubed(Scaled):
    def forward(self, x):
        return super().forward(x) ** 3


class Looking(torch.nn.Module):
    """A layer whose code looks its numbers up elsewhere."""

    factors: ClassVar = [1.0]

    @property
    def shift(self):
        return 0.0

    def forward(self, x):
        return brightened(x) * self.factors[0] + self.shift


def brightened(x):
    return x * BRIGHTNESS


BRIGHTNESS = 1.0


def halve(_module, _inputs, out):
    return out / 2


def _of_class(name, value):
    def change(net):
        net.features[2].__class__ = type("Scaled", (Scaled,), {name: value})

    return change


STALE = {
    "another activation": lambda net: net.features.__setitem__(6, torch.nn.GELU()),
    "another eps": lambda net: setattr(net.features[1], "eps", 0.1),
    "another padding": lambda net: setattr(net.features[4], "padding", (2, 2)),
    "a number": lambda net: setattr(net.features[2], "factor", 1.6),
    "a function": lambda net: setattr(net.features[2], "act", torch.sigmoid),
    "a function of one's own": lambda net: setattr(net.features[2], "act", lambda x: x + 1),
    "a module in a list": lambda net: net.features[2].stages.__setitem__(0, torch.nn.Tanh()),
    "a dict": lambda net: net.features[2].settings.update(floor=0.2),
    "a hidden buffer": lambda net: net.features[2].shift.add_(0.1),
    "code": lambda net: setattr(net.features[2], "__class__", Cubed),
    "a setting of the class": _of_class("power", 3),
    "a hook": lambda net: net.features[3].register_forward_hook(halve),
    "a forward of its own": lambda net: setattr(net.avgpool, "forward", lambda x: x[..., :1, :1]),
    "a pool": lambda net: setattr(net, "avgpool", torch.nn.AdaptiveMaxPool2d(1)),
    "a layer left out": lambda net: net.features.__setitem__(6, torch.nn.Identity()),
}


def scaled_net():
    net = port.SmallVGG(5, (4, 8))
    net.features[2] = Scaled()
    return net


@pytest.mark.parametrize("change", STALE.values(), ids=list(STALE))
def test_features_of_a_net_that_was_changed_are_computed_anew(change, pictures, tmp_path):
    net = scaled_net()
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    change(net)
    x = port.prepare(pictures, 32, MEAN, STD)
    expected = port.extract_features(net, net.classifier[-1], [x]).numpy()
    assert np.abs(expected - first).max() > 1e-3
    second = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-6)


def _of_looking(name, value):
    return lambda patch: patch.setattr(Looking, name, value)


LOOKED_UP = {
    "a global number": lambda patch: patch.setattr(sys.modules[__name__], "BRIGHTNESS", 3.0),
    "a global function": lambda patch: patch.setattr(
        sys.modules[__name__], "brightened", torch.square
    ),
    "a list of the class": _of_looking("factors", [2.0]),
    "a property": _of_looking("shift", property(lambda self: 1.0)),
}


@pytest.mark.parametrize("change", LOOKED_UP.values(), ids=list(LOOKED_UP))
def test_what_a_nets_code_looks_up_counts_too(change, pictures, tmp_path, monkeypatch):
    net = port.SmallVGG(5, (4, 8))
    net.features[6] = Looking()
    port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    change(monkeypatch)
    x = port.prepare(pictures, 32, MEAN, STD)
    expected = port.extract_features(net, net.classifier[-1], [x]).numpy()
    second = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-6)


def test_what_changes_the_heads_input_alone_counts_too(pictures, tmp_path):
    net = port.SmallVGG(5, (4, 8))
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    net.classifier[-1].register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    second = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    np.testing.assert_allclose(second, first + 1, rtol=1e-4, atol=1e-6)


def test_the_settings_of_a_module_in_a_list_count_to_the_last_digit(pictures, tmp_path):
    net = scaled_net()
    net.features[2].stages[0] = torch.nn.LeakyReLU(0.1)
    port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    net.features[2].stages[0].negative_slope = 0.1001
    port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_key_stays_where_the_features_do(pictures, tmp_path):
    net = scaled_net()
    port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    same = copy.deepcopy(net).eval()
    port.freeze(same, same.classifier[-1])
    handle = same.features[0].register_forward_hook(halve)
    handle.remove()
    same.classifier[-1].weight.data += 1
    port.cached_features(
        same, pictures.copy(), np.int64(32), np.array(MEAN), list(STD), folder=str(tmp_path)
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_with_other_content_under_the_name_is_made_anew(pictures, tmp_path):
    net = port.SmallVGG(5, (4, 8))
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    np.savez(file, features=first[:3])
    again = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 3, 8, 8), np.float32)}, "images: got float32.*needed uint8"),
        ({"images": np.zeros((2, 3, 8, 8), np.int64)}, "images: got int64.*needed uint8"),
        ({"images": np.zeros((3, 8, 8), np.uint8)}, r"images: got uint8 of shape \(3, 8, 8\)"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, "mean: got .*; needed 8 numbers"),
        ({"images": np.zeros((0, 3, 8, 8), np.uint8)}, r"images: got uint8 of shape \(0"),
        ({"size": 0}, "size: got 0; needed a number of pixels"),
        ({"mean": (0.5, 0.5)}, "mean: got .*; needed 3 numbers"),
        ({"mean": (0.5, 0.5, np.nan)}, "mean: got"),
        ({"std": (0.5, 0.5, 0.0)}, "std: got .*; needed 3 numbers greater than 0"),
    ],
)
def test_pictures_of_another_kind_are_refused(change, message, tmp_path):
    arguments = {"images": np.zeros((2, 3, 8, 8), np.uint8), "size": 8, "mean": MEAN, "std": STD}
    with pytest.raises(ValueError, match=message):
        port.prepare(**(arguments | change))
    with pytest.raises(ValueError, match=message):
        port.cached_features(port.SmallVGG(5, (4,)), **(arguments | change), folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"half a fi"])
def test_a_damaged_file_of_features_is_made_anew(pictures, tmp_path, content):
    net = port.SmallVGG(5, (4, 8))
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    again = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert np.array_equal(first, again)


def test_features_that_cannot_be_kept_are_returned_all_the_same(pictures, tmp_path, monkeypatch):
    net = port.SmallVGG(5, (4, 8))
    kept = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path / "kept")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="the disk is full.*set folder to a folder") as caught:
        got = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path / "full")
    assert np.array_equal(got, kept) and caught[0].filename == __file__
    assert not list((tmp_path / "full").iterdir())


def test_a_damaged_file_where_nothing_can_be_written_does_no_harm(pictures, tmp_path, monkeypatch):
    net = port.SmallVGG(5, (4, 8))
    first = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"half a fi")

    def read_only(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", read_only)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.warns(UserWarning, match="cannot be written to .Read-only"):
        again = port.cached_features(net, pictures, 32, MEAN, STD, folder=tmp_path)
    assert np.array_equal(first, again) and file.read_bytes() == b"half a fi"


# --- the benchmark for the published nets --------------------------------------------------------


def test_the_benchmark_runs_from_end_to_end_and_measures_nothing(capsys, monkeypatch):
    folder = Path(__file__).resolve().parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    transfer = importlib.import_module("transfer")
    written = (folder / "results" / "transfer.json").exists()
    transfer.main(["--dry-run", "--nets", "resnet18"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("resnet18")] == [
        *("head", "head", "whole", "staged")
    ]
    assert lines[-1].startswith("a dry run: ")
    assert (folder / "results" / "transfer.json").exists() == written
    rows = [{"net": "resnet18", "way": "head", "size": s, "test_accuracy": a} for s, a in
            ((32, 0.9), (224, 0.88))]  # fmt: skip
    (told,) = transfer.against_bars(rows)
    assert told["reached"] and told["size"] == 224 and told["test_accuracy"] == 0.88
    assert not transfer.against_bars([rows[0], rows[1] | {"test_accuracy": 0.86}])[0]["reached"]
