"""Nested lists and dicts of values, as Keras models take and return them.

A tuple or list is a sequence, a dict is ordered by its keys' sorted names as in Keras; everything else is a leaf.
"""


def flatten(structure):
    """Return the leaves of `structure` as a list.

    >>> flatten([1, {"b": 3, "a": 2}])
    [1, 2, 3]
    """
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in flatten(item)]
    return [structure]


def map_structure(function, structure):
    """Return `structure` with `function` applied to every leaf.

    >>> map_structure(str, [1, {"a": 2}])
    ['1', {'a': '2'}]
    """
    if isinstance(structure, dict):
        return {key: map_structure(function, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [map_structure(function, item) for item in structure]
    return function(structure)


def pack_like(structure, leaves):
    """Return `leaves` (in the order of `flatten`) nested like `structure`.

    >>> pack_like([0, {"b": 0, "a": 0}], [1, 2, 3])
    [1, {'b': 3, 'a': 2}]
    """
    return _fill(structure, iter(leaves))


def _fill(part, leaves):  # not a function inside `pack_like`: one that calls itself would keep the leaves alive
    if isinstance(part, dict):
        filled = {key: _fill(part[key], leaves) for key in sorted(part)}
        return {key: filled[key] for key in part}
    if isinstance(part, (list, tuple)):
        return [_fill(item, leaves) for item in part]
    return next(leaves)
