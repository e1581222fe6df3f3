"""Two runs side by side: what has become quicker or slower, and by more than noise."""

import json

from ..errors import InputError
from .statistics import differs
from .table import aligned


def read(file):
    """Return the document of an earlier run.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        with open(file) as text:
            document = json.load(text)
        _index(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{file}: found no run of this benchmark, expected what --json wrote") from error
    return document


def _index(document):
    return {
        (case["name"], result["engine"], result["way"]): result
        for case in document["cases"]
        for result in case["results"]
        if "p50" in result
    }


def compare(old, new):
    """Return the lines of a comparison: old p50 / new p50 of all that is in both runs.

    Parameters
    ----------
    old, new : dict
        Documents, see ``report``.
    """
    before, after = _index(old), _index(new)
    rows = [["case", "engine", "way", "old p50", "new p50", "old/new", ""]]
    for key, result in after.items():
        if key in before:
            rows.append([*key, *_judge(before[key], result)])
    lines = ["Against the earlier run (µs; old/new above 1 is quicker now)"]
    if old["threads"] != new["threads"]:
        lines.append(f"Careful: that run had {old['threads']} thread(s), this one {new['threads']}.")
    if old["machine"]["cpu"] != new["machine"]["cpu"]:
        lines.append(f"Careful: that run was on another CPU, {old['machine']['cpu']}.")
    lines += aligned(rows, left=3) if len(rows) > 1 else ["nothing in common"]
    return lines


def _judge(old, new):
    ratio = old["p50"] / new["p50"]
    verdict = ("quicker" if ratio > 1 else "SLOWER") if differs(old["rounds"], new["rounds"]) else ""
    return f"{old['p50'] * 1e6:,.2f}", f"{new['p50'] * 1e6:,.2f}", f"{ratio:.2f}", verdict
