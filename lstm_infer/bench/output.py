"""Where results go, which is looked at before the work."""

import json
from pathlib import Path

from ..errors import InputError
from ..wholefile import replacing


def check_target(target):
    """Refuse a file to be written, or None, if that cannot be: before the work, not after it."""
    if target is None:
        return
    path = Path(target).absolute()
    if not path.parent.is_dir():
        raise InputError(f"{target}: its folder does not exist")
    if path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise InputError(f"{target}: found {found} there, expected a file's name")


def write_json(document, target):
    """Write plain data as JSON."""
    with replacing(target) as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
