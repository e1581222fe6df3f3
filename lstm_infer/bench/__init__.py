"""How fast this engine is: beside its peers (`main`), and with a user's own model (``bench.model``).

The peers run in processes of their own, under interpreters of their own if need be (``workers``); what is measured is
in ``cases``, how in ``rounds``. Nothing here is needed to predict.
"""


def main(arguments=None):
    """Run ``bench.py``.

    Parameters
    ----------
    arguments : list of str, optional
        ``sys.argv[1:]`` unless given.

    Returns
    -------
    int
        The exit status: 0 done; 1 an engine failed or computed something wrong; 2 wrong usage; 130 interrupted.
    """
    from .command import run

    return run(arguments)
