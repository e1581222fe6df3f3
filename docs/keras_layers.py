"""List the layer classes of the Keras that runs this, for docs/compatibility.md; adds its entry to keras_layers.json.

    python docs/keras_layers.py keras         (of keras 3)
    python docs/keras_layers.py tf_keras      (of Keras 2)
"""

import importlib
import inspect
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PATH = Path(__file__).with_name("keras_layers.json")


def main(package):
    keras = importlib.import_module(package)
    found = {}
    for name, value in vars(keras.layers).items():
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer):
            found.setdefault(value, name)
            if value.__name__ == name:  # the name that files hold; others are aliases
                found[value] = name
    known = json.loads(PATH.read_text()) if PATH.exists() else {}
    known[package] = {"version": keras.__version__, "layers": sorted(found.values())}
    PATH.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


main(sys.argv[1])
