"""The loop that every training shares, on a model small enough to work out by hand."""

import math

import pytest
import torch
from told import told
from torch import nn

from cspops.errors import CspopsError
from cspops.training import loop
from cspops.training.loop import Run, Schedule, Training, cosine_decay, exponential_decay, run_epochs, warmed_cosine
from cspops.training.resume import Resume

CPU = torch.device("cpu")


class Scalar(nn.Module):
    """One weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def train(epochs: int = 2, *, resume=None, loss=None, module=None, optimizer=None, seed: int = 0, **others):
    """Two batches an epoch; the default loss is w itself, so that each SGD step takes the learning rate off w."""
    module = module or Scalar()
    times = {key: others.pop(key) for key in ("warm_up", "accumulation") if key in others} | {"rows": others.pop("rows", 4)}
    training = Training(
        "run",
        {"module": module},
        optimizer or torch.optim.SGD(module.parameters(), lr=999.0),
        loss or (lambda rows, draws: {"total": module.w * 1.0}),
        **others,
    )
    schedule = Schedule(epochs=epochs, batch_size=2, learning_rate=1.0, **times)
    return module, run_epochs(training, schedule, Run(seed, CPU, resume))


def test_cosine_decay_at_its_ends_and_middle():
    assert cosine_decay(0, 8) == 1
    assert cosine_decay(4, 8) == pytest.approx(0.5)
    assert cosine_decay(8, 8) == 0
    assert [cosine_decay(i, 8) for i in range(9)] == sorted((cosine_decay(i, 8) for i in range(9)), reverse=True)


def test_steps_follow_the_cosine():
    """Gradient 1: w ends at minus the sum of the rates, sum over s = 0..3 of (1 + cos(pi s / 4)) / 2 = 2.5."""
    module, _ = train()
    assert module.w.item() == pytest.approx(-2.5)


def test_the_curve_is_the_mean_of_each_part_over_an_epoch():
    """w before the four steps: 0, -r0, -r0 - r1, ... with r_s the cosine's rates; an epoch's row is the mean of two."""
    rate = [0.5 * (1 + math.cos(math.pi * s / 4)) for s in range(4)]
    w = [-sum(rate[:s]) for s in range(4)]
    module = Scalar()
    _, curve = train(module=module, loss=lambda rows, draws: {"B": module.w * 3.0, "total": module.w * 1.0})
    assert [row["epoch"] for row in curve] == [1, 2]
    assert [row["total"] for row in curve] == pytest.approx([(w[0] + w[1]) / 2, (w[2] + w[3]) / 2])
    assert [row["B"] for row in curve] == pytest.approx([3 * (w[0] + w[1]) / 2, 3 * (w[2] + w[3]) / 2])
    assert set(curve[0]) == {"epoch", "B", "total"}


def test_after_step_sees_every_step_after_it():
    module, seen = Scalar(), []
    train(module=module, after_step=lambda: seen.append(module.w.item()))
    assert seen == pytest.approx([-1, -1.853553, -2.353553, -2.5], abs=1e-5)


def draws_of(seen: list, module: nn.Module):
    """A loss that writes down what it is given and adds noise to the gradient."""

    def loss(rows, draws):
        noise = torch.randn((), generator=draws)
        seen.append((rows.tolist(), noise.item(), torch.rand(()).item()))
        return {"total": module.w * noise}

    return loss


def test_every_epoch_has_its_own_rows_draws_and_dropout():
    module, seen = Scalar(), []
    train(3, module=module, loss=draws_of(seen, module))
    rows, noise, dropout = zip(*seen, strict=True)
    assert len(set(noise)) == len(set(dropout)) == 6
    assert len({str(rows[i : i + 2]) for i in (0, 2, 4)}) == 3
    assert all(sorted(rows[i] + rows[i + 1]) == [0, 1, 2, 3] for i in (0, 2, 4))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_run_draws_and_ends_as_an_undisturbed_one(tmp_path, stop):
    """Whatever the global generator did meanwhile."""
    module, seen = Scalar(), []
    _, curve = train(4, module=module, loss=draws_of(seen, module))

    lines: list[str] = []

    def breaks(line: str) -> None:
        lines.append(line)
        if f"epoch {stop + 1} of" in line:
            raise KeyboardInterrupt

    first, first_seen = Scalar(), []
    with pytest.raises(KeyboardInterrupt), told(breaks):
        train(4, module=first, loss=draws_of(first_seen, first), resume=Resume(tmp_path))
    torch.manual_seed(99)
    second, second_seen = Scalar(), []
    with told(lines.append):
        _, resumed = train(4, module=second, loss=draws_of(second_seen, second), resume=Resume(tmp_path))
    assert any(f"continuing after epoch {stop} of 4" in line for line in lines)
    assert second_seen == seen[2 * stop :]
    assert resumed == curve
    assert second.w.item() == module.w.item()


def test_a_finished_run_is_not_trained_again(tmp_path):
    module, curve = train(resume=Resume(tmp_path))

    def never(rows, draws):
        raise AssertionError("trained again")

    again, its_curve = train(resume=Resume(tmp_path), loss=never)
    assert its_curve == curve
    assert again.w.item() == module.w.item()


def test_the_global_stream_is_left_where_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    module = Scalar()
    train(module=module, loss=draws_of([], module))
    assert torch.equal(torch.get_rng_state(), before)


def test_modules_are_put_in_train_mode():
    module = Scalar().eval()
    train(module=module)
    assert module.training


def test_decays_start_at_one_and_end_at_the_last_rate():
    for decay in (cosine_decay, exponential_decay):
        assert decay(0, 10, last=0.1) == pytest.approx(1)
        assert decay(10, 10, last=0.1) == pytest.approx(0.1)
    assert exponential_decay(5, 10, last=0.04) == pytest.approx(0.2)  # the square root, half way
    assert cosine_decay(5, 10, last=0.04) == pytest.approx(0.52)  # the mean, half way
    assert exponential_decay(1, 200, last=0.98**200) == pytest.approx(0.98)  # the released decay, an epoch a step


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_training(value):
    with pytest.raises(CspopsError, match=r"run: the loss is (nan|inf) at epoch 1: training has diverged"):
        train(3, loss=lambda rows, draws: {"total": torch.tensor(value, requires_grad=True)})


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 7])
def test_a_run_killed_within_an_epoch_draws_and_ends_as_an_undisturbed_one(tmp_path, monkeypatch, stop):
    """A snapshot after every step; two steps an epoch, so that odd ``stop`` lies within one."""
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", -1.0)
    module, seen = Scalar(), []
    _, curve = train(4, module=module, loss=draws_of(seen, module))

    first, first_seen = Scalar(), []
    first_loss = draws_of(first_seen, first)

    def killed(rows, draws):
        if len(first_seen) == stop:
            raise KeyboardInterrupt
        return first_loss(rows, draws)

    with pytest.raises(KeyboardInterrupt):
        train(4, module=first, loss=killed, resume=Resume(tmp_path))
    torch.manual_seed(99)
    lines: list[str] = []
    second, second_seen = Scalar(), []
    with told(lines.append):
        _, resumed = train(4, module=second, loss=draws_of(second_seen, second), resume=Resume(tmp_path))
    assert lines[0].endswith(f"continuing after epoch {stop // 2} of 4" + (" and 1 steps" if stop % 2 else ""))
    assert second_seen == seen[stop:]
    assert resumed == curve
    assert second.w.item() == module.w.item()


@pytest.mark.parametrize("rows", [4, 5])
def test_a_run_killed_after_the_last_step_of_an_epoch_repeats_no_more_than_it(tmp_path, monkeypatch, rows):
    """Batches of 2; of five rows the last one is dropped. No snapshot holds an epoch without a step left."""
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", -1.0)
    module, seen = Scalar(), []
    _, curve = train(2, module=module, loss=draws_of(seen, module), rows=rows)

    def killed():
        raise KeyboardInterrupt

    first, again, its = Scalar(), Scalar(), []
    with pytest.raises(KeyboardInterrupt):
        train(2, module=first, loss=draws_of([], first), resume=Resume(tmp_path), rows=rows, after_epoch=killed)
    assert Resume(tmp_path).load("run")["steps"] == 1
    _, resumed = train(2, module=again, loss=draws_of(its, again), resume=Resume(tmp_path), rows=rows)
    assert (its, resumed, again.w.item()) == (seen[1:], curve, module.w.item())


def test_the_rate_rises_in_equal_steps_and_then_follows_the_cosine():
    """Gradient 1, 8 steps of which 4 warm up: 1/4 + 2/4 + 3/4 + 1, then the cosine's sum over 4 steps, 2.5."""
    module, _ = train(4, warm_up=4)
    assert module.w.item() == pytest.approx(-5.0)
    assert [warmed_cosine(step, 4, warm_up=2) for step in range(4)] == pytest.approx([0.5, 1, 1, 0.5])


def test_a_group_has_its_share_of_the_rate():
    module = Scalar()
    optimizer = torch.optim.SGD([{"params": [module.w], "share": 0.1}], lr=999.0)
    train(module=module, optimizer=optimizer)
    assert module.w.item() == pytest.approx(-0.25)


def test_parts_of_a_batch_add_up_to_its_gradient():
    """Rows 0..3 in batches of 2 have the gradient of their mean, however a batch is cut."""
    ends = []
    for accumulation in (1, 2):
        module = Scalar()
        _, curve = train(
            module=module,
            loss=lambda rows, draws, w=module.w: {"total": (w * (rows + 1.0)).mean(), "rows": rows.float().mean()},
            accumulation=accumulation,
        )
        ends.append(module.w.item())
        assert [row["rows"] for row in curve] == [1.5, 1.5]
    assert ends[0] == pytest.approx(ends[1])
    assert ends[0] < -1


def test_a_run_that_is_over_stops_and_stays_so(tmp_path):
    asked = []

    def over():
        asked.append(1)
        return len(asked) == 2

    _, curve = train(9, after_epoch=lambda: {"val": 0.5}, is_over=over, resume=Resume(tmp_path))
    assert [row["epoch"] for row in curve] == [1, 2]
    assert [row["val"] for row in curve] == [0.5, 0.5]
    _, again = train(9, is_over=lambda: True, resume=Resume(tmp_path))
    assert again == curve


def without(*path):
    def harm(snapshot):
        part = snapshot
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]

    return harm


UNFIT = {
    "empty": lambda snapshot: snapshot.clear(),
    "no module": without("modules", "module"),
    "no weight": without("modules", "module", "w"),
    "no optimizer": without("optimizer"),
    "no curve": without("curve"),
    "another shape": lambda snapshot: snapshot["modules"]["module"].update(w=torch.zeros(3)),
    "more epochs": lambda snapshot: snapshot.update(curve=[{"total": 0.0}] * 9),
    "words in the curve": lambda snapshot: snapshot.update(curve=[{"total": "low"}]),
    "more steps": lambda snapshot: snapshot.update(steps=99),
    "all steps": lambda snapshot: snapshot.update(
        curve=[], steps=2, rng={"draws": torch.Generator().get_state(), "cpu": torch.get_rng_state()}
    ),
    "steps without streams": lambda snapshot: snapshot.update(steps=1, rng={}),
    "broken streams": lambda snapshot: snapshot.update(steps=1, rng={"draws": torch.zeros(3), "cpu": torch.zeros(3)}),
    "words for sums": lambda snapshot: snapshot.update(sums={"total": "much"}),
}


@pytest.mark.parametrize("harm", UNFIT.values(), ids=UNFIT)
def test_progress_that_does_not_fit_is_dropped_and_training_is_as_from_the_start(tmp_path, said, harm):
    module, seen = Scalar(), []
    _, curve = train(2, module=module, loss=draws_of(seen, module))
    resume, first = Resume(tmp_path), Scalar()
    train(1, module=first, loss=draws_of([], first), resume=resume)
    snapshot = resume.load("run")
    harm(snapshot)
    resume.save("run", snapshot)
    del said[:]
    second, second_seen = Scalar(), []
    _, again = train(2, module=second, loss=draws_of(second_seen, second), resume=resume)
    assert said[0].startswith("the progress of run does not fit (") and said[0].endswith("): it begins anew")
    assert (second_seen, again, second.w.item()) == (seen, curve, module.w.item())
