"""What Python's garbage collector looks through while the server runs: what requests make, and not everything there is.

The compiler and the models are some hundred thousand objects. To look through them takes a tenth of a second, in which
nobody is answered, and Python does so again and again under load.
"""

import gc


def settle():
    """Collect now, and pass over all that is left in later collections, until this is called again."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def settle_again():
    """`settle`, in a process that has called it before: a model that has gone would stay in memory otherwise."""
    if gc.get_freeze_count():
        settle()
