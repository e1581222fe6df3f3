"""Where results go, which is looked at before the work."""

import json
from pathlib import Path

from ..errors import InputError
from ..wholefile import replacing


def check_folder(target):
    """Refuse a file to be written, or None, if its folder is not there: before the work, not after it."""
    if target is not None and not Path(target).absolute().parent.is_dir():
        raise InputError(f"{target}: its folder does not exist")


def write_json(document, target):
    """Write plain data as JSON."""
    with replacing(target) as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
