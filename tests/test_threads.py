"""The helper threads: every part runs once, errors and interrupts come through and leave nothing running, none are
made without need, and the number of cores is what this process may use.

Everything is waited for with a limit, so that a deadlock is a failure and not a test run that hangs.
"""

import dis
import functools
import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from forced import share_everything

import lstm_infer as li
from lstm_infer import chains, threads
from lstm_infer.kernels.vector import LANES
from lstm_infer.layers import sequences, sharing
from lstm_infer.threads import each, together

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60


@pytest.fixture
def crew(monkeypatch):
    """A crew without helpers yet."""
    monkeypatch.setattr(threads, "_crew", threads._Crew())
    return threads._crew


def all_idle(crew):
    """Whether all helpers are idle."""
    return len(crew._idle) == crew._number == len(set(crew._idle))


def within_limit(work):
    """Return what ``work()`` returns in a thread of its own, or raise what it raises; fail if it does not end."""
    results = []

    def run():
        try:
            results.append((work(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert results, f"still running after {LIMIT} s"
    ((result, error),) = results
    if error is not None:
        raise error
    return result


def make_model(units=33, threads=None):
    """Return a model whose layer is shared out among threads as soon as they may (`shared`)."""
    layers = [li.Input((None, 5)), li.LSTM(units, return_sequences=True)]
    model, rng = li.Sequential(layers, threads=threads), np.random.default_rng(0)
    shapes = (5, 4 * units), (units, 4 * units), (4 * units,)
    model.set_weights([rng.normal(size=shape) / 4 for shape in shapes])
    return model


@pytest.fixture
def shared(monkeypatch):
    """However small a call, and whatever it costs, its threads share the units of every timestep."""
    share_everything(monkeypatch)


def random_input(batch=2, timesteps=30, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, timesteps, 5)).astype(np.float32)


# ---------------------------------------------------------------- together
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_all_parts_run_at_once_and_once(parts, crew):
    meeting, seen = threading.Barrier(parts, timeout=LIMIT), []

    def function(part, of):
        meeting.wait()
        seen.append((part, of, threading.get_ident()))

    within_limit(lambda: threads.together(parts, function))
    assert sorted(part for part, _, _ in seen) == [*range(parts)]
    assert {of for _, of, _ in seen} == {parts}
    assert len({thread for *_, thread in seen}) == parts
    assert crew._number == parts - 1 and all_idle(crew)


def test_helpers_are_used_again(crew):
    seen = set()
    for parts in (1, 2, 3, 4, 3, 2, 1) * 10:
        within_limit(lambda parts=parts: threads.together(parts, lambda part, of: seen.add((of, part))))
        assert all_idle(crew)
    assert seen == {(of, part) for of in range(1, 5) for part in range(of)}
    assert crew._number == 3


@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {1, 2}, {0, 1, 2}])
def test_errors_come_through(failing, crew):
    """Those that wait for a part that fails are sent home; the helpers work on."""
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        stopped = threading.Event()

        def function(part, of, error=error, stopped=stopped):
            if part in failing:
                raise error(f"part {part}")
            assert stopped.wait(LIMIT), "nobody called give_up"

        with pytest.raises(error, match="part"):
            within_limit(lambda f=function, stopped=stopped: threads.together(3, f, give_up=stopped.set))
        assert all_idle(crew)
    test_all_parts_run_at_once_and_once(3, crew)


def test_errors_are_not_kept(crew):
    """Their tracebacks hold arrays."""
    kept = []

    class Held:
        def __del__(self):
            kept.remove(id(self))

    def function(part, of):
        held = Held()
        kept.append(id(held))
        if part:
            raise ValueError

    with pytest.raises(ValueError):
        threads.together(2, function)
    end = time.monotonic() + LIMIT
    while kept and time.monotonic() < end:
        time.sleep(0.01)
    assert not kept


def test_no_more_threads_than_the_system_gives(crew, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    threads.together(4, lambda part, of: seen.append((part, of)))
    assert seen == [(0, 1)]
    assert crew._number == 0


# ---------------------------------------------------------------- interrupts
@functools.cache
def checkpoints(code):
    """Return the offsets in a function's bytecode before which the interpreter may raise an interrupt."""
    found, before = set(), "RESUME"
    for instruction in dis.get_instructions(code):
        is_backwards = instruction.opname.startswith(("JUMP_BACKWARD", "JUMP_ABSOLUTE"))
        if is_backwards or before.startswith(("RESUME", "CALL")):
            found.add(instruction.offset)
        before = instruction.opname
    return found


def interrupted_at(number, work):
    """Run ``work()``, interrupted at the `number`-th place of threads.py where that can happen; return what became of
    it: whether there was such a place, and whether the interrupt came through."""
    places = 0

    def trace(frame, event, argument):
        nonlocal places
        if frame.f_code.co_filename != threads.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in checkpoints(frame.f_code):
            places += 1
            if places == number:
                raise KeyboardInterrupt
        return trace

    def run():
        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    interrupted = within_limit(run)
    return places >= number, interrupted


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage traces already")
@pytest.mark.parametrize("use", ["together", "each"])
def test_an_interrupt_at_any_moment(use, crew):
    """It comes through, after all parts have ended, and never leaves anybody waiting."""
    running, counting, caller = [], threading.Lock(), None

    def function(*arguments):
        if threading.get_ident() == caller:
            return  # the interrupt comes to one who waits for the others
        with counting:
            running.append(1)
        time.sleep(0.003)
        with counting:
            running.pop()

    def work():
        nonlocal caller
        caller = threading.get_ident()
        threads.together(3, function) if use == "together" else threads.each(3, range(6), function)

    number, came = 0, True
    while came:
        within_limit(lambda: threads.together(3, lambda part, of: None))  # so that there are helpers
        number += 1
        came, interrupted = interrupted_at(number, work)
        assert not running, f"interrupt {number}"
        assert interrupted == came
        if crew._number != 2 or not all_idle(crew):  # hired, but interrupted before it could be noted
            threads._crew = crew = threads._Crew()
    assert number > 20


INTERRUPTED = """
import _thread, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background begins without
import numpy as np
import lstm_infer as li
from lstm_infer import threads
from lstm_infer.layers import sequences, sharing
from lstm_infer.threads import each, together
sequences.SHARED_WORK = sequences.QUICK_WORK = sequences.STEP_WORK = sharing.PAUSE = 0
sequences.cpus = lambda: 64
model = li.Sequential([li.Input((None, 5)), li.LSTM(33, return_sequences=True)])
rng = np.random.default_rng(0)
model.set_weights([rng.normal(size=shape) / 4 for shape in ((5, 132), (33, 132), (132,))])
small = rng.normal(size=(2, 30, 5)).astype(np.float32)
expected, kinds = model.predict(small, threads=1), [(2, 400), (70, 100), (3, 10)]
for n in range(12):
    batch, timesteps = kinds[n % 3]
    x = np.zeros((batch, timesteps, 5), np.float32)
    model.predict(x, threads=3)
    timer = threading.Timer(0.001 + 0.003 * rng.random(), _thread.interrupt_main)
    try:
        timer.start()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            model.predict(x, threads=3)
        print("no interrupt came")
    except KeyboardInterrupt:
        pass
    timer.join()
    assert len(threads._crew._idle) == threads._crew._number == 2, "helpers at work after the interrupt"
    assert model.predict(small, threads=3).tobytes() == expected.tobytes()
print("done")
"""


def in_a_process(program, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\n")[:-1]


def test_interrupts_while_a_model_predicts():
    assert in_a_process(INTERRUPTED) == ["done"]


# ---------------------------------------------------------------- each
@pytest.mark.parametrize("number", [1, 2, 5])
def test_each_item_once(number, crew):
    seen = []
    for items in ([], [1], range(40), iter("abc")):
        seen.clear()
        expected = list(items) if not hasattr(items, "__next__") else list("abc")
        within_limit(lambda items=items: threads.each(number, items, seen.append))
        assert sorted(seen) == expected
    assert crew._number == number - 1 and all_idle(crew)


@pytest.mark.parametrize("number", [1, 3])
def test_an_error_ends_each(number, crew):
    seen = []

    def function(item):
        seen.append(item)
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.001)

    with pytest.raises(ValueError, match="item 3"):
        within_limit(lambda: threads.each(number, range(10_000), function))
    assert 3 in seen and len(seen) < 10_000
    assert all_idle(crew)

    def broken():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        within_limit(lambda: threads.each(number, broken(), seen.append))
    assert all_idle(crew)


# ---------------------------------------------------------------- models in threads
@pytest.mark.parametrize("number", [2, 3, 8, 16])
def test_more_threads_than_cores_or_units_come_to_an_end(number, crew, shared):
    for units in (1, 33, 200):
        model, x = make_model(units), random_input(timesteps=200)
        expected = model.predict(x, threads=1)
        for _ in range(3):
            assert within_limit(lambda m=model, x=x: m.predict(x, threads=number)).tobytes() == expected.tobytes()
    assert crew._number == min(number, -(-200 // LANES)) - 1 and all_idle(crew)


def test_one_thread_means_no_other(crew, shared):
    model, before = make_model(threads=1), threading.enumerate()
    for x in (random_input(), random_input(300, 70)):
        model.predict(x)
        make_model(threads=4).predict(x, threads=1)
        model(x), model.session().predict(x)
    both = li.Bidirectional(li.LSTM(3))
    both.set_weights([np.ones(shape) for shape in ((5, 12), (3, 12), (12,))] * 2)
    both(random_input())
    assert crew._number == 0
    assert threading.enumerate() == before


def test_many_callers_share_the_helpers(crew, shared):
    """They get right answers, and are together given no more helpers than one of them asked for."""
    model, callers = make_model(), 8
    data = [random_input(batch, seed=batch) for batch in (1, 2, 3, 30, 1, 2, 3, 30)]
    expected = [model.predict(x, threads=1).tobytes() for x in data]
    found, start = [[] for _ in data], threading.Barrier(callers, timeout=LIMIT)

    def call(n):
        start.wait()
        found[n] += [model.predict(data[n], threads=3).tobytes() for _ in range(20)]

    all_of_them = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(callers)]
    for one in all_of_them:
        one.start()
    end = time.monotonic() + LIMIT
    for one in all_of_them:
        one.join(max(0, end - time.monotonic()))
    assert found == [[one] * 20 for one in expected]
    assert crew._number <= 2 and all_idle(crew) and not crew.callers


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_part_that_fails_before_a_meeting(failing, masked, crew, shared, monkeypatch):
    """The others wait for it inside a kernel, and must not do so for ever."""
    model, x = make_model(), random_input()
    options = {"threads": 3, "mask": np.arange(x.shape[1]) < [[20], [25]] if masked else None}
    expected = model.predict(x, **options)
    model.predict(x, **options)  # alone, to see what that takes
    owner, name = (sequences._Call, "compute") if masked else (sharing._Turn, "_compute_part")
    compute = getattr(owner, name)

    def fail(self, first, second):
        if (first[sequences.fused.Job._fields.index("part")] if masked else first) == failing:
            raise MemoryError(f"part {failing}")
        compute(self, first, second)

    monkeypatch.setattr(owner, name, fail)
    monkeypatch.setattr(sharing._Turn, "compute", lambda self, mailboxes: False)
    with pytest.raises(MemoryError, match=f"part {failing}"):
        within_limit(lambda: model.predict(x, **options))
    monkeypatch.undo()
    assert within_limit(lambda: model.predict(x, **options)).tobytes() == expected.tobytes()
    assert all_idle(crew)


# ---------------------------------------------------------------- lingering
def call_at_once(model, x, number, monkeypatch):
    """Return the answers of calls in a row, and whether each was computed by threads that lingered."""
    found, compute, end = [], sharing._Turn.compute, time.monotonic() + LIMIT / 2
    monkeypatch.setattr(sharing._Turn, "compute", lambda *args: found.append(compute(*args)) or found[-1])
    answers = [model.predict(x, threads=number) for _ in range(300)]
    while not any(found) and number <= threads.available() and time.monotonic() < end:  # a busy machine
        answers.append(model.predict(x, threads=number))
    return answers, found


@pytest.mark.parametrize("number", [2, 3])
def test_calls_in_a_row_find_threads_awake(number, crew, shared, monkeypatch):
    """At least sometimes, also where there are more threads than cores; and all answers are the same bits."""
    model, x = make_model(), random_input()
    expected = model.predict(x, threads=1).tobytes()
    answers, found = within_limit(lambda: call_at_once(model, x, number, monkeypatch))
    assert {answer.tobytes() for answer in answers} == {expected}
    assert any(found) or number > threads.available()
    assert all_idle(crew)


def test_a_helper_that_lingers_comes_when_called(crew, shared):
    """Also for work that is not for mailboxes."""
    model, x, done = make_model(), random_input(), []

    def work():
        for _ in range(50):
            model.predict(x, threads=2)
            together(2, lambda part, parts: done.append(part))

    within_limit(work)
    assert sorted(done) == [0] * 50 + [1] * 50


def test_a_lingering_helper_falls_asleep(crew, shared):
    model, x = make_model(), random_input()
    model.predict(x, threads=2)
    end, used = time.monotonic() + LIMIT, 1
    while used >= 0.1 and time.monotonic() < end:
        begin = time.process_time()
        time.sleep(0.3)
        used = time.process_time() - begin
    assert used < 0.1


def test_small_calls_are_shared_only_if_they_come_soon(crew, monkeypatch):
    share_everything(monkeypatch)
    monkeypatch.setattr(sequences, "SHARED_WORK", 10**9)
    model, x = make_model(), random_input()
    for _ in range(3):
        model.predict(x, threads=2)
        time.sleep(0.01)
    assert crew._number == 0
    monkeypatch.setattr(chains, "SOON", LIMIT)
    model.predict(x, threads=2)
    assert crew._number == 1


def test_sharing_that_does_not_pay_is_left(crew, shared, monkeypatch):
    """After the first call, and one alone that tells what it takes."""
    monkeypatch.setattr(sharing, "PAUSE", 1e9)
    calls, run = [], sharing.Shared.run
    monkeypatch.setattr(sharing.Shared, "run", lambda *args: (calls.append(args), time.sleep(1), run(*args)))
    model, x = make_model(), random_input()
    for _ in range(5):
        model.predict(x, threads=2)
    assert len(calls) == 2


def test_parts(monkeypatch):
    """No more than there are CPUs and blocks of units, and none for timesteps that are too short."""
    packed = make_model(units=65).layers[-1].cell.packed
    monkeypatch.setattr(sequences, "cpus", lambda: 3)
    assert sequences.parts_of(packed, 64, 50, 8, 0) == 3
    assert sequences.parts_of(packed, 1, 10**6, 8, 0) == 1
    assert sequences.parts_of(packed, 64, 50, 8, 10**9) == 1
    monkeypatch.setattr(sequences, "STEP_WORK", 0)
    assert sequences.parts_of(make_model(units=1).layers[-1].cell.packed, 64, 50, 8, 0) == 1


def test_interrupts_leave_everything_as_it_was(crew, shared):
    """Wherever they come: no helper is lost, nobody stays on one CPU, and answers are right."""
    if not hasattr(signal, "setitimer") or not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no timers, or no affinity")
    model, x, home = make_model(), random_input(), os.sched_getaffinity(0)
    expected, caught, end = model.predict(x, threads=2).tobytes(), 0, time.monotonic() + 4

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in itertools.count():
            if time.monotonic() > end:
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + turn % 97 * 4e-6)
                while True:
                    model.predict(x, threads=2)
            except KeyboardInterrupt:
                caught += 1
            assert os.sched_getaffinity(0) == home
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert caught > 100 and not crew.callers
    assert within_limit(lambda: model.predict(x, threads=2)).tobytes() == expected
    assert all_idle(crew)


def test_callers_who_compute_themselves_get_no_more_threads_than_cores(crew):
    crew._cores = 3
    found, inside, leave = [], threading.Barrier(3, timeout=LIMIT), threading.Barrier(3, timeout=LIMIT)

    def caller(part, parts):
        if part == 0:
            found.append(parts)
            inside.wait()
            leave.wait()

    others = [threading.Thread(target=together, args=(2, caller), daemon=True) for _ in range(2)]
    for other in others:
        other.start()
    inside.wait()
    together(4, lambda part, parts: found.append(parts) if part == 0 else None)
    leave.wait()
    for other in others:
        other.join(LIMIT)
    together(4, lambda part, parts: found.append(parts) if part == 0 else None)
    assert sorted(found[:2]) in ([1, 2], [2, 2]) and found[2:] == [1, 4] and not crew.callers


def test_helpers_hire_helpers(crew):
    """The two directions of a Bidirectional layer, say; but no more than there are cores."""
    crew._cores, found, all_four = 4, [], threading.Barrier(4, timeout=LIMIT)
    each(2, range(2), lambda n: together(2, lambda part, parts: (found.append(parts), all_four.wait())))
    assert found == [2] * 4 and crew._number == 3


@pytest.mark.parametrize("number", [1, 2])
def test_other_python_threads_run_meanwhile(number, shared):
    """Kernels let go of the GIL: during one long call, a thread that sleeps a little wakes up again and again."""
    model, ticks, stop = make_model(64), [], threading.Event()
    timesteps, begin, end = 1000, 0, 0

    def tick():
        while not stop.is_set():
            time.sleep(0.002)
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    while end - begin < 1:
        timesteps *= 2
        x = random_input(1, timesteps)
        model.predict(x[:, :2], threads=number)  # so that nothing is compiled later
        begin = time.monotonic()
        model.predict(x, threads=number)
        end = time.monotonic()
    stop.set()
    thread.join(LIMIT)
    assert sum(begin < at < end for at in ticks) >= 5


FORK = """
import os
import numpy as np
import lstm_infer as li
from lstm_infer import threads
from lstm_infer.layers import sequences, sharing
from lstm_infer.threads import each, together
sequences.SHARED_WORK = sequences.QUICK_WORK = sequences.STEP_WORK = sharing.PAUSE = 0
sequences.cpus = lambda: 64
model = li.Sequential([li.Input((None, 5)), li.LSTM(33, return_sequences=True)])
rng = np.random.default_rng(0)
model.set_weights([rng.normal(size=shape) / 4 for shape in ((5, 132), (33, 132), (132,))])
data = [rng.normal(size=(batch, 30, 5)).astype(np.float32) for batch in (2, 70)]
expected = [model.predict(x, threads=3).tobytes() for x in data]
child = os.fork()
assert threads._crew._number == (0 if child == 0 else 2)
assert [model.predict(x, threads=3).tobytes() for x in data] == expected
assert threads._crew._number == len(threads._crew._idle) == 2
if child == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_helpers_of_its_own():
    in_a_process("import warnings\nwarnings.simplefilter('ignore')\n" + FORK)


# ---------------------------------------------------------------- how many
def test_affinity_is_respected():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    program = (
        "import os, lstm_infer as li; from lstm_infer.threads import available; n = available()\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(n, available())\n"
        "print(li.Sequential([li.Input((3,)), li.Dense(2)]).threads)"
    )
    first, second = in_a_process(program)
    before, after = map(int, first.split())
    assert 1 <= before <= len(os.sched_getaffinity(0))
    assert after == int(second) == 1


V2, V1 = "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
PERIOD = "/sys/fs/cgroup/cpu/cpu.cfs_period_us"
SLICES = {"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000\n"}


def group_of_version_1(controllers, path, folder, cores):
    """Files that put this process in a group, and limit one that may be it; the root has no limit unless it is that."""
    folder = f"/sys/fs/cgroup/{folder}"
    limit = {f"{folder}/cpu.cfs_quota_us": f"{cores}00000\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    groups = f"12:pids:{path}\n4:{controllers}:{path}\n1:name=systemd:{path}\n"
    return {V1: "-1\n", PERIOD: "100000\n", "/proc/self/cgroup": groups, **limit}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({V2: "max 100000\n"}, 4),
        ({V2: "200000 100000\n"}, 2),
        ({V2: "300000 100000\n"}, 3),
        ({V2: "250000 100000\n"}, 2),
        ({V2: "50000 100000\n"}, 1),
        ({V2: "9900000 100000\n"}, 4),
        ({V2: "nonsense\n"}, 4),
        ({V2: ""}, 4),
        ({V1: "-1\n", PERIOD: "100000\n"}, 4),
        ({V1: "300000\n", PERIOD: "100000\n"}, 3),
        ({V1: "20000\n", PERIOD: "100000\n"}, 1),
        ({V1: "300000\n"}, 4),
        ({V2: "max 100000\n", V1: "100000\n", PERIOD: "100000\n"}, 1),
        ({V2: "100000 0\n"}, 4),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "200000 100000\n"}, 2),
        ({"/proc/self/cgroup": "1:cpu:/x\n0::/\n", V2: "100000 100000\n"}, 1),
        ({"/proc/self/cgroup": "0::/a/b/c\n", "/sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2),
        ({**SLICES, "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 3),
        ({**SLICES, "/sys/fs/cgroup/a/b/cpu.max": "100000 100000\n"}, 1),
        ({**SLICES, V2: "200000 100000\n"}, 2),
        ({"/proc/self/cgroup": "0::/../x\n", V2: "200000 100000\n"}, 2),
        ({"/proc/self/cgroup": "nonsense\n", V2: "200000 100000\n"}, 2),
        (group_of_version_1("cpu", "/docker/x", "cpu/docker/x", 2), 2),
        (group_of_version_1("cpu,cpuacct", "/docker/x", "cpu,cpuacct/docker/x", 2), 2),
        (group_of_version_1("cpuacct,cpu", "/docker/x", "cpu/docker", 1), 1),
        (group_of_version_1("cpu", "/docker/x", "cpu", 3), 3),
        (group_of_version_1("memory", "/docker/x", "cpu/docker/x", 2), 4),
        (group_of_version_1("cpuset", "/docker/x", "cpu/docker/x", 2), 4),
    ],
)
def test_control_groups_are_respected(files, expected, monkeypatch):
    """Of four CPUs."""

    def fake_open(path):
        if path in files:
            return io.StringIO(files[path])
        raise FileNotFoundError(path)

    monkeypatch.setattr(threads, "open", fake_open, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert threads.available() == expected


def test_hyperthreads_of_a_core_count_once(monkeypatch):
    def fake_open(path):
        if "thread_siblings_list" not in path:
            raise FileNotFoundError(path)
        cpu = int(path.split("/cpu")[-1].split("/")[0])
        return io.StringIO(f"{cpu % 2},{cpu % 2 + 2}\n")

    monkeypatch.setattr(threads, "open", fake_open, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert threads.available() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert threads.available() == 3
