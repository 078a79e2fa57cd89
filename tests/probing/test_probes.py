"""Probes against direct loops with scikit-learn, and a choice of settings that never sees the rows that are reported."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from cspops.geo import uniform_on_sphere
from cspops.probing import probes
from cspops.probing.folds import Nested, Scheme
from cspops.probing.probes import (
    ALPHAS,
    L2,
    NEIGHBOURS,
    PROBES,
    Features,
    RidgePath,
    knn_classes,
    knn_regression,
    logistic,
    ridge,
)

GENERATOR = torch.Generator().manual_seed(0)
LONLAT = uniform_on_sphere(150, generator=GENERATOR)
X = torch.randn(150, 12, generator=GENERATOR) * torch.logspace(-1, 1, 12)
NOISE = torch.randn(150, generator=GENERATOR).double()
Y = X.double() @ torch.randn(12, generator=GENERATOR).double() + 3 * NOISE + 100
LABEL = torch.bucketize(Y, Y.quantile(torch.tensor([0.3, 0.6], dtype=torch.float64)))
FOLDS = Scheme("random", 3, 3, 10.0, 0.0).nested(LONLAT, seed=0)


def scaled(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    scaler = StandardScaler().fit(train)
    return [scaler.transform(one) for one in (train, *others)]


def direct_ridge(fold: Nested) -> tuple[float, np.ndarray]:
    """The alpha of least squared error over the inner folds, and the predictions with it, one fit at a time."""

    def fitted(part, alpha: float) -> np.ndarray:  # type: ignore[no-untyped-def]
        train, test = scaled(X[part.train].double().numpy(), X[part.test].double().numpy())
        return Ridge(alpha=alpha).fit(train, Y[part.train].numpy()).predict(test)

    errors = [sum(((fitted(part, alpha) - Y[part.test].numpy()) ** 2).sum() for part in fold.inner) for alpha in ALPHAS]
    alpha = ALPHAS[int(np.argmin(errors))]
    return alpha, fitted(fold.outer, alpha)


@pytest.mark.parametrize("fold", FOLDS)
def test_ridge_is_that_of_a_direct_loop_over_alphas_and_inner_folds(fold: Nested) -> None:
    predicted, alpha = ridge(Features(X), Y, 0, fold)
    direct_alpha, direct = direct_ridge(fold)
    assert alpha == direct_alpha
    np.testing.assert_allclose(predicted, direct, rtol=1e-8)


def test_more_features_than_rows() -> None:
    x = torch.randn(20, 40, generator=GENERATOR)
    x[:, 3] = 7.0  # constant
    train, test = scaled(x[:15].double().numpy(), x[15:].double().numpy())
    for alpha, found in zip(ALPHAS[4:], RidgePath(x[:15], Y[:15]).predict(x[15:], ALPHAS[4:]).T, strict=True):
        direct = Ridge(alpha=alpha).fit(train, Y[:15].numpy()).predict(test)
        np.testing.assert_allclose(found, direct, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"), [("linear", "regression"), ("knn", "regression"), ("linear", "classification"), ("knn", "classification")]
)
def test_the_setting_does_not_depend_on_the_tested_rows(name: str, kind: str) -> None:
    """With other targets of the tested rows, any at all, the setting and the predictions are the same."""
    y = Y if kind == "regression" else LABEL
    for fold in FOLDS:
        other = y.clone()
        other[fold.outer.test] = y[fold.outer.test].flip(0) * 0 + (2 if kind == "classification" else -1e6)
        predict = PROBES[kind][name]  # type: ignore[index]
        predicted, setting = predict(Features(X), y, 3, fold)
        again, same = predict(Features(X), other, 3, fold)
        assert setting == same
        assert torch.equal(predicted, again)


def test_an_alpha_that_the_reported_rows_would_choose_is_not_taken() -> None:
    """The training rows are pure noise, so that much shrinkage is best for them; the tested rows follow a line."""
    fold = FOLDS[0]
    y = 100 + NOISE.clone()
    y[fold.outer.test] = 100 + 50 * X[fold.outer.test, 11].double()
    y[fold.outer.train[:5]] = 100 + 50 * X[fold.outer.train[:5], 11].double()
    path = RidgePath(X[fold.outer.train], y[fold.outer.train])
    errors = (path.predict(X[fold.outer.test], ALPHAS) - y[fold.outer.test, None]).square().sum(0)
    by_reported = ALPHAS[int(errors.argmin())]
    inner_only = ridge(Features(X), y, 0, fold)[1]
    leaking = replace(fold, inner=(replace(fold.outer),))
    assert ridge(Features(X), y, 0, leaking)[1] == by_reported
    assert inner_only != by_reported


def test_neighbours_are_those_of_a_direct_loop() -> None:
    for fold in FOLDS:
        errors, hits = [], []
        for k in NEIGHBOURS:
            error = hit = 0.0
            for part in fold.inner:
                train, test = scaled(X[part.train].numpy(), X[part.test].numpy())
                number = KNeighborsRegressor(k).fit(train, Y[part.train].numpy()).predict(test)
                name = KNeighborsClassifier(k).fit(train, LABEL[part.train].numpy()).predict(test)
                error += ((number - Y[part.test].numpy()) ** 2).sum()
                hit += (name == LABEL[part.test].numpy()).sum()
            errors.append(error)
            hits.append(hit)
        train, test = scaled(X[fold.outer.train].numpy(), X[fold.outer.test].numpy())
        predicted, k = knn_regression(Features(X), Y, 0, fold)
        assert k == NEIGHBOURS[int(np.argmin(errors))]
        direct = KNeighborsRegressor(int(k)).fit(train, Y[fold.outer.train].numpy()).predict(test)
        np.testing.assert_allclose(predicted, direct)
        ours = int(knn_classes(Features(X), LABEL, 3, fold)[1])
        assert max(hits) - hits[NEIGHBOURS.index(ours)] <= 5  # scikit-learn breaks ties by the class's number


def test_equal_votes_go_to_the_class_of_nearer_rows() -> None:
    assert probes._commonest(torch.tensor([[2, 1, 2, 1], [1, 0, 0, 0]]), 3).tolist() == [2, 0]
    assert probes._commonest(torch.tensor([[2, 1], [0, 1]]), 3).tolist() == [2, 0]


def test_positions_are_not_standardised_and_many_features_find_what_a_tree_finds() -> None:
    narrow = Features(torch.cat((1000 * torch.randn(60, 1), torch.randn(60, 1)), 1), scaled=False)
    fold = Scheme("random", 3, 3, 10.0, 0.0).nested(LONLAT[:60], seed=0)[0].outer
    near = probes.nearest_rows(narrow, fold, 1)[:, 0]
    by_first = (narrow.x[fold.test, :1] - narrow.x[fold.train, 0]).abs().argmin(1)
    assert (near == fold.train[by_first]).float().mean() > 0.9
    wide = Features(torch.cat((narrow.x, torch.zeros(60, 20)), 1), scaled=False)
    assert torch.equal(probes.nearest_rows(wide, fold, 5), probes.nearest_rows(narrow, fold, 5))


def test_logistic_regression_is_scikit_learns_with_the_l2_of_least_inner_nll() -> None:
    fold = FOLDS[0]

    def fitted(part, l2: float):  # type: ignore[no-untyped-def]
        train, test = scaled(X[part.train].numpy(), X[part.test].numpy())
        model = LogisticRegression(C=1 / (l2 * len(train)), max_iter=5000).fit(train, LABEL[part.train].numpy())
        return model.predict_log_proba(test)

    nll = [-sum(fitted(part, l2)[np.arange(len(part.test)), LABEL[part.test]].sum() for part in fold.inner) for l2 in L2]
    predicted, l2 = logistic(Features(X), LABEL, 3, fold)
    assert l2 == L2[int(np.argmin(nll))]
    assert (predicted.numpy() == fitted(fold.outer, l2).argmax(1)).mean() > 0.97


def test_the_constant_is_of_the_training_rows() -> None:
    fold = FOLDS[0]
    assert torch.equal(PROBES["regression"]["constant"](Features(X), Y, 0, fold)[0].unique(), Y[fold.outer.train].mean()[None])
    label = torch.zeros(150, dtype=torch.long)
    label[fold.outer.test] = 1
    assert PROBES["classification"]["constant"](Features(X), label, 2, fold)[0].unique().tolist() == [0]
