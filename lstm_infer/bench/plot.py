"""The document of a run as a picture; the only user of matplotlib."""

from importlib.util import find_spec

from ..errors import InputError


def plot(document, file):
    """Write the medians of every engine in every case as a PNG.

    Parameters
    ----------
    document : dict
        See ``report``.
    file : open binary file

    Raises
    ------
    InputError
        Matplotlib is not installed.
    """
    check_installed()
    from matplotlib.figure import Figure

    cases = [(case, _contenders(case)) for case in document["cases"]]
    rows = sum(len(found) + 1 for _, found in cases)
    figure = Figure(figsize=(9, 1.2 + 0.22 * rows), layout="constrained")
    axes = figure.subplots()
    names = sorted({result["engine"] for _, found in cases for result in found})
    place, ticks = 0, []
    for case, found in cases:
        ticks.append((place + (len(found) - 1) / 2, case["name"]))
        for result in found:
            _bar(axes, place, result, f"C{names.index(result['engine'])}")
            place += 1
        place += 1
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set(xscale="log", xlabel="µs per call: median, line to p99", ylim=(place - 0.5, -1))
    axes.set_title(f"{document['machine']['cpu']}, {document['threads']} thread(s)", fontsize="medium")
    axes.set_xlim(right=axes.get_xlim()[1] * 4)  # room for the names
    handles = [axes.barh(0, 0, color=f"C{n}", label=name) for n, name in enumerate(names)]
    axes.legend(handles=handles, fontsize="small")
    figure.savefig(file, format="png", dpi=120)


def check_installed():
    """Raise InputError, naming the extra to install, where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise InputError("--plot: found no matplotlib, expected it from: pip install 'lstm-infer[bench]'")


def _contenders(case):
    return [result for result in case["results"] if "p50" in result and result["counts"]]


def _bar(axes, place, result, colour):
    p50, p99 = result["p50"] * 1e6, (result["p99"] or result["p50"]) * 1e6
    axes.barh(place, p50, color=colour)
    axes.plot([p50, p99], [place, place], color="0.3", linewidth=1)
    axes.text(p99 * 1.05, place, f"{result['engine']} {result['way']}", va="center", fontsize=6)
