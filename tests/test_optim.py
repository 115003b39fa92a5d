"""Update rules and schedules: a hundred steps beside PyTorch."""

import numpy as np
import pytest

from coursekit import nn, optim

RULES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {"lr": 1e-3}),
    ("RMSprop", {"lr": 1e-3, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.01}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1}),
]

SCHEDULES = [
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.1, "total_iters": 30}),
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 40, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 100}),
    ("CosineAnnealingLR", {"T_max": 30, "eta_min": 0.001}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 100}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 101, "pct_start": 0.17, "div_factor": 5.0}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 100, "cycle_momentum": False}),
]


def train_both(torch, rule, options, schedule=None, steps=100):
    """Train a small net here and in PyTorch on the same batches; yield after every step."""
    rng = np.random.default_rng(0)
    net = nn.mlp([6, 5, 3], activation=nn.Tanh, dtype=np.float64, seed=2)
    twin = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(6, 5, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.Linear(5, 3, dtype=torch.float64),
    )
    twin.load_state_dict({k: torch.tensor(v) for k, v in net.state_dict().items()})
    ours = getattr(optim, rule)(net.parameters(), **options)
    theirs = getattr(torch.optim, rule)(twin.parameters(), **options)
    schedules = []
    if schedule:
        name, arguments = schedule
        schedules = [
            getattr(optim, name)(ours, **arguments),
            getattr(torch.optim.lr_scheduler, name)(theirs, **arguments),
        ]
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(steps):
        x, y = rng.standard_normal((7, 6)), rng.integers(3, size=7)
        loss = criterion(net(x), y)
        ours.zero_grad()
        net.backward(criterion.backward(), need_dx=False)
        ours.step()
        expected = torch.nn.functional.cross_entropy(
            twin(torch.tensor(x)), torch.tensor(y), label_smoothing=0.1
        )
        theirs.zero_grad()
        expected.backward()
        theirs.step()
        for s in schedules:
            s.step()
        assert loss == pytest.approx(expected.item(), abs=1e-10)
        yield net, twin, ours, theirs


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_hundred_steps_agree_with_torch(rule, options):
    torch = pytest.importorskip("torch")
    for net, twin, *_ in train_both(torch, rule, options):
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.data, q.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("rule", "options"), [("SGD", {"lr": 0.05, "momentum": 0.9}), ("AdamW", {"lr": 0.01})]
)
def test_schedules_agree_with_torch_over_hundred_steps(schedule, rule, options):
    torch = pytest.importorskip("torch")
    for net, twin, ours, theirs in train_both(torch, rule, options, schedule):
        group = theirs.param_groups[0]
        assert ours.lr == pytest.approx(group["lr"], rel=1e-10, abs=1e-15)
        momentum = group["betas"][0] if "betas" in group else group["momentum"]
        assert getattr(ours, "momentum", None) or ours.betas[0] == pytest.approx(momentum)
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.data, q.detach(), rtol=0, atol=1e-10)


def rates_of_torch(torch, name, options, steps, momentum=0.9):
    """Rate and momentum at each step, None from where PyTorch divides by zero or refuses."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3, momentum=momentum)
    seen = []
    try:
        schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
        for _ in range(steps):
            group = optimizer.param_groups[0]
            seen.append((group["lr"], group["momentum"]))
            optimizer.step()
            schedule.step()
    except (ZeroDivisionError, ValueError):
        pass
    return seen


def rates_of_ours(name, options, steps, momentum=0.9):
    """The same of ours, stepped, and equal to the closed form."""
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3, momentum=momentum)
    schedule = getattr(optim, name)(optimizer, **options)
    seen = []
    for step in range(steps):
        seen.append((optimizer.lr, optimizer.momentum))
        assert schedule.lr_at(step) == optimizer.lr
        if step + 1 < steps:
            schedule.step()
    return seen


EDGES = [
    *(
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": total, "pct_start": pct}, total + 1)
        for total in (1, 2, 3, 7, 10)
        for pct in (0.0, 0.05, 0.11, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0)
    ),
    ("OneCycleLR", {"max_lr": 0.0, "total_steps": 5}, 6),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 5, "div_factor": 1.0}, 6),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 5, "final_div_factor": 0.1}, 6),
    *(("CosineAnnealingLR", {"T_max": t, "eta_min": e}, 9) for t in (1, 2, 4) for e in (0, 0.5)),
    *(("StepLR", {"step_size": s, "gamma": g}, 7) for s in (1, 3) for g in (0.0, 0.5, 1.0, 2.0)),
    *(("ConstantLR", {"factor": f, "total_iters": n}, 5) for f in (0.1, 1.0) for n in (1, 4, 9)),
]


@pytest.mark.parametrize(("name", "options", "steps"), EDGES)
def test_schedules_agree_with_torch_at_their_edges(name, options, steps):
    torch = pytest.importorskip("torch")
    theirs = rates_of_torch(torch, name, options, steps)
    ours = rates_of_ours(name, options, steps)
    assert len(theirs) >= min(steps - 1, 1) or options["pct_start"] * options["total_steps"] == 1
    np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=1e-9, atol=1e-12)
    assert np.isfinite(ours).all()


def test_a_long_rise_still_ends_at_almost_nothing():
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0, momentum=0.9)
    assert optim.OneCycleLR(optimizer, 1.0, 10, pct_start=0.95).lr_at(9) == pytest.approx(4e-6)


PLATEAUS = [
    {},
    {"patience": 0},
    {"mode": "max", "patience": 1, "factor": 0.5},
    {"threshold_mode": "abs", "threshold": 0.3, "patience": 1},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.3, "patience": 1},
    {"cooldown": 2, "patience": 1, "min_lr": 0.02},
    {"patience": 1, "threshold": 1.0},
    {"patience": 0, "eps": 0.1},
]


@pytest.mark.parametrize("options", PLATEAUS)
@pytest.mark.parametrize("over", ["ours", "torch"])
def test_a_plateau_agrees_with_torch(options, over, rng):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.SGD([weight], lr=1.0)
    steered = {
        "ours": lambda: optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0),
        "torch": lambda: torch.optim.SGD([weight], lr=1.0),
    }[over]()
    schedule = optim.ReduceLROnPlateau(steered, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    metrics = [*(1 / np.arange(1, 8)), np.nan, np.inf, -np.inf, *rng.standard_normal(40)]
    half = len(metrics) // 2
    for i, metric in enumerate(metrics):
        if i == half:  # a saved one goes on
            state = schedule.state_dict()
            schedule = optim.ReduceLROnPlateau(steered)
            schedule.load_state_dict(state)
        schedule.step(metric)
        reference.step(metric)
        lr = steered.lr if over == "ours" else steered.param_groups[0]["lr"]
        assert lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
    assert lr < 1.0


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10])
@pytest.mark.parametrize("pct_start", [0.0, 0.3, 1.0])
def test_short_cycles_stay_between_their_ends(total_steps, pct_start):
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1, momentum=0.9)
    cycle = optim.OneCycleLR(optimizer, 0.1, total_steps, pct_start=pct_start)
    rates = [cycle.lr_at(t) for t in range(total_steps + 1)]
    assert np.isfinite(rates).all() and min(rates) >= 0 and max(rates) <= 0.1 + 1e-12
    for _ in range(total_steps):
        cycle.step()
    for too_far in (lambda: cycle.lr_at(total_steps + 1), cycle.step):
        with pytest.raises(ValueError, match="step must lie in"):
            too_far()
    assert cycle.last_step == total_steps


@pytest.mark.parametrize(("rule", "options"), RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rules_keep_dtype_leave_gradients_and_skip_parameters_without(rule, options, dtype, rng):
    with_grad, without = (nn.Parameter(rng.standard_normal((3, 2)).astype(dtype)) for _ in "ab")
    before = without.data.copy()
    gradient = rng.standard_normal((3, 2)).astype(dtype)
    with_grad.grad = gradient.copy()
    optimizer = getattr(optim, rule)([with_grad, without], **options)
    for _ in range(3):
        optimizer.step()
    assert with_grad.data.dtype == dtype
    np.testing.assert_array_equal(with_grad.grad, gradient)
    np.testing.assert_array_equal(without.data, before)


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_state_dict_continues_bit_for_bit(rule, options, rng):
    grads = rng.standard_normal((6, 4, 3))

    def run(p, optimizer, part):
        for g in part:
            p.grad = g
            optimizer.step()

    p = nn.Parameter(np.ones((4, 3)))
    optimizer = getattr(optim, rule)([p], **options)
    run(p, optimizer, grads[:3])
    q = nn.Parameter(p.data.copy())
    resumed = getattr(optim, rule)([q], **options)
    resumed.load_state_dict(optimizer.state_dict())
    run(p, optimizer, grads[3:])
    run(q, resumed, grads[3:])
    np.testing.assert_array_equal(p.data, q.data)
    with pytest.raises(ValueError, match="state"):
        resumed.load_state_dict({"steps": np.array(1)})


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_a_parameter_thawed_late_steps_as_in_torch(rule, options, rng):
    """Step counts and averages are each parameter's own: frozen, thawed, frozen again."""
    torch = pytest.importorskip("torch")
    values = rng.standard_normal((3, 4, 5))
    ours = [nn.Parameter(v.copy()) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine = getattr(optim, rule)(ours, **options)
    other = getattr(torch.optim, rule)(theirs, **options)
    for step in range(60):
        learns = (True, step >= 30, step % 7 < 2)
        for p, q, on in zip(ours, theirs, learns, strict=True):
            g = rng.standard_normal((4, 5))
            p.grad, q.grad = (g.copy(), torch.tensor(g)) if on else (None, None)
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_parameter_that_comes_twice_is_held_once(rule, rng):
    values, gradient = rng.standard_normal((2, 3, 4))
    alone, twice = (nn.Parameter(values.copy()) for _ in "ab")
    for params in ([alone], [twice, twice]):
        optimizer = getattr(optim, rule)(params, lr=0.1)
        params[0].grad = gradient.copy()
        assert optim.clip_grad_norm(params, 0.5) == pytest.approx(np.linalg.norm(gradient))
        optimizer.step()
        assert len(optimizer.params) == 1
    np.testing.assert_array_equal(alone.data, twice.data)


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_read_only_weights_can_be_trained(rule):
    """joblib hands large arrays to its workers as read-only maps of a file."""
    values = np.ones((2, 2))
    values.flags.writeable = False
    p = nn.Parameter(values)
    optimizer = getattr(optim, rule)([p], lr=0.1)
    p.grad = np.ones((2, 2))
    optimizer.step()
    assert (p.data < 1).all() and (values == 1).all()


def test_settings_come_back_with_the_state():
    """As in PyTorch."""
    p = nn.Parameter(np.ones(3))
    saved = optim.AdamW([p], lr=0.3, betas=(0.5, 0.75), eps=1e-3, weight_decay=0.2)
    other = optim.AdamW([p])
    other.load_state_dict(saved.state_dict())
    assert (other.lr, other.betas, other.eps, other.weight_decay) == (0.3, (0.5, 0.75), 1e-3, 0.2)
    bad = saved.state_dict() | {"lr": np.array("fast")}
    with pytest.raises(ValueError, match=r"state\['lr'\]: got <U4; needed real numbers"):
        optim.AdamW([p]).load_state_dict(bad)


def test_a_schedule_takes_its_own_state_only():
    def optimizer():
        return optim.SGD([nn.Parameter(np.zeros(1))], lr=0.1, momentum=0.9)

    cycle = optim.OneCycleLR(optimizer(), 0.2, 50)
    for _ in range(20):
        cycle.step()
    shorter = optim.OneCycleLR(optimizer(), 0.1, 10)
    shorter.load_state_dict(cycle.state_dict())  # the saved settings come with the place
    assert shorter.total_steps == 50 and shorter.optimizer.lr == cycle.optimizer.lr
    step = optim.StepLR(optimizer(), 3)
    for state in (cycle.state_dict(), {"last_step": 3}, step.state_dict() | {"gamma": "x"}):
        with pytest.raises(ValueError, match="^state"):
            step.load_state_dict(state)
        assert step.last_step == 0 and step.optimizer.lr == 0.1
    with pytest.raises(ValueError, match=r"state does not fit OneCycleLR: step must lie in 0\.\.5"):
        cycle.load_state_dict(cycle.state_dict() | {"last_step": 99})
    assert cycle.last_step == 20


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 100.0])
def test_clipping_agrees_with_torch(max_norm, rng):
    torch = pytest.importorskip("torch")
    grads = [rng.standard_normal((3, 4)), rng.standard_normal(5)]
    ours = [nn.Parameter(np.zeros_like(g)) for g in grads]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = g.copy(), torch.tensor(g)
    norm = optim.clip_grad_norm(ours, max_norm)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm).item())
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=0, atol=1e-10)


PARAMS = [nn.Parameter(np.zeros(2))]


def cycle(total_steps=10, **options):
    """A one-cycle schedule."""
    return optim.OneCycleLR(optim.SGD(PARAMS, momentum=0.9), 0.1, total_steps, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optim.SGD([], lr=1), "params must hold at least one Parameter"),
        (lambda: optim.SGD(PARAMS, lr=-1), "lr must be at least 0, got -1"),
        (lambda: optim.SGD(PARAMS, lr=1, momentum=1), r"momentum must lie in \[0, 1\), got 1"),
        (lambda: optim.SGD(PARAMS, lr=1, nesterov=True), "nesterov needs momentum"),
        (lambda: optim.Adam(PARAMS, betas=(0.9, 1.0)), r"betas\[1\] must lie"),
        (lambda: optim.RMSprop(PARAMS, alpha=2), "alpha must lie"),
        (lambda: optim.StepLR(optim.SGD(PARAMS, lr=1), 0), "step_size must be at least 1"),
        (lambda: optim.CosineAnnealingLR(optim.SGD(PARAMS, lr=1), 0), "T_max must be"),
        (lambda: optim.OneCycleLR(optim.SGD(PARAMS, lr=1), 1, 10), "cycle_momentum needs"),
        (lambda: optim.clip_grad_norm(PARAMS, 0), "max_norm must be greater than 0"),
        (lambda: optim.SGD(PARAMS, lr="fast"), "lr must be at least 0, got 'fast'"),
        (lambda: optim.Adam(PARAMS, betas=0.9), "betas: got 0.9; needed two numbers"),
        (lambda: optim.ConstantLR(optim.SGD(PARAMS, lr=1), 1.5), r"factor must lie in \[0, 1\]"),
        (lambda: optim.ConstantLR(optim.SGD(PARAMS, lr=1), 0.5, 0), "total_iters must be at le"),
        (lambda: optim.StepLR(optim.SGD(PARAMS, lr=1), 1.5), "step_size must be .* whole number"),
        (lambda: cycle(total_steps=10.5), "total_steps must be at least 1 and a whole number"),
        (lambda: cycle(div_factor=0), "div_factor must be greater than 0"),
        (lambda: cycle(max_momentum=1.0), r"max_momentum must lie in \[0, 1\)"),
        (lambda: optim.ReduceLROnPlateau(optim.SGD(PARAMS, lr=1), "loss"), "mode: got 'loss'"),
        (lambda: optim.ReduceLROnPlateau(optim.SGD(PARAMS, lr=1), factor=1), "factor must lie"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


NET = nn.mlp([4, 3, 2], seed=0)


@pytest.mark.parametrize("rule", [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW])
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda: NET, TypeError, r"params: got a net \(Sequential\); .*: net\.parameters\(\)"),
        (lambda: NET[1], TypeError, r"params: got a net \(Linear\)"),
        (lambda: NET.parameters, TypeError, r"params: got method; .* net\.parameters\(\)"),
        (lambda: NET[1].weight, TypeError, r"params: got one Parameter; needed a list"),
        (lambda: "net", TypeError, "params: got str; needed Parameters"),
        (lambda: np.zeros(3), TypeError, "params: got ndarray; needed Parameters"),
        (lambda: NET.state_dict(), TypeError, "params: got dict; needed Parameters"),
        (lambda: None, TypeError, "params: got NoneType; needed Parameters"),
        (lambda: [np.zeros(3)], TypeError, r"params\[0\]: got numpy\.ndarray; needed a Parameter"),
        (lambda: NET.named_parameters(), TypeError, r"params\[0\]: got tuple; needed a Param"),
        (lambda: [{"params": NET.parameters()}], TypeError, r"params\[0\]: got dict; needed a"),
        (lambda: [], ValueError, "params must hold at least one Parameter, got none"),
        (lambda: exhausted(), ValueError, "params must hold .* generator was used up before"),
        (lambda: NET[2].parameters(), ValueError, "params must hold .* the net has none"),
    ],
)
def test_what_is_no_list_of_parameters_is_refused(rule, params, error, message):
    with pytest.raises(error, match=f"^{message}"):
        rule(params())


def exhausted():
    """A generator that somebody has gone through."""
    parameters = (p for p in NET.parameters())
    list(parameters)
    return parameters


def test_a_generator_of_parameters_is_as_good_as_a_list():
    assert optim.SGD(p for p in NET.parameters()).params == NET.parameters()


def test_clipping_takes_parameters_not_nets():
    with pytest.raises(
        TypeError, match=r"^params: got a net \(Sequential\); needed its parameters"
    ):
        optim.clip_grad_norm(NET, 1.0)


def test_a_schedule_needs_an_optimizer():
    for schedule in (optim.StepLR, optim.CosineAnnealingLR):
        with pytest.raises(TypeError, match="^optimizer: got Sequential; needed an optimizer"):
            schedule(NET, 10)


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_a_converted_optimizer_goes_on_where_each_parameter_is(rule, options, rng):
    """One parameter was updated often, one was thawed late, one never."""
    torch = pytest.importorskip("torch")
    from coursekit.port import to_torch, to_torch_optimizer

    net = nn.Sequential(*(nn.Linear(3, 3, bias=False, dtype=np.float64) for _ in range(3)))
    mine = getattr(optim, rule)(net.parameters(), **options)

    def gradients(step):
        learns = (True, step >= 15, step >= 30)
        return [rng.standard_normal((3, 3)) if on else None for on in learns]

    for step in range(20):
        for p, g in zip(net.parameters(), gradients(step), strict=True):
            p.grad = g
        mine.step()
    twin = to_torch(net)
    theirs = to_torch_optimizer(mine, twin)
    assert twin[2].weight not in theirs.state
    for step in range(20, 40):
        pairs = zip(net.parameters(), twin.parameters(), gradients(step), strict=True)
        for p, q, g in pairs:
            p.grad, q.grad = g, None if g is None else torch.tensor(g)
        mine.step()
        theirs.step()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW])
def test_gradients_that_do_not_fit_change_nothing(rule):
    good, bad = (nn.Parameter(np.ones((3, 4), np.float32)) for _ in range(2))
    rule = rule([good, bad], lr=0.1)
    before = rule.state_dict()
    good.grad = np.ones((3, 4), np.float32)
    for grad in (np.ones((3, 4)), np.ones((1, 4), np.float32), np.ones((4, 3), np.float32)):
        bad.grad = grad
        with pytest.raises(ValueError, match=r"^params\[1\].grad: got .*; needed float32 \(3, 4\)"):
            rule.step()
        assert (good.data == 1).all()
        np.testing.assert_equal(rule.state_dict(), before)


@pytest.mark.parametrize("rule", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_parameter_without_axes_is_updated_as_in_pytorch(rule):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Parameter(np.array(1.0, np.float32)), torch.nn.Parameter(torch.tensor(1.0))
    rules = [getattr(optim, rule)([ours], lr=0.1), getattr(torch.optim, rule)([theirs], lr=0.1)]
    for value in (0.5, -2.0, 0.1):
        ours.grad, theirs.grad = np.array(value, np.float32), torch.tensor(value)
        for one in rules:
            one.step()
    assert ours.data.shape == ()
    assert float(ours.data) == pytest.approx(theirs.item(), rel=1e-6)
