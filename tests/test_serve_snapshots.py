"""Streams on disk: none is lost where its model comes back, and nothing that cannot be restored is written over."""

import contextlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.errors import InputError
from lstm_infer.serve.journal import Journal
from lstm_infer.serve.repository import Repository
from lstm_infer.serve.settings import Settings
from lstm_infer.serve.streams import SequenceError

MODELS = Path(__file__).resolve().parent.parent / "models"
X = np.load(MODELS / "sunspots.input.npy")[0, :12]


@pytest.fixture(scope="module")
def expected():
    pool = li.SessionPool(li.load_model(MODELS / "sunspots.h5"), 1)
    return [pool.predict("a", X[:6]), pool.predict("a", X[6:])]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copy(MODELS / "sunspots.h5", tmp_path / "models" / "m.h5")
    shutil.copy(MODELS / "digits.keras", tmp_path / "models" / "other.keras")
    return tmp_path


@contextlib.contextmanager
def started(folder, crashes=False, **settings):
    repository = Repository(folder / "models", Settings(poll=0, snapshots=str(folder / "kept"), threads=1, **settings))
    repository.start()
    try:
        yield repository
    finally:
        if crashes:
            if crashes is True:
                repository.snapshot()
            repository._snapshots.close(False)
            repository._snapshots = None
        repository.close()


def look(repository):
    for _ in range(2):  # a file counts when it has not changed between two looks
        repository.refresh()


def begin(repository, *ids):
    return [repository.get("m").streams.submit(id, X[:6], starts=True).result(30) for id in ids]


def go_on(repository, id):
    return repository.get("m").streams.submit(id, X[6:]).result(30)


def names(folder):
    return sorted(path.name for path in (folder / "kept").iterdir() if path.name != ".lock")


def test_fewer_sessions_leave_the_snapshot_alone(folder, expected, caplog):
    with started(folder) as repository:
        assert (begin(repository, "a", "b", 3)[0] == expected[0]).all()
    with started(folder, sessions=2) as repository:
        assert len(repository.get("m").streams.pool) == 0
    [record] = [record for record in caplog.records if record.message == "streams not restored"]
    assert record.data["kept"].endswith("m@1.npz.unused") and "2 at most" in record.data["reason"]
    assert names(folder) == ["m@1.npz.unused"]
    with started(folder) as repository:
        assert all((go_on(repository, id) == expected[1]).all() for id in ("a", "b", 3))
    assert names(folder) == ["m@1.npz"]


def test_a_model_that_was_half_copied_gets_its_streams(folder, expected):
    with started(folder) as repository:
        begin(repository, "a")
    path = folder / "models" / "m.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with started(folder) as repository:
        repository.snapshot()
        path.write_bytes(whole)
        look(repository)
        assert (go_on(repository, "a") == expected[1]).all()


def test_a_model_that_was_away_gets_its_streams(folder, expected):
    with started(folder) as repository:
        begin(repository, "a")
        (folder / "models" / "m.h5").unlink()
        look(repository)
        repository.snapshot()
        shutil.copy(MODELS / "sunspots.h5", folder / "models" / "m.h5")
        look(repository)
        assert (go_on(repository, "a") == expected[1]).all()


@pytest.mark.parametrize("other", ["licence", "digits"])
def test_streams_wait_while_another_model_has_their_place(folder, expected, other):
    with started(folder) as repository:
        begin(repository, "a")
        (folder / "models" / "m.h5").unlink()
        shutil.copy(MODELS / f"{other}.keras", folder / "models" / "m.keras")
        look(repository)
        repository.snapshot()
        assert names(folder) == ["m@1.npz.unused" if other == "licence" else "m@1.npz"]
        (folder / "models" / "m.keras").unlink()
        shutil.copy(MODELS / "sunspots.h5", folder / "models" / "m.h5")
        look(repository)
        assert (go_on(repository, "a") == expected[1]).all()


def test_what_cannot_be_read_is_kept(folder):
    kept = folder / "kept"
    kept.mkdir()
    for n in range(3):
        (kept / "m@1.npz").write_bytes(b"rubbish %d" % n)
        with started(folder) as repository:
            begin(repository, "a")
        (kept / "m@1.npz").unlink()
    assert names(folder) == ["m@1.npz.unused", "m@1.npz.unused.2", "m@1.npz.unused.3"]
    assert (kept / "m@1.npz.unused.2").read_bytes() == b"rubbish 1"
    (kept / "m@1.npz").mkdir()
    with started(folder) as repository:
        begin(repository, "a")
    assert (kept / "m@1.npz").is_file() and (kept / "m@1.npz.unused.4").is_dir()


def test_what_cannot_be_moved_is_left_in_its_place(folder, monkeypatch, caplog):
    (folder / "kept").mkdir()
    (folder / "kept" / "m@1.npz").write_bytes(b"rubbish")
    inner = shutil.os.replace

    def replace(source, target):
        if ".unused" in str(target):
            raise PermissionError("no")
        inner(source, target)

    monkeypatch.setattr("os.replace", replace)
    with started(folder) as repository:
        begin(repository, "a")
    assert (folder / "kept" / "m@1.npz").read_bytes() == b"rubbish"
    assert any(getattr(record, "data", {}).get("kept", "").endswith("m@1.npz") for record in caplog.records)


def test_one_server_a_folder(folder):
    with started(folder), pytest.raises(InputError, match="another server"), started(folder):
        pass
    with started(folder):
        pass


def test_the_log_tells_of_a_crash(folder, caplog):
    caplog.set_level(logging.INFO)
    with started(folder, crashes=True) as repository:
        begin(repository, "a", "b")
    with started(folder):
        pass
    with started(folder):
        pass
    found = [record for record in caplog.records if record.message == "streams"]
    assert [record.levelname for record in found] == ["WARNING", "INFO"]
    assert all(record.data["restored"] == 2 for record in found) and "good order" in found[0].data["reason"]


def test_streams_of_connections_are_not_kept(folder):
    with started(folder) as repository:
        begin(repository, "a", ("websocket", "0"))
    with started(folder) as repository:
        assert repository.get("m").streams.pool.ids == ["a"]
        repository.get("m").streams.pool.close(["a"])
    assert names(folder) == []


def test_callers_hear_of_pieces_that_were_lost(folder, expected):
    with started(folder, crashes="between") as repository:
        begin(repository, "a", "b", 7)
        repository.snapshot()
        for id in ("a", 7):
            assert (go_on(repository, id) == expected[1]).all()
        begin(repository, "new")
    with started(folder, crashes="between") as repository:
        repository.snapshot()  # nobody has heard yet: it must not be forgotten
    with started(folder) as repository:
        assert (go_on(repository, "b") == expected[1]).all()
        for id in ("a", 7):
            with pytest.raises(SequenceError, match="as of 20.*Z, when it was last written"):
                go_on(repository, id)
            assert (go_on(repository, id) == expected[1]).all()
        with pytest.raises(SequenceError, match="does not exist"):
            go_on(repository, "new")
    assert names(folder) == ["m@1.npz"]
    with started(folder) as repository:
        for id in ("a", "b", 7):
            go_on(repository, id)


def test_callers_that_begin_anew_need_not_hear(folder, expected):
    with started(folder, crashes="between") as repository:
        begin(repository, "a")
        repository.snapshot()
        go_on(repository, "a")
    with started(folder) as repository:
        assert (begin(repository, "a")[0] == expected[0]).all()
        assert (go_on(repository, "a") == expected[1]).all()


def test_what_was_lost_is_known_of_snapshots_set_aside(folder):
    with started(folder, crashes="between") as repository:
        begin(repository, "a", "b", "c")
        repository.snapshot()
        go_on(repository, "a")
    with started(folder, sessions=2, crashes="between"):
        assert names(folder) == ["m@1.npz.unused", "m@1.npz.unused.since.before"]
    with started(folder) as repository:
        with pytest.raises(SequenceError, match="when it was last written"):
            go_on(repository, "a")
        go_on(repository, "b")
    assert names(folder) == ["m@1.npz"]


def test_a_journal_that_cannot_be_written_ends_nothing(tmp_path, caplog):
    journal = Journal(str(tmp_path / "nowhere" / "file"))
    for ids in ([1, "a"], [2]):
        journal.note(ids)
    journal.turn(["a"])
    journal.settle()
    assert journal.read() == set()
    assert [record.getMessage() for record in caplog.records] == ["no journal"]
    journal = Journal(str(tmp_path / "file"))
    journal.note([1, "1", ("websocket", "x"), 1])
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes() + b'"torn')
    assert journal.read() == {1, "1"}
    journal.close()
