"""The latency benchmark, this engine beside its peers: ``python bench.py --help``. It lives in ``lstm_infer/bench``."""

import sys

from lstm_infer.bench import main

if __name__ == "__main__":
    sys.exit(main())
