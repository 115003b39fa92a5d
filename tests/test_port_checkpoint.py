"""Weights in files: back as they were, no code run, and the same logits from ONNX."""

import errno
import os
import pickle
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from coursekit.port.checkpoint import load_weights, save_weights  # noqa: E402
from coursekit.port.onnx import export_onnx  # noqa: E402


def make_net(seed=0, width=4):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 3),
        torch.nn.BatchNorm2d(width),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(width * 16, 3),
    )


@pytest.fixture(params=["safetensors", "pt"])
def ending(request):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return f".{request.param}"


def test_weights_come_back_bit_for_bit(tmp_path, ending):
    net = make_net().to(memory_format=torch.channels_last)
    net(torch.randn(8, 3, 6, 6))  # running statistics, and a counter that is no float
    other = make_net(seed=1)
    other[5].weight = torch.nn.Parameter(other[5].weight.clone())
    path = save_weights(net, tmp_path / "deep" / f"net{ending}")
    load_weights(other, path)
    for name, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert next(path.parent.iterdir()) == path


def test_a_failed_write_leaves_the_old_file(tmp_path, ending, monkeypatch):
    path = save_weights(make_net(), tmp_path / f"net{ending}")
    before = path.read_bytes()

    def disk_full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(make_net(seed=1), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_weights_that_two_layers_share_are_kept(tmp_path, ending):
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    net = torch.nn.Sequential(first, second)
    path = save_weights(net, tmp_path / f"net{ending}")
    other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    load_weights(other, path)
    assert torch.equal(other[0].weight, first.weight) and torch.equal(other[1].weight, first.weight)


def test_a_name_without_an_ending_gets_the_best_there_is(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert save_weights(make_net(), tmp_path / "net") == tmp_path / "net.pt"
    other = make_net(seed=1)
    load_weights(other, tmp_path / "net")
    assert torch.equal(other[0].weight, make_net()[0].weight)
    with pytest.raises(ImportError, match="pip install safetensors"):
        save_weights(make_net(), tmp_path / "net.safetensors")


def test_a_net_that_does_not_fit_stays_as_it_is(tmp_path, ending):
    path = save_weights(make_net(), tmp_path / f"net{ending}")
    wider, deeper = make_net(width=5), torch.nn.Sequential(*make_net(), torch.nn.Linear(3, 3))
    before = {name: value.clone() for name, value in wider.state_dict().items()}
    with pytest.raises(ValueError, match=rf"net{ending}: state\['0.weight'\] has shape \(4, 3"):
        load_weights(wider, path)
    for name, value in wider.state_dict().items():
        assert torch.equal(value, before[name])
    with pytest.raises(ValueError, match=r"missing \['6.bias', '6.weight'\], unknown \[\]"):
        load_weights(deeper, path)


class Evil:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_is_not_run(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "net.pt"
    torch.save({"0.weight": Evil(trace)}, path)
    with pytest.raises(ValueError, match=r"net\.pt: found no tensors and plain values alone"):
        load_weights(make_net(), path)
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(ValueError, match=r"net\.pt: found no tensors"):
        load_weights(make_net(), path)
    assert not trace.exists()


def test_damaged_and_missing_files_are_named(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    with pytest.raises(FileNotFoundError):
        load_weights(make_net(), path)
    save_weights(make_net(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"net{ending}: found"):
        load_weights(make_net(), path)
    with pytest.raises(ValueError, match=r"path: got 'net.npz'; needed .safetensors, .pt or .pth"):
        save_weights(make_net(), tmp_path / "net.npz")


@pytest.mark.filterwarnings("ignore")  # the exporter's own, about its own parts
def test_onnxruntime_gives_the_same_logits(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = make_net()
    assert export_onnx(net, tmp_path / "net.onnx", (3, 6, 6)) < 1e-5
    assert net.training
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    x = torch.randn(1, 3, 6, 6)
    (got,) = session.run(None, {"pictures": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, net.eval()(x).numpy(), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    with pytest.raises(ValueError, match="onnxruntime's logits differ"):
        export_onnx(net, tmp_path / "net.onnx", (3, 6, 6), tolerance=-1.0)
    assert not (tmp_path / "net.onnx").exists()


def test_onnx_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"coursekit\[torch,onnx\]"):
        export_onnx(make_net(), tmp_path / "net.onnx", (3, 6, 6))
