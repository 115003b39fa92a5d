"""A forked child of a process that computed on several threads: it computes, and does not hang.

Each case is a process of its own: a hanging child is then a test that fails after a minute.
"""

import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from coursekit import kernels
from coursekit.kernels import _backend

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)

START = """
import multiprocessing, os, sys, threading
import numpy as np
import coursekit
from coursekit import kernels, nn, optim

def train(threads):
    "Two steps of a small net, every family of kernels among them."
    if threads:
        coursekit.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 16, 16, 16)).astype("f4")
    net = nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 64, 10), nn.LayerNorm(10), nn.Dropout(0.5),
    )
    rule = optim.Adam(net.parameters())
    for _ in range(2):
        out = net(x)
        net.backward(out)
        rule.step()
    return float(np.abs(net(x)).sum())

def in_child(action):
    "Run action in a child made by os.fork; say what it returned by the exit status."
    pid = os.fork()
    if pid == 0:
        os._exit(0 if action() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

big = np.ones((800, 800))
"""

CASES = {
    "multiprocessing": """
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(train, [None, 1, 2]))
""",
    "joblib's multiprocessing": """
from joblib import Parallel, delayed
print(Parallel(2, backend="multiprocessing")(delayed(train)(n) for n in (None, 1, 2)))
""",
    "joblib's default": """
from joblib import Parallel, delayed
print(Parallel(2)(delayed(train)(n) for n in (None, 1, 2)))
""",
    "a child's child": "assert in_child(lambda: in_child(lambda: train(2)))",
    "fork in a thread": """
done = []
thread = threading.Thread(target=lambda: done.append(in_child(lambda: train(2))))
thread.start()
thread.join()
assert done == [True]
""",
    "while another thread computes": """
busy = threading.Event()
def compute():
    while not busy.is_set():
        train(None)
thread = threading.Thread(target=compute)
thread.start()
children = [in_child(lambda: train(2)) for _ in range(5)]
busy.set()
thread.join()
assert all(children)
""",
    "parent afterwards": "assert in_child(lambda: train(2)) and train(2)",
}


@pytest.mark.parametrize("case", CASES)
def test_a_forked_child_computes(case):
    script = f"{START}\nif __name__ == '__main__':\n"
    body = f"big @ big\ncoursekit.set_num_threads(2)\ntrain(None)\n{CASES[case]}\nprint('done')"
    script += "".join(f"    {line}\n" for line in body.splitlines())
    command = [sys.executable, "-c", script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        try:
            said, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children, too
            pytest.fail("a child hangs")
    assert process.returncode == 0 and said.endswith("done\n"), errors


def test_a_forked_child_says_that_it_has_one_thread(monkeypatch):
    monkeypatch.setattr(_backend, "_num_threads", 2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(kernels.get_num_threads) == 1
        assert ", 1 thread," in pool.apply(_told)


def _told():
    return str(kernels.info())


def test_results_in_a_child_are_the_parents(monkeypatch):
    monkeypatch.setattr(_backend, "_num_threads", 2)
    x = np.random.default_rng(0).standard_normal((64, 128, 8)).astype(np.float32)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply(kernels.batch_norm_forward, (x, None, None))
    for ours, theirs in zip(kernels.batch_norm_forward(x, None, None), there, strict=True):
        np.testing.assert_array_equal(ours, theirs)
