"""Files are there whole or not at all."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


def check_folder(target):
    """Refuse a file to be written, or None, if its folder is not there: before the work, not after it."""
    if target is not None and not Path(target).absolute().parent.is_dir():
        raise InputError(f"{target}: its folder does not exist")


@contextmanager
def replacing(target):
    """Open a temporary file beside `target`, to write bytes to; it takes the target's name when the block ends well."""
    target = Path(target)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is its owner's alone
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def write_json(document, target):
    """Write plain data as JSON."""
    with replacing(target) as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
