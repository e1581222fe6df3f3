"""The command ``lstm-infer``: arguments, messages and exit statuses; the work is done elsewhere.

Exit status: 0 done; 1 the job failed, or verify found a difference; 2 wrong usage, bad model or input; 130 interrupted;
143 terminated. Nothing heavy is imported before a command runs, so ``--help`` is instant.
"""

import argparse
import json
import os
import signal
import sys
import time

from . import __version__
from .arguments import positive, seconds
from .batch import command as batch

EXAMPLES = {
    "summary": ["lstm-infer summary model.h5", "lstm-infer summary architecture.json --weights weights.h5"],
    "inspect": ["lstm-infer inspect unknown.h5", "lstm-infer inspect weights.h5 --json | jq .guess.python -r"],
    "predict": [
        "lstm-infer predict model.h5 data.npy -o predictions.csv",
        "lstm-infer predict architecture.json data.csv --weights weights.h5",
        "cat data.csv | lstm-infer predict model.keras - > predictions.csv",
    ],
    "verify": ["lstm-infer verify model.h5 golden.npz", "lstm-infer verify model.h5 inputs.npz outputs.npz"],
    "generate": [
        'lstm-infer generate model.keras "once upon a time " --tokenizer tokenizer.json',
        "lstm-infer generate model.keras - --tokenizer tokenizer.json --temperature 0.5 --seed 1 < beginning.txt",
    ],
    "bench": ["lstm-infer bench model.h5 --threads 1", "lstm-infer bench model.h5 --timesteps 24 --json measured.json"],
    "warmup": ["lstm-infer warmup", "LSTM_INFER_CACHE_DIR=/opt/kernels lstm-infer warmup model.h5"],
    "serve": ["lstm-infer serve model.h5", "lstm-infer serve models --host 0.0.0.0 --port 8080 --snapshots sessions"],
    "completion": [
        "source <(lstm-infer completion bash)",
        "lstm-infer completion fish > ~/.config/fish/completions/lstm-infer.fish",
    ],
}
"""Of every command, the first of which stand in the help of all."""


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        ``sys.argv[1:]`` unless given.

    Returns
    -------
    int
        The exit status.
    """
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115  (closed by the caller: 2>&-)
    try:
        try:
            status = _run(arguments)
        except SystemExit as exit:  # argparse has printed help or what is wrong
            status = exit.code
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk can still be reported
        return status
    except BrokenPipeError:  # the reader of our output has gone: that is its right
        _discard(sys.stdout)
        return 1
    except OSError as error:
        _discard(sys.stdout)
        return _say(str(error), 1)


def _run(arguments):
    options = _parser().parse_args(arguments)
    _stopped.clear()
    for number in STOPPING:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish
            signal.signal(number, _stop)
    try:
        status = options.command(options)
        check_stopped()
        return status
    except BrokenPipeError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        return _say(f"{error.filename}: {error.strerror}", 2)
    except BaseException as error:
        return _explain(error)
    finally:
        for number in STOPPING:  # another one would meet Python on its way out
            signal.signal(number, lambda signum, frame: None)


def _explain(error):
    """Return the exit status for what ended a command, after saying why; raise what is our own fault."""
    from .errors import LSTMInferError

    if _stopped:
        return _say(STOPPING[_stopped[0]], 128 + _stopped[0])
    if isinstance(error, LSTMInferError):
        return _say(str(error), 2)
    if isinstance(error, MemoryError):
        return _say(f"out of memory ({error})", 1)
    raise error


STOPPING = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):
    STOPPING[signal.SIGHUP] = "the terminal has gone"


class _Stopped(BaseException):
    """A signal of those arrived."""


_stopped = []
"""The signal that arrived: an exception alone can be lost, since the compiler's callbacks swallow it."""


def _stop(signum, frame):
    _stopped.append(signum)
    raise _Stopped


def check_stopped():
    """Raise again what was lost."""
    if _stopped:
        raise _Stopped


def _discard(stream):
    """Send what is left in a stream nowhere, so that Python does not fail on it when it ends."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(message, status):
    try:
        print(f"lstm-infer: {message}", file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)
    return status


# ---------------------------------------------------------------- arguments
def _parser():
    parser = argparse.ArgumentParser(
        prog="lstm-infer",
        description="Run pretrained Keras LSTM models on a CPU, without TensorFlow.",
        epilog=_examples([lines[0] for lines in EXAMPLES.values()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lstm-infer {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_predict(commands)
    _add_summary(commands)
    _add_inspect(commands)
    _add_verify(commands)
    _add_bench(commands)
    _add_warmup(commands)
    _add_serve(commands)
    _add_generate(commands)
    _add_completion(commands)
    return parser


def _add_predict(commands):
    command = _command(commands, "predict", _predict, "compute a model's outputs for files of data")
    batch.add_arguments(command)


def _add_summary(commands):
    _command(commands, "summary", _summary, "print a model's layers as a table")


def _add_inspect(commands):
    text = "print all a file tells, without running it: layers, arrays, costs, what is missing"
    command = _plain(commands, "inspect", _inspect, text)
    command.add_argument("model", metavar="FILE", help="any model or weights file, supported or not")
    command.add_argument("--weights", metavar="FILE", help="the weights of an architecture")
    command.add_argument("--json", action="store_true", help="one JSON object instead of text")


def _add_verify(commands):
    command = _command(commands, "verify", _verify, "replay recorded answers of Keras and compare")
    command.add_argument("golden", metavar="GOLDEN.npz", help="arrays input_0, output_0, ..., or call0_input_0, ...")
    command.add_argument("outputs", metavar="OUTPUTS.npz", nargs="?", help="the outputs, if GOLDEN.npz has none")
    command.add_argument("--tolerance", type=float, metavar="T", help="largest |ours - Keras| / (1 + |Keras|)")


def _add_bench(commands):
    command = _command(commands, "bench", _bench, "measure a model: latency, throughput, time per layer")
    command.add_argument("--timesteps", type=positive, default=100, metavar="T", help="where they are free (100)")
    command.add_argument("--batch", type=positive, default=256, metavar="B", help="rows, for throughput (256)")
    command.add_argument("--seconds", type=seconds, default=2.0, metavar="S", help="for each measurement (2)")
    command.add_argument("--json", metavar="FILE", help="write what was measured")


def _add_warmup(commands):
    text = "compile ahead the kernels of a model, or those of common layers"
    _command(commands, "warmup", _warmup, text, nargs="?")


def _add_serve(commands):
    from .serve.arguments import add_arguments

    text = "answer over HTTP: Open Inference Protocol, TensorFlow Serving's REST, WebSocket streams"
    add_arguments(_plain(commands, "serve", _serve, text))


def _add_generate(commands):
    command = _command(commands, "generate", _generate, "let a model of characters or words write on")
    command.add_argument("prompt", metavar="PROMPT", help="the beginning; - reads standard input")
    text = "JSON of a Keras Tokenizer, or a list of characters or words by id"
    command.add_argument("--tokenizer", metavar="FILE", required=True, help=text)
    command.add_argument("--length", type=positive, default=200, metavar="N", help="characters or words to write (200)")
    command.add_argument("--temperature", type=float, default=1.0, metavar="T", help="0: always the likeliest (1)")
    command.add_argument("--seed", type=int, metavar="N", help="the same one writes the same text")


def _add_completion(commands):
    command = _plain(commands, "completion", _completion, "print what lets a shell complete commands and options")
    command.add_argument("shell", choices=("bash", "zsh", "fish"))


def _plain(commands, name, function, text):
    """Add a command that takes no model."""
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_examples(EXAMPLES[name]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(command=function)
    return command


def _examples(lines):
    return "\n  ".join(["examples:", *lines])


def _command(commands, name, function, text, nargs=None):
    command = _plain(commands, name, function, text)
    command.add_argument("model", metavar="MODEL", nargs=nargs, help=".h5, .hdf5, .keras, or an architecture .json")
    command.add_argument("--weights", metavar="FILE", help="the weights of an architecture")
    command.add_argument("--keras-version", metavar="V", help="follow this Keras's semantics, not the file's")
    command.add_argument("--dtype", choices=("float32", "float64"), help="compute in this type")
    command.add_argument("--threads", type=positive, metavar="N", help="the most threads to use (all cores)")
    return command


# ---------------------------------------------------------------- commands
def _load(options):
    from .loading import load_model

    return load_model(
        options.model,
        weights=options.weights,
        keras_version=options.keras_version,
        dtype=options.dtype,
        threads=options.threads,
    )


def _predict(options):
    return batch.run(options, _load)


def _summary(options):
    _load(options).summary()
    return 0


def _inspect(options):
    from .inspection import inspect
    from .inspection.text import lines

    found = inspect(options.model, options.weights)
    check_stopped()
    print(json.dumps(found, allow_nan=False) if options.json else "\n".join(lines(found)))
    return 0


def _verify(options):
    from .batch.golden import read_golden
    from .verify import verify

    model = _load(options)
    golden = read_golden(options.golden)
    if options.outputs:
        golden.update(read_golden(options.outputs))
    differences = verify(model, golden, options.tolerance)
    for found in differences:
        verdict = "agrees" if found.agrees else "DIFFERS"
        print(f"{found.name}: largest difference {found.largest:.3g} (tolerance {found.tolerance:.3g}): {verdict}")
    return 0 if all(found.agrees for found in differences) else 1


def _bench(options):
    since = time.perf_counter_ns()
    from .bench.model import measure, table
    from .bench.output import check_target, write_json

    check_target(options.json)
    document = measure(lambda: _load(options), since, options.batch, options.timesteps, options.seconds)
    try:
        print("\n".join(table(document)), flush=True)
    finally:  # each of the two, whatever happens to the other
        if options.json:
            write_json(document, options.json)
    return 0


def _warmup(options):
    from .warmup import cache_folder, warm_up

    began = time.perf_counter()
    if cache_folder() is None:
        chosen = os.environ.get("LSTM_INFER_CACHE_DIR")
        place = f"LSTM_INFER_CACHE_DIR={chosen}: " if chosen else ""
        advice = "expected one that only its owner can write" if chosen else "set LSTM_INFER_CACHE_DIR"
        return _say(f"{place}found no folder of the user's own to keep kernels in, {advice}", 1)
    warmed = warm_up(None if options.model is None else _load(options))
    check_stopped()
    if warmed.lost:
        return _say(f"{warmed.lost} kernels compiled that could not be kept in {warmed.folder}", 1)
    print(f"{warmed.kernels} kernels compiled in {time.perf_counter() - began:.1f} s, kept in {warmed.folder}")
    return 0


def _serve(options):
    from .serve.server import run

    return run(options)


def _generate(options):
    from .text import Tokenizer, generate

    tokenizer = Tokenizer.load(options.tokenizer)
    model = _load(options)
    prompt = sys.stdin.read().rstrip("\n") if options.prompt == "-" else options.prompt
    (ids,) = tokenizer.texts_to_sequences([prompt])
    unknown = tokenizer.unknown(prompt)
    if unknown and ids:
        found = ", ".join(map(repr, unknown[:8]))
        _say(f"found {found} in the beginning, which the tokenizer does not know: left out", 0)
    for number, new in enumerate(generate(model, ids, options.length, options.temperature, options.seed)):
        check_stopped()
        (piece,) = tokenizer.sequences_to_texts([[new]])
        sys.stdout.write("" if number else prompt)
        sys.stdout.write(piece if tokenizer.char_level or not piece else f" {piece}")
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def _completion(options):
    from .completion import script

    print(script(options.shell, _parser()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
