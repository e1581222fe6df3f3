"""Kinds of command-line arguments that several commands take."""

import argparse


def positive(text):
    """Return a positive whole number."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a positive number")
    return number


def natural(text):
    """Return a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 0")
    return int(text)


def seconds(text):
    """Return a positive number of seconds, an hour's at most."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number of seconds up to 3600")
    return number
