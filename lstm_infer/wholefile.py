"""Files that are there whole or not at all, whatever stops the program."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target):
    """Open a temporary file beside `target`, to write bytes to; it takes the target's name when the block ends well.

    The bytes are on the disk before that. Whoever writes to the same target meanwhile has a file of their own: the last
    to end has the last word. An `OSError` names the target.
    """
    try:
        with _beside(Path(target)) as file:
            yield file
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


@contextmanager
def _beside(target):
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is its owner's alone
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
