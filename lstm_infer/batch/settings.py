"""Everything a job may be told, with what holds unless it is."""

from dataclasses import dataclass, fields

from ..errors import InputError
from .sources import INPUT_FORMATS


@dataclass(frozen=True)
class Settings:
    """How data becomes inputs, and predictions become files; the arguments of `predict_files`.

    Attributes
    ----------
    input_format : str, optional
        One of npy, npz, csv, jsonl, parquet, arrow and h5; by suffix unless given.
    columns : list of str, or dict of them by input name, optional
        The columns that make an input, of csv, parquet and arrow; all that have no other use unless given.
    header : bool, optional
        Whether the first line of a CSV holds names; it is looked at unless given.
    delimiter : str, optional
        Of CSV; found in the first line unless given.
    window, stride : int
        Windows of so many rows, of which each begins `stride` rows after the one before.
    across_files : bool
        Whether the rows of a file go on where those of the file before end, as days of one series do; else windows end
        with their file. Files come in the order in which they are given, those of a folder or glob by name.
    group_by : list of str
        Windows hold rows of one group only.
    time : str, optional
        A column that is written beside each prediction: of a window, that of its last row.
    lengths : str, optional
        A column with the true lengths of right-padded rows.
    pad_value : float, optional
        Fill shorter rows with this, instead of masking what is missing.
    padding, truncating : {"pre", "post"}, optional
        Where shorter rows are filled and longer ones cut; "post", for text "pre", as Keras does.
    max_length : int, optional
        Timesteps to pad and cut to; those of the model unless given.
    scale : str or dict, optional
        A JSON file, or what it holds: see ``scaling``.
    unscale : str, optional
        The column whose scaling is undone in the predictions.
    tokenizer : str, optional
        A JSON file of a Keras Tokenizer.
    text : str, optional
        The column that it turns into ids; the only one unless given.
    output_format : str, optional
        One of npy, npz, csv, jsonl, parquet, arrow and h5; by suffix unless given.
    argmax : bool
        Write the place of the largest number of the last axis, where it has several.
    round : int, optional
        Decimals to write.
    with_input : list of str
        Columns that are written beside the predictions.
    index : bool, optional
        Whether to write the row's number beside; for windows unless given.
    output_dtype : str, optional
        float16, float32 or float64.
    batch_size, threads : int, optional
        The engine chooses unless given.
    on_error : {"fail", "skip"}
        What a row that cannot be used does to the job.
    rejected : str, optional
        Where skipped rows are written; beside the output unless given.
    resume : bool
        Go on where a job that was stopped left off.
    """

    input_format: str | None = None
    columns: list | dict | None = None
    header: bool | None = None
    delimiter: str | None = None
    window: int | None = None
    stride: int = 1
    across_files: bool = False
    group_by: tuple = ()
    time: str | None = None
    lengths: str | None = None
    pad_value: float | None = None
    padding: str | None = None
    truncating: str | None = None
    max_length: int | None = None
    scale: str | dict | None = None
    unscale: str | None = None
    tokenizer: str | None = None
    text: str | None = None
    output_format: str | None = None
    argmax: bool = False
    round: int | None = None
    with_input: tuple = ()
    index: bool | None = None
    output_dtype: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    on_error: str = "fail"
    rejected: str | None = None
    resume: bool = False

    def __post_init__(self):
        for name in ("group_by", "with_input"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value or ()))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"found {name}={getattr(self, name)!r}, expected one of {list(allowed)}")
        for name in ("window", "stride", "max_length"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"found {name}={value!r}, expected a positive number")
        if self.round is not None and (not isinstance(self.round, int) or not 0 <= self.round <= 20):
            raise InputError(f"found round={self.round!r}, expected a number of decimals from 0 to 20")
        if self.rejected is not None and self.on_error != "skip":
            raise InputError("rejected needs on_error='skip': else no row is left out")
        if self.delimiter is not None and (len(self.delimiter) != 1 or ord(self.delimiter) > 127):
            raise InputError(f"found delimiter={self.delimiter!r}, expected one character")
        if self.group_by and not self.window:
            raise InputError("group_by is for windows: give window, too")
        if self.across_files and not self.window:
            raise InputError("across_files is for windows: give window, too")
        if self.unscale and not self.scale:
            raise InputError("unscale needs scale, which says how")

    @property
    def has_index(self):
        """Whether the row's number stands beside each prediction."""
        return bool(self.window) if self.index is None else self.index

    def identity(self):
        """Return what the results depend on, as a dict."""
        free = ("batch_size", "threads", "resume")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in free}


CHOICES = {
    "input_format": (None, *INPUT_FORMATS),
    "on_error": ("fail", "skip"),
    "padding": (None, "pre", "post"),
    "truncating": (None, "pre", "post"),
    "output_dtype": (None, "float16", "float32", "float64"),
}
