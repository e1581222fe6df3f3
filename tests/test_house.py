"""The import rules of the house: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lstm_infer"

PEERS = {"onnx", "onnxruntime", "openvino", "torch", "tensorflow", "tf_keras"}

SERVE = {"starlette", "uvicorn", "uvloop", "orjson", "prometheus_client", "httpx", "websockets"}

MAY_IMPORT = {  # room -> the rooms and outside packages it may use besides the standard library
    "errors": set(),
    "spec": {"numpy"},
    "hdf5": {"errors", "spec", "numpy", "h5py"},
    "layouts": {"errors", "spec", "numpy"},
    "kernels": {"numpy", "numba", "llvmlite"},
    "arguments": set(),
    "wholefile": set(),
    "threads": set(),
    "layers": {"errors", "spec", "kernels", "threads", "numpy"},
    "maskgraph": {"layers"},
    "graph": {"errors", "layers", "maskgraph"},
    "stepping": {"errors", "layers"},
    "inputs": {"errors", "layers", "numpy"},
    "summary": {"layers"},
    "chains": {"layers", "numpy"},
    "model": {
        "errors", "layers", "graph", "stepping", "chains", "inputs", "summary", "streaming", "loading", "threads",
        "numpy", "tqdm",
    },
    "streaming": {"errors", "layers", "chains", "inputs", "model", "wholefile", "numpy"},
    "assembly": {"errors", "spec", "layers", "model"},
    "loading": {"errors", "spec", "hdf5", "layouts", "assembly", "layers", "model", "origin", "numpy"},
    "custom": {"errors", "layers", "kernels", "numpy"},
    "inspection": {"errors", "spec", "hdf5", "layouts", "assembly", "layers", "loading", "summary", "numpy"},
    "verify": {"errors", "layers", "numpy"},
    "batch": {
        "arguments", "errors", "kernels", "layers", "model", "text", "numpy", "h5py", "tqdm", "pyarrow", "distributed",
    },
    "text": {"errors", "numpy"},
    "completion": set(),
    "bench": {
        "arguments", "errors", "graph", "layers", "kernels", "model", "serve", "streaming", "wholefile", "numpy",
        "numba", "llvmlite", "matplotlib",
    },
    "workers": {"protocol", "openloop", "padding", "lstm_infer", "numpy"} | PEERS,
    "cli": {
        "arguments", "errors", "loading", "layers", "batch", "text", "verify", "bench", "warmup", "inspection", "serve",
        "completion",
    },
    "warmup": {"errors", "kernels", "layers", "model", "streaming", "numpy"},
    "serve": SERVE | {
        "arguments", "errors", "inputs", "kernels", "layers", "loading", "model", "streaming", "numpy", "matplotlib",
        "uvloop",
    },
    "origin": {"errors", "loading"},
    "__init__": set(),
    "__main__": {"cli"},
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    if path.parent.name == "workers":  # scripts for interpreters that need not have this package
        return "workers"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    """The rooms and outside packages that a source imports, anywhere in it."""
    inside = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = list(inside)[: len(inside) - node.level + 1] if node.level else []
            full = home + (node.module or "").split(".") if node.module else home
            yield from [full[0]] if full else (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path):
    room = room_of(path)
    outside = set(imports_of(path)) - set(sys.stdlib_module_names) - {room, "__version__"}
    assert outside <= MAY_IMPORT[room], f"{room} may not import {outside - MAY_IMPORT[room]}"


@pytest.mark.parametrize(
    ("package", "rooms"), [("h5py", {"hdf5", "batch/hdf5.py"}), ("pyarrow", {"batch/tables.py", "batch/typed.py"})]
)
def test_few_know_a_file_format(package, rooms):
    users = {path.relative_to(PACKAGE).as_posix() for path in SOURCES if package in imports_of(path)}
    assert {user if user.startswith("batch") else room_of(PACKAGE / user) for user in users} == rooms


def test_every_room_is_known():
    assert {room_of(path) for path in SOURCES} == set(MAY_IMPORT)


def heavy_modules_after(code):
    heavy = "{'numpy', 'numba', 'h5py', 'llvmlite', 'tqdm'}"
    script = f"import sys\n{code}\nprint(sorted({heavy} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    assert heavy_modules_after("import lstm_infer").strip() == "[]"


def test_help_is_light():
    code = "from lstm_infer.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert heavy_modules_after(code).strip().endswith("[]")


def test_loading_a_spec_compiles_nothing():
    code = "import lstm_infer.layouts, lstm_infer.hdf5"
    assert "numba" not in heavy_modules_after(code)


def test_every_public_name_resolves():
    import lstm_infer

    for name in lstm_infer.__all__:
        assert getattr(lstm_infer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = lstm_infer.Nonsense


def test_every_layer_is_public():
    import lstm_infer
    from lstm_infer.layers import LAYERS
    from lstm_infer.layers.operations import OPERATIONS

    assert set(LAYERS) - set(OPERATIONS) <= set(lstm_infer.__all__)


def test_a_model_imports_the_layers_it_has():
    """To import all of them takes as long as to load a small model."""
    script = (
        "import sys, lstm_infer as li, numpy as np\n"
        "li.load_model(sys.argv[1]).predict(np.load(sys.argv[2]))\n"
        "print(*(name for name in sys.modules if name.startswith('lstm_infer.layers.')))"
    )
    models = PACKAGE.parent / "models"
    command = [sys.executable, "-c", script, str(models / "sunspots.h5"), str(models / "sunspots.input.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    imported = {name.removeprefix("lstm_infer.layers.") for name in done.stdout.split()}
    assert {"core", "recurrent"} <= imported
    assert not imported & {"convolution", "attention", "operations", "ops", "lookups", "merge", "pooling", "crf"}


def test_layers_are_where_they_are_said_to_be():
    from lstm_infer.layers import LAYERS, is_ours

    for name, layer in LAYERS.items():
        assert layer.__name__ == name.rpartition(".")[2]
    subclass = type("Dense", (LAYERS["Dense"],), {})
    assert is_ours(LAYERS["Dense"](1)) and not is_ours(subclass(1))
