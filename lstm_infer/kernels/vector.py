"""A float32 vector as the compiler sees it: its width on this CPU, and the few instructions that kernels emit on it.

Kernels that must reach the machine's limit are written as LLVM instructions on vectors, inside Numba intrinsics, and
leave nothing to the auto-vectoriser. The width is the widest the compiler turns into one register. It is not read from
a table of CPU names or features: a small function is compiled for the very target Numba compiles for
(``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` included), and the answer is read from its assembly.
"""

import re
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target


class Machine(NamedTuple):
    """What kernels need to know of the CPU.

    Attributes
    ----------
    lanes : int
        float32 values in a vector register: 16 (AVX-512), 8 (AVX), 4 (SSE, NEON).
    registers : int
        Vector registers: 32 (AVX-512, NEON) or 16.
    fma : bool
        Whether multiply-add is one instruction.
    """

    lanes: int
    registers: int
    fma: bool


def _probe_module(lanes):
    """Return LLVM text of a function that adds and multiplies vectors, in the dialect of the installed LLVM."""
    vector = ir.VectorType(ir.FloatType(), lanes)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [vector.as_pointer()] * 2), "probe")
    builder = ir.IRBuilder(function.append_basic_block())
    a, b = (builder.load(pointer, align=4) for pointer in function.args)
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
    builder.store(builder.call(fma, [a, b, b]), function.args[0], align=4)
    builder.store(builder.fadd(a, b), function.args[1], align=4)
    builder.ret_void()
    return str(module)


def probe(triple, cpu, features):
    """Return the `Machine` that LLVM makes of this target."""

    def assembly(lanes):
        module = llvm.parse_assembly(_probe_module(lanes))
        return llvm.Target.from_triple(triple).create_target_machine(cpu, features, opt=2).emit_assembly(module)

    if triple.startswith(("aarch64", "arm64")):
        return Machine(lanes=4, registers=32, fma=True)
    for lanes, register in ((16, "zmm"), (8, "ymm")):
        text = assembly(lanes)
        if register in text:
            return Machine(lanes, registers=32 if lanes == 16 else 16, fma="vfmadd" in text)
    return Machine(lanes=4, registers=16, fma=re.search("vfmadd", assembly(4)) is not None)


MACHINE = probe(*cpu_target.target_context.codegen().magic_tuple())
LANES = MACHINE.lanes
ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""

F32, I1, I32, I64 = ir.FloatType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
PREFETCH = "llvm.prefetch.p0" if llvm.llvm_version_info[0] > 16 else "llvm.prefetch.p0i8"
"""LLVM has named its pointers' types after no type since version 17."""
VECTOR, INTS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)


def aligned(*shape):
    """Return an uninitialised C-contiguous float32 array that begins at a cache line."""
    n = int(np.prod(shape))
    raw = np.empty(n + ALIGNMENT // 4, np.float32)
    start = (-raw.ctypes.data % ALIGNMENT) // 4
    return raw[start : start + n].reshape(shape)


def padded(n):
    """Return `n` rounded up to whole vectors."""
    return -(-n // LANES) * LANES


# ---------------------------------------------------------------- constants
def i64(n):
    return ir.Constant(I64, n)


def const(x):
    """Every lane `x`, rounded to float32."""
    return ir.Constant(VECTOR, [float(np.float32(x))] * LANES)


def int_const(n):
    return ir.Constant(INTS, [n] * LANES)


# ---------------------------------------------------------------- arithmetic
def call(builder, name, *args, result=VECTOR):
    """Call the LLVM intrinsic `name`, overloaded on float32 vectors (llvmlite cannot declare those by itself)."""
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32"), args)


def fma(builder, a, b, c):
    """``a * b + c``, rounded once where the CPU can (elsewhere LLVM would call libm for every lane)."""
    if MACHINE.fma:
        return call(builder, "llvm.fma", a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def broadcast(builder, x):
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, int_const(0))


# ---------------------------------------------------------------- memory; pointers are to float, offsets count floats
def offset(builder, pointer, n):
    return builder.gep(pointer, [n if isinstance(n, ir.Value) else i64(n)])


def load(builder, pointer, n=0):
    return builder.load(builder.bitcast(offset(builder, pointer, n), VECTOR.as_pointer()), align=4)


def store(builder, value, pointer, n=0):
    builder.store(value, builder.bitcast(offset(builder, pointer, n), VECTOR.as_pointer()), align=4)


def prefetch(builder, pointer):
    """Begin to bring the cache line at `pointer`, which may be anywhere, into the cache."""
    kind = ir.FunctionType(ir.VoidType(), [BYTES, I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, kind, PREFETCH)
    builder.call(function, [builder.bitcast(pointer, BYTES), *(ir.Constant(I32, n) for n in (0, 3, 1))])


def data(context, builder, array_type, array):
    """The address of an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


# ---------------------------------------------------------------- loops
def count(builder, n, state, body, name="loop", step=1):
    """Emit ``for k in range(0, n, step): state = body(k, state)``, with the state in registers; return its last values.

    The state travels through phi nodes, so that no optimisation pass has to find out that it may stay in registers.
    `n` must be a multiple of `step`.
    """
    before = builder.block
    head, inside, after = (builder.append_basic_block(f"{name}.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(I64, "k")
    values = [builder.phi(v.type) for v in state]
    k.add_incoming(i64(0), before)
    for value, first in zip(values, state, strict=True):
        value.add_incoming(first, before)
    builder.cbranch(builder.icmp_signed("<", k, n), inside, after)
    builder.position_at_end(inside)
    results = body(k, values)
    k.add_incoming(builder.add(k, i64(step)), builder.block)
    for value, result in zip(values, results, strict=True):
        value.add_incoming(result, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return values
