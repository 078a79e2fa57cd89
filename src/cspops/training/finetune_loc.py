"""Mode `full`: supervised fine-tuning of a location encoder and class embeddings T on few labels (paper, section 3.3)."""

from collections.abc import Callable

import torch

from cspops.data.batches import Labelled
from cspops.data.negatives import Sampler, place_and_date
from cspops.evaluation.predictor import location_log_p
from cspops.kernels import keep_freed_memory, row_blocks
from cspops.losses.finetuning import focal, presence_absence_in_blocks, presence_absence_released, softmax_cross_entropy
from cspops.models.heads import ClassEmbedding
from cspops.models.location_encoder import Link, LocationClassifier, LocationEncoder
from cspops.models.networks import own_masks
from cspops.params.location_classifiers import (
    CrossEntropy,
    FinetuneLoss,
    Focal,
    FullLoc,
    PresenceAbsence,
    PresenceAbsenceReleased,
)
from cspops.ranks import Processes
from cspops.seeds import global_torch_stream, torch_stream
from cspops.shapes import Float, Int, Tensor
from cspops.training.kept_weights import KeptWeights
from cspops.training.loop import Curve, Run, cosine_decay, exponential_decay, gradients, refuse_divergence

CURVE_ROWS = 20

LINKS: dict[type[FinetuneLoss], Link] = {
    PresenceAbsence: "sigmoid",
    PresenceAbsenceReleased: "sigmoid",
    CrossEntropy: "softmax",
    Focal: "softmax",
}
"""The link of each loss."""

Objective = Callable[[Tensor, Int[Tensor, "n"], torch.Generator], Tensor]
"""From prepared positions and labels of a batch, and a stream, to the loss of this process's share of it."""


def finetune_loc(
    labelled: Labelled,
    encoder: LocationEncoder,
    settings: FullLoc,
    loss: FinetuneLoss,
    *,
    negatives: Sampler,
    val: Labelled | None = None,
    run: Run,
) -> tuple[LocationClassifier, Curve]:
    """Train ``encoder`` (in place) and fresh class embeddings.

    Several processes share the rows of a batch, and each of them has all class embeddings: these and their moments take
    12 d bytes per class (300 MB of 10^5 classes), and the work is in rows times classes.

    Args:
        labelled: the few-shot subset.
        settings: `batch_size`: all rows where there are fewer.
        loss: of `presence_absence` (Eq. 5) and `presence_absence_released`, as many random locations join at each step as
            there are rows; `cross_entropy` and `focal` have none.
        negatives: the law that random locations are drawn from.
        val: validation rows, never test rows, for the checks that `patience` counts: the weights of the check with the
            least validation NLL are kept. None: all steps, and the last weights.

    Returns:
        the classifier in eval mode, and the loss averaged over each twentieth of the steps that were made.
    """
    seed, device, steps, processes = run.seed, run.device, settings.steps, run.processes
    with global_torch_stream(seed, "class embedding"):
        class_embedding = ClassEmbedding(encoder.dim, labelled.classes)
    model = LocationClassifier(encoder, class_embedding, link=LINKS[type(loss)]).to(device).train()
    processes.agree(model, buffers_alone=False)
    groups = [
        {"params": list(model.class_embedding.parameters()), "share": 1.0},
        {"params": list(model.encoder.parameters()), "share": settings.encoder_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, fused=True)
    keep_freed_memory()
    decay = {"cosine": cosine_decay, "exponential": exponential_decay}[settings.schedule]
    prepared, label = encoder.prepare(labelled.lonlat.to(device), labelled.when), labelled.label.to(device)
    n = min(settings.batch_size, len(label))
    stream = torch_stream(seed, "finetune-loc", device=device)
    objective = _objective(model, loss, negatives, processes)
    kept, nll = KeptWeights(model, decay=0), None if val is None else _val_nll(model, val, run)
    curve: Curve = []
    interval = max(1, steps // CURVE_ROWS)
    total, order = torch.zeros((), device=device), torch.empty(0, dtype=torch.long, device=device)
    with global_torch_stream(seed, "finetune-loc", "dropout"):
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * settings.learning_rate * decay(step, steps, last=settings.last_rate)
            if len(order) < n:  # the rows that are left over are dropped, so that every batch has n
                order = torch.randperm(len(label), generator=stream, device=device)
            rows, order = order[:n], order[n:]
            value = objective(prepared[rows], label[rows], stream)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            mean = value.detach().clone()
            processes.average([*gradients(optimizer), mean])
            optimizer.step()
            total += mean
            if (step + 1) % interval == 0:
                curve.append({"step": step + 1, "total": float(total) / interval})
                refuse_divergence(f"fine-tuning, seed {seed}", curve)
                total.zero_()
            if nll and (step + 1) % settings.check_every == 0:
                kept.keep_best(model, nll())
                if kept.is_over(settings.patience):
                    if not curve:
                        curve.append({"step": step + 1, "total": float(total) / (step + 1)})
                    break
    if nll:
        kept.keep_best(model, nll())
        model.load_state_dict(kept.best.state_dict())
    return model.eval(), curve


def _objective(model: LocationClassifier, loss: FinetuneLoss, negatives: Sampler, processes: Processes) -> Objective:
    """Return the loss of one batch, or of this process's share weighted by its rows.

    The presence-absence losses have as many random locations as rows.
    """
    encoder, class_embedding = model.encoder, model.class_embedding

    def with_random_locations(inputs: Tensor, stream: torch.Generator) -> tuple[Tensor, ...]:
        n = len(inputs)
        mine, random = processes.share(n), negatives(n, generator=stream)
        both = torch.cat((inputs[mine], encoder.prepare(*place_and_date(random[mine]))))
        with own_masks(processes, n, (1, 1)):
            embedded: tuple[Tensor, ...] = encoder.embed(both).split(len(both) // 2)
        return embedded

    def alone(inputs: Tensor) -> Tensor:
        with own_masks(processes, len(inputs)):
            scores: Tensor = class_embedding(encoder.embed(inputs[processes.share(len(inputs))]))
        return scores

    def objective(inputs: Tensor, label: Int[Tensor, "n"], stream: torch.Generator) -> Tensor:
        value, weight = of_share(inputs, label[processes.share(len(label))], stream), processes.weight(len(label))
        return value if weight == 1 else value * weight

    def of_share(inputs: Tensor, label: Int[Tensor, "n"], stream: torch.Generator) -> Tensor:
        match loss:
            case PresenceAbsence():
                loc_emb, neg_loc_emb = with_random_locations(inputs, stream)
                class_emb = class_embedding.linear.weight
                return presence_absence_in_blocks(loc_emb, neg_loc_emb, class_emb, label, beta=loss.beta)
            case PresenceAbsenceReleased():
                loc_emb, neg_loc_emb = with_random_locations(inputs, stream)
                scores, neg_scores = class_embedding(loc_emb), class_embedding(neg_loc_emb)
                return presence_absence_released(scores, label, neg_scores, weight_background=loss.weight_background)
            case CrossEntropy():
                return softmax_cross_entropy(alone(inputs), label, label_smoothing=loss.label_smoothing)
            case Focal():
                return focal(alone(inputs), label, gamma=loss.gamma)

    return objective


def _val_nll(model: LocationClassifier, val: Labelled, run: Run) -> Callable[[], float]:
    """Return a function that computes the validation NLL of the model as it is, and leaves it in train mode.

    If e takes dates, each row is judged with its date and without.
    """
    if model.encoder.takes_time:
        val = val.with_and_without_dates()
    processes, device = run.processes, run.device
    mine = processes.share(len(val.label))
    when = None if val.when is None else val.when[mine]
    prepared, label = model.encoder.prepare(val.lonlat[mine].to(device), when), val.label[mine].to(device)
    blocks = row_blocks(torch.arange(len(label), device=device), val.classes)

    def log_p(rows: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        scores = model.class_embedding(model.encoder.embed(prepared[rows]))
        every = location_log_p(scores, torch.ones_like(rows, dtype=torch.bool), link=model.link)
        return every.gather(1, label[rows, None])[:, 0]

    @torch.no_grad()
    def nll() -> float:
        model.eval()
        own = torch.cat([log_p(rows) for rows in blocks])
        model.train()
        weight = processes.weight(len(val.label))
        return float(processes.mean(-own.mean() * weight))

    return nll
