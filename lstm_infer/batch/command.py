"""The arguments of ``lstm-infer predict``, and the call that they stand for."""

import argparse
import json
import sys
import warnings

from ..arguments import natural, positive

FORMATS = ("npy", "npz", "csv", "jsonl", "parquet", "arrow", "h5")

EXAMPLES = """examples:
  lstm-infer predict model.h5 data.npy -o predictions.npy
  lstm-infer predict model.h5 'days/*.csv.gz' -o predictions.parquet --index --with-input station
  lstm-infer predict model.h5 sensors.csv --window 60 --columns temperature,humidity \\
      --group-by sensor_id --time timestamp --scale scaling.json -o forecast.csv
  lstm-infer predict model.h5 days/ --window 60 --across-files --time timestamp -o forecast.parquet
  lstm-infer predict model.keras sequences.jsonl -o classes.jsonl --argmax
  lstm-infer predict model.keras reviews.csv --tokenizer tokenizer.json --text review --with-input id -o sentiment.csv
  lstm-infer predict model.h5 past=past.npy now=now.npy -o predictions.npz
  lstm-infer predict model.h5 archive.h5:/2024/x -o predictions.h5 --resume
  lstm-infer predict /shared/model.h5 /shared/days -o /shared/predictions --dask tcp://scheduler:8786
  producer | lstm-infer predict model.h5 - --input-format jsonl --output-format jsonl | consumer

Data may be larger than memory. A file under the target's name is always whole: until then its parts stand in a
folder .NAME.partial beside it. After an interrupt, a full disk or a power cut, the same command with --resume goes on.
CSV has a line of names where something stands beside the predictions, or there are several outputs.

exit status: 0 done (rows skipped on request included), 1 the job failed, 2 wrong usage, a bad model or bad input,
130 interrupted, 143 terminated
"""


def add_arguments(command):
    """Add the arguments of ``predict`` to its parser."""
    command.epilog, command.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    command.add_argument(
        "input", metavar="INPUT", nargs="+",
        help="npy, npz, csv, tsv, jsonl (text also .gz), parquet, arrow, feather or HDF5 file (FILE.h5:/DATASET); "
        "a folder or glob of them; - for standard input; NAME=FILE for each of several inputs",
    )  # fmt: skip
    command.add_argument("-o", "--output", metavar="FILE", default="-", help="by suffix; stdout unless given")
    command.add_argument("--input-format", choices=FORMATS, help="instead of what the suffix says; - is csv")
    command.add_argument("--output-format", choices=FORMATS, help="instead of what the suffix says; - is csv")
    _add_tables(command.add_argument_group("tables and series"))
    _add_sequences(command.add_argument_group("rows of different length, and text"))
    _add_results(command.add_argument_group("what is written"))
    _add_manners(command.add_argument_group("how it is done"))


def _add_tables(group):
    text = "columns of an input, by name or place; 0-23 is a range"
    group.add_argument("--columns", metavar="[NAME=]A,B", action="append", help=text)
    text = "whether a CSV begins with names; unless given, it does if no cell of its first line begins like a number"
    group.add_argument("--header", action=argparse.BooleanOptionalAction, help=text)
    group.add_argument("--delimiter", metavar="CHAR", help="of CSV; found in the first line")
    text = "predict for every window of N rows of one file (or --across-files)"
    group.add_argument("--window", type=positive, metavar="N", help=text)
    group.add_argument("--stride", type=positive, metavar="N", default=1, help="rows between windows (1)")
    text = "windows go on from each file to the next, in the order given; of a folder or glob, by name"
    group.add_argument("--across-files", action="store_true", help=text)
    group.add_argument("--group-by", metavar="A,B", help="windows of one group each; groups may be interleaved")
    group.add_argument("--time", metavar="COLUMN", help="write this column (of a window: its last row's) beside")
    group.add_argument("--scale", metavar="FILE", help="JSON: mean and scale, or min and max, by column or in order")
    group.add_argument("--unscale", metavar="COLUMN", help="undo this column's scaling in the predictions")


def _add_sequences(group):
    group.add_argument("--lengths", metavar="COLUMN", help="the true lengths of right-padded rows")
    group.add_argument("--pad-value", type=float, metavar="V", help="fill short rows, instead of masking")
    group.add_argument("--max-length", type=positive, metavar="N", help="pad and cut to N timesteps")
    group.add_argument("--padding", choices=("pre", "post"), help="which end is filled (post; text: pre)")
    group.add_argument("--truncating", choices=("pre", "post"), help="which end is cut (post; text: pre)")
    group.add_argument("--tokenizer", metavar="FILE", help="JSON of a Keras Tokenizer: text becomes ids")
    group.add_argument("--text", metavar="COLUMN", help="the column of text, if there are several")


def _add_results(group):
    group.add_argument("--argmax", action="store_true", help="write the place of the largest number")
    group.add_argument("--round", type=natural, metavar="N", help="write N decimals")
    group.add_argument("--with-input", metavar="A,B", help="write these columns beside; no inputs then, unless named")
    group.add_argument("--index", action=argparse.BooleanOptionalAction, help="write row numbers (for windows: yes)")
    group.add_argument("--output-dtype", choices=("float16", "float32", "float64"), help="write this type")


def _add_manners(group):
    group.add_argument("--batch-size", type=positive, metavar="N", help="rows that are computed together (chosen)")
    group.add_argument("--on-error", choices=("fail", "skip"), default="fail", help="what a bad row does (fail)")
    group.add_argument("--rejected", metavar="FILE", help="where skipped rows go (OUTPUT.rejected.jsonl)")
    group.add_argument("--resume", action="store_true", help="go on where a stopped run of the same job left off")
    group.add_argument("--dask", metavar="ADDRESS", help="run on this Dask cluster; OUTPUT is a folder of parts then")
    group.add_argument("--partition-rows", type=positive, metavar="N", help="rows of a part, on a cluster (131072)")
    group.add_argument("--stats", action="store_true", help="print rows/s and peak memory to stderr, as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress")


SETTINGS = (
    "input_format", "output_format", "header", "delimiter", "window", "stride", "across_files", "time", "scale",
    "unscale", "lengths", "pad_value", "max_length", "padding", "truncating", "tokenizer", "text", "argmax", "round",
    "index", "output_dtype", "batch_size", "threads", "on_error", "rejected", "resume",
)  # fmt: skip
"""The arguments that are settings as they are."""


def run(options, load):
    """Run ``predict``; `load` returns the model. What Python warns of is said in a line."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *about, **more: _say(message)
        return _predict(options, load)


def _predict(options, load):
    from .job import predict_files
    from .settings import Settings
    from .targets import format_of

    settings = {name: getattr(options, name) for name in SETTINGS}
    settings["group_by"], settings["with_input"] = _names(options.group_by), _names(options.with_input)
    if not options.dask:
        format_of(options.output, options.output_format)  # wrong usage is found before the work
    Settings(**settings)
    model = load(options)
    settings["columns"] = _columns(options.columns, model)
    inputs = _inputs(options.input, model)
    progress = "quiet" if options.quiet else "auto"
    if options.dask:
        from .cluster import PARTITION_ROWS, predict_on_cluster

        rows = options.partition_rows or PARTITION_ROWS
        done = predict_on_cluster(
            model, inputs, options.output, options.dask, partition_rows=rows, progress=progress, kept=_say_kept,
            **settings,
        )  # fmt: skip
    else:
        done = predict_files(model, inputs, options.output, progress=progress, kept=_say_kept, **settings)
    _report(done, options)
    return 0


def _names(text):
    return text.split(",") if text else ()


def _columns(given, model):
    """Return ``--columns`` as settings take them: a list, or a dict by input."""
    if not given:
        return None
    by_input = {}
    for text in given:
        name, mark, columns = text.partition("=")
        if mark and name in model.input_names:
            by_input[name] = columns.split(",")
        elif len(given) == 1 and len(model.inputs) == 1:
            return text.split(",")
        else:
            from ..errors import InputError

            raise InputError(f"found --columns {text}, expected NAME=A,B with one of {model.input_names}")
    return by_input


def _inputs(given, model):
    """Return the inputs as `predict_files` takes them: a list, or a dict where all are NAME=FILE."""
    names = [*model.input_names, *(f"input_{n}" for n in range(len(model.inputs)))]
    pairs = [text.partition("=") for text in given]
    if not all(mark and name in names for name, mark, _ in pairs):
        return given
    found = {}
    for name, _, path in pairs:
        found.setdefault(name, []).append(path)
    return found


def _say_kept(kept):
    _say(f"{kept.rows:,} rows are done and kept; the same command with --resume goes on")


def _report(done, options):
    if done.rejected:
        where = f", see {done.rejected_file}" if done.rejected_file else ""
        _say(f"{done.rejected:,} row{'' if done.rejected == 1 else 's'} skipped{where}")
    elif not done.rows and not options.quiet:
        _say("found no window of rows of one series" if options.window else "found no rows")
    if options.stats:
        print(json.dumps(done._asdict()), file=sys.stderr, flush=True)


def _say(text):
    print(f"lstm-infer: {text}", file=sys.stderr, flush=True)
