"""Conditional random fields against plain search over all paths; their numbers against the originals: test_golden."""

import itertools

import numpy as np
import pytest

import lstm_infer as li

RNG = np.random.default_rng(11)
TAGS, STEPS = 3, 4


def weights(units=TAGS, features=2):
    return [RNG.normal(size=shape) for shape in ((features, units), (units, units), (units,), (units,), (units,))]


def best_path(energy, chain, following):
    """The path of least energy, if a tag follows it."""

    def of(path):
        own = sum(energy[t, tag] for t, tag in enumerate(path))
        return own + sum(chain[pair] for pair in itertools.pairwise((*path, following)))

    return list(min(itertools.product(range(TAGS), repeat=STEPS), key=of))


@pytest.mark.parametrize("use_boundary", [True, False])
def test_the_path_of_least_energy(use_boundary):
    kernel, chain, bias, left, right = weights()
    layer = li.CRF(TAGS, use_boundary=use_boundary, dtype="float64")
    layer.set_weights([kernel, chain, bias, left, right][: 5 if use_boundary else 3])
    x = RNG.normal(size=(5, STEPS, 2))
    for row, found in zip(x, layer(x), strict=True):
        energy = row @ kernel + bias
        if use_boundary:
            energy[0] += left
            energy[-1] += right
        following = best_path(energy, chain, 0)[-1]  # keras-contrib looks the last tag up twice
        assert found.argmax(axis=1).tolist() == best_path(energy, chain, following)
        assert found.sum(axis=1).tolist() == [1.0] * STEPS


def test_probabilities_add_up_and_masks_travel():
    layer = li.CRF(TAGS, learn_mode="marginal")
    layer.set_weights(weights())
    x, mask = RNG.normal(size=(2, STEPS, 2)), np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool)
    np.testing.assert_allclose(layer(x, mask=mask).sum(axis=-1), np.ones((2, STEPS)), rtol=1e-6)
    assert layer.test_mode == "marginal"
    assert layer.compute_mask(x, mask) is mask
    assert li.CRF(TAGS).compute_mask(x, mask).tolist() == [True, True]


def test_the_path_of_highest_score():
    _, chain, _, left, right = weights()
    layer = li.AddonsCRF(TAGS, use_kernel=False, dtype="float64")
    layer.set_weights([chain, left, right])
    x = RNG.normal(size=(3, STEPS, TAGS))
    mask = np.arange(STEPS) < np.array([[4], [2], [1]])
    tags, potentials, lengths, returned = layer(x, mask=mask)
    assert lengths.tolist() == [4, 2, 1]
    np.testing.assert_array_equal(returned, chain)
    for row, length, found in zip(potentials, lengths, tags, strict=True):
        paths = itertools.product(range(TAGS), repeat=int(length))
        scores = {path: sum(row[t, tag] for t, tag in enumerate(path))
                  + sum(chain[pair] for pair in itertools.pairwise(path)) for path in paths}  # fmt: skip
        assert found.tolist() == [*max(scores, key=scores.get), *[0] * (STEPS - length)]


@pytest.mark.parametrize("make", [li.CRF, lambda units: li.CRF(units, test_mode="marginal"), li.AddonsCRF])
def test_rows_do_not_depend_on_their_batch(make):
    layer = make(5)
    layer.build((None, 7, 6))
    layer.set_weights([RNG.normal(size=shape) for shape in layer.expected_shapes.values()])
    x = RNG.normal(size=(70, 7, 6)).astype(np.float32)

    def outputs(values):
        found = layer(values)
        return found[:3] if isinstance(found, list) else [found]

    for rows in (1, 2, 9):
        for part, whole in zip(outputs(x[3 : 3 + rows]), outputs(x), strict=True):
            np.testing.assert_array_equal(part, whole[3 : 3 + rows])


def test_what_has_no_rows_comes_once():
    x = li.Input((None, 6))
    model = li.Model(x, li.AddonsCRF(5)(x))
    model.set_weights([RNG.normal(size=shape) for shape in ((5, 5), (5,), (5,), (6, 5), (5,))])
    tags, _, lengths, chain = model.predict(np.zeros((700, 3, 6)))
    assert (tags.shape, lengths.shape, chain.shape) == ((700, 3), (700,), (5, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: li.CRF(3, learn_mode="other"), "found learn_mode='other'"),
        (lambda: li.CRF(3).compute_output_shape((None, 4)), "expected .batch, timesteps, features."),
        (lambda: li.AddonsCRF(3, use_kernel=False).compute_output_shape((None, 4, 2)), "found inputs"),
        (lambda: li.NASCell(3, projection=0), "found projection=0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(li.InputError, match=message):
        call()
