"""Weights in files: back as they were, no code run, and the same logits from ONNX."""

import errno
import os
import pickle
import sys
import warnings

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


@pytest.mark.skipif(os.name == "nt", reason="rights and devices of Unix")
def test_a_new_file_has_the_rights_of_every_new_file_and_a_full_disk_is_an_oserror(
    tmp_path, ending
):
    (tmp_path / "plain").touch()
    path = save_weights(make_net(), tmp_path / f"net{ending}")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    if os.path.exists("/dev/full"):
        link = tmp_path / f"full{ending}"
        link.symlink_to("/dev/full")
        with pytest.raises(OSError) as caught:
            save_weights(make_net(), link)
        assert caught.value.errno == errno.ENOSPC and link.is_symlink()


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
    before = (tmp_path / "net.onnx").read_bytes()
    for name in ("net", "other"):  # the old file stays, and no new one comes
        with pytest.raises(ValueError, match="onnxruntime's logits differ"):
            export_onnx(net, tmp_path / f"{name}.onnx", (3, 6, 6), tolerance=-1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == before


def test_onnx_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnx onnxscript onnxruntime"):
        export_onnx(make_net(), tmp_path / "net.onnx", (3, 6, 6))


def foreign_files(folder):
    """Files of another kind under the name of weights, and damaged ones."""
    folder.mkdir()
    net = make_net()
    good = folder / "good"
    torch.save(net.state_dict(), good)
    content = good.read_bytes()
    arrays = folder / "arrays.npz"
    np.savez(arrays, a=np.ones(3))
    torch.save(net, whole := folder / "whole")
    return {
        "a text": b"hello, this is text\nand more of it",
        "a number": b"1\n",
        "a page": b"<!DOCTYPE html><html>404</html>",
        "nothing": b"",
        "zeros": bytes(1000),
        "noise": np.random.default_rng(0).bytes(1000),
        "half of it": content[: len(content) // 2],
        "a hole in it": content[:300] + bytes(200) + content[500:],
        "arrays": arrays.read_bytes(),
        "a pickle": pickle.dumps({"a": 1}),
        "a net as a whole": whole.read_bytes(),
    }


@pytest.mark.parametrize("name", ["a text", "a number", "a page", "nothing", "zeros", "noise"])
def test_a_foreign_file_is_one_clear_error(tmp_path, ending, name):
    check_refused(tmp_path, ending, name)


@pytest.mark.parametrize("name", ["half of it", "a hole in it", "arrays", "a pickle", "a net as a"])
def test_a_damaged_file_is_one_clear_error(tmp_path, ending, name):
    check_refused(tmp_path, ending, name)


def check_refused(tmp_path, ending, name):
    files = foreign_files(tmp_path / "made")
    path = tmp_path / f"net{ending}"
    path.write_bytes(next(content for kind, content in files.items() if kind.startswith(name)))
    net = make_net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError) as caught:
        load_weights(net, path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "needed" in said
    assert "\n" not in said and "weights_only" not in said and "allow_pickle" not in said
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_folder_in_place_of_the_file_is_said(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    path.mkdir()
    with pytest.raises(ValueError, match=rf"net{ending}: cannot be read"):
        load_weights(make_net(), path)


def sparse(tensor):
    return tensor.to_sparse()


def quantized(tensor):
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda s: [1, 2], "got a list; needed tensors by name"),
        (lambda s: {"state_dict": s, "epoch": 3}, "the weights are in its 'state_dict'"),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "all its names begin with 'module.'"),
        (lambda s: s | {"0.weight": 1.5}, r"state\['0.weight'\]: got float; needed a tensor"),
        (lambda s: s | {"0.bias": s["0.bias"] + 0j}, r"state\['0.bias'\]: got torch.complex64"),
        (lambda s: s | {"0.weight": sparse(s["0.weight"])}, "got torch.float32, torch.sparse_coo"),
        (lambda s: s | {"0.weight": quantized(s["0.weight"])}, "got torch.qint8"),
        (lambda s: s | {"0.bias": torch.zeros(2)}, r"state\['0.bias'\] has shape \(2,\)"),
    ],
    ids=[
        "a list",
        "a run",
        "a wrapped net",
        "a number",
        "complex",
        "sparse",
        "quantized",
        "a shape",
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, state, message):
    net, path = make_net(), tmp_path / "net.pt"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.save(state({k: v + 1 for k, v in before.items()}), path)
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(net, path)
    assert str(caught.value).startswith(f"{path}: ")
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_what_a_net_shares_must_have_one_value_in_the_file(tmp_path, ending):
    apart = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    shared = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    shared[1].weight = shared[0].weight
    before = shared[0].weight.detach().clone()
    path = save_weights(apart, tmp_path / f"net{ending}")
    with pytest.raises(ValueError, match=r"two values for 0.weight and 1.weight"):
        load_weights(shared, path)
    assert torch.equal(shared[0].weight, before)
    path = save_weights(shared, tmp_path / f"net{ending}")
    load_weights(apart, path)
    assert torch.equal(apart[1].weight, before)
