"""``python -m lstm_infer``: the same as the command ``lstm-infer``."""

import sys

from .cli import main

sys.exit(main())
