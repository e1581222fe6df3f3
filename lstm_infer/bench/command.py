"""The command ``bench.py``: arguments, messages and exit statuses."""

import argparse
import datetime
import os
import shutil
import sys
import tempfile

from ..arguments import positive, seconds
from ..errors import InputError, LSTMInferError
from ..wholefile import replacing
from . import compare, plot
from .cases import SUITES
from .coldstart import ColdStart
from .engines import ENGINES, OURS, Engine, EngineError, choose
from .output import check_target, write_json
from .report import add_rates, case_record, has_failed
from .rounds import Runner
from .table import table

PROGRAM = "bench.py"
EPILOG = """examples:
  python bench.py
  python bench.py --suite deepbench --suite small --threads 2 --json run.json
  python bench.py --python onnxruntime=/envs/ort/bin/python --python torch=/envs/torch/bin/python --plot run.png
"""


def run(arguments=None):
    """Run the command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        return _measure(options)
    except SystemExit as exit:  # argparse has printed help or what is wrong
        return exit.code
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except LSTMInferError as error:
        return _say(str(error), 2)
    except EngineError as error:
        return _say(f"{OURS}: {error}", 1)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        return _say(f"{error.filename}: {error.strerror}", 2)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)


def _say(message, status=None):
    print(f"{PROGRAM}: {message}", file=sys.stderr, flush=True)
    return status


def _parser():
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Measure this engine beside ONNX Runtime, OpenVINO, PyTorch and Keras, all in float32.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--suite", action="append", choices=SUITES, help="which cases; may be repeated (quick)")
    add("--threads", type=positive, default=1, metavar="N", help="the most threads of each engine (1)")
    add("--engines", type=lambda text: text.split(","), metavar="LIST", help=f"of {','.join(ENGINES)} (all found)")
    add("--python", action="append", default=[], metavar="ENGINE=PATH", help="the interpreter that has an engine")
    add("--rounds", type=positive, default=7, metavar="N", help="turns of each engine in each case (7)")
    add("--seconds", type=seconds, default=0.2, metavar="S", help="of each turn (0.2)")
    add("--json", metavar="FILE", help="write all that was measured")
    add("--plot", metavar="FILE", help="draw the medians (PNG)")
    add("--compare", metavar="OLD.json", help="print what is quicker or slower than in an earlier run")
    add("--quiet", action="store_true", help="no progress on stderr")
    return parser


# ---------------------------------------------------------------- the run
def _measure(options):
    old = compare.read(options.compare) if options.compare else None  # wrong usage is found before the work
    for file in (options.json, options.plot):
        check_target(file)
    if options.plot:
        plot.check_installed()
    note = (lambda line: None) if options.quiet else _say
    engines = choose(options.engines, _pythons(options.python), options.threads, note)
    ours = [engine for engine in engines if engine.name == OURS]
    gauge = ours[0] if ours else Engine(OURS, sys.executable, options.threads)
    try:
        document = _document(options, engines, gauge, note)
    finally:
        for engine in [*engines, gauge]:
            engine.stop()
    try:
        print("\n".join(table(document) + ([""] + compare.compare(old, document) if old else [])), flush=True)
    finally:  # each of the two, whatever happens to the other
        _write(document, options)
    return 1 if has_failed(document) else 0


def _write(document, options):
    if options.json:
        write_json(document, options.json)
    if options.plot:
        with replacing(options.plot) as file:
            plot.plot(document, file)


def _pythons(given):
    pythons = {}
    for text in given:
        engine, _, path = text.partition("=")
        found = shutil.which(path)
        if found is None:
            raise InputError(f"--python: found {text!r}, expected ENGINE=PATH of an interpreter that can be run")
        pythons[engine] = found
    return pythons


def _document(options, engines, gauge, note):
    machine = gauge.ask("describe")
    versions = machine.pop("versions")
    for engine in engines:
        try:
            engine.start()
        except EngineError as error:  # its results will say so too
            note(f"{engine.name}: {error}")
    for engine in [gauge, *engines]:
        versions |= {name: v for name, v in engine.versions.items() if name not in ("numpy", "python")}
    suites = list(dict.fromkeys(options.suite or ["quick"]))
    return {
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "machine": machine,
        "versions": versions | {name: gauge.versions[name] for name in ("numpy", "python")},
        "threads": options.threads,
        "suites": suites,
        "cases": _records(options, engines, gauge, note, suites, machine["lanes"]),
    }


def _records(options, engines, gauge, note, suites, lanes):
    cases = list(dict.fromkeys(case for suite in suites for case in SUITES[suite]))
    records = []
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(engines, gauge, options.rounds, options.seconds, folder)
        for number, case in enumerate(cases, 1):
            note(f"{number}/{len(cases)} {case.name}")
            if case.mode in ("start", "file"):
                records.append(case_record(case, ColdStart(runner, note).measure(case), lanes))
            else:
                found, *limits = runner.measure(case)
                records.append(case_record(case, found, lanes, *limits))
    add_rates(records)
    return records
