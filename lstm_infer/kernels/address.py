"""Arrays as bare addresses: what a fused kernel takes instead of Numba's arrays.

Numba unpacks an array argument in about 30 ns and carries seven words of it wherever it goes; a single timestep of a
small model is hardly longer than that. A `Buffer` argument is a NumPy array of any shape of which the kernel receives
one word; it reads the address of the data itself and counts in elements from there. Nothing is checked, unless by
`fits`: whoever calls a fused kernel has checked dtype, order and shape, and holds the arrays until it returns.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from .vector import F32, I32, I64, i64


class BufferType(types.Type):
    """The type of an argument that is an array, received as the address of the Python object."""

    def __init__(self):
        super().__init__(name="Buffer")


BUFFER = BufferType()
VOID = ir.IntType(8).as_pointer()


@register_model(BufferType)
class _BufferModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, I64)


@unbox(BufferType)
def _unbox(kind, array, context):
    return NativeValue(context.builder.ptrtoint(array, I64))


# Where the fields of an array object are (PyArrayObject_fields, the same in NumPy 1 and 2), in bytes.
DATA = object.__basicsize__
TYPE, DIMENSIONS, SHAPE, DESCRIPTION, FLAGS = DATA - 8, DATA + 8, DATA + 16, DATA + 40, DATA + 48
C_ORDER_AND_ALIGNED = 0x0001 | 0x0100


def _field(builder, array, place, kind=I64):
    return builder.load(pointer(builder, builder.add(array, i64(place)), kind))


@intrinsic
def address(typingctx, buffer):
    """Return the address of an array's data."""

    def codegen(context, builder, sig, args):
        return _field(builder, args[0], DATA)

    return types.int64(buffer), codegen


class Kinds(NamedTuple):
    """What `fits` compares with: where ndarray and float32 are in this process. Compiled code outlives a process."""

    array: int
    float32: int


KINDS = Kinds(id(np.ndarray), id(np.dtype(np.float32)))


@intrinsic
def fits(typingctx, buffer, kinds, rows, columns):
    """Whether a buffer is a C-contiguous float32 array of shape (rows, columns), and no subclass of ndarray."""

    def codegen(context, builder, sig, args):
        array, kinds, rows, columns = args
        result = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 0))
        kind, description = (builder.extract_value(kinds, k) for k in range(2))
        with builder.if_then(builder.icmp_unsigned("==", _field(builder, array, TYPE), kind)):
            flags = builder.and_(_field(builder, array, FLAGS, I32), ir.Constant(I32, C_ORDER_AND_ALIGNED))
            is_float32 = builder.icmp_unsigned("==", _field(builder, array, DESCRIPTION), description)
            is_plain = builder.icmp_signed("==", flags, ir.Constant(I32, C_ORDER_AND_ALIGNED))
            is_matrix = builder.icmp_signed("==", _field(builder, array, DIMENSIONS, I32), ir.Constant(I32, 2))
            with builder.if_then(builder.and_(builder.and_(is_float32, is_plain), is_matrix)):
                shape = _field(builder, array, SHAPE)
                found = (_field(builder, shape, 0), _field(builder, shape, 8))
                equal = [builder.icmp_signed("==", n, m) for n, m in zip(found, (rows, columns), strict=True)]
                builder.store(builder.and_(*equal), result)
        return builder.load(result)

    return types.boolean(buffer, kinds, types.int64, types.int64), codegen


def pointer(builder, address, kind=F32):
    """The pointer that an address is."""
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def read(typingctx, address, n):
    """Return the n-th int64 from an address on."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(pointer(builder, args[0], I64), [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def write(typingctx, address, n, value):
    """Set the n-th int64 from an address on."""

    def codegen(context, builder, sig, args):
        builder.store(args[2], builder.gep(pointer(builder, args[0], I64), [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def call(typingctx, function, numbers):
    """Call the compiled function at an address with a tuple of int64."""

    def codegen(context, builder, sig, args):
        _call(builder, args, ir.VoidType())
        return context.get_dummy_value()

    return types.void(types.int64, numbers), codegen


@intrinsic
def ask(typingctx, function, numbers):
    """Call the compiled function at an address with a tuple of int64, and return its int64."""

    def codegen(context, builder, sig, args):
        return _call(builder, args, I64)

    return types.int64(types.int64, numbers), codegen


def _call(builder, args, result):
    given = [builder.extract_value(args[1], k) for k in range(len(args[1].type.elements))]
    kind = ir.FunctionType(result, [VOID, *(n.type for n in given)])
    nothing = ir.Constant(VOID, None)  # in place of the function's `Constant`
    return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [nothing, *given])


def function_of(kernel, signature):
    """Return the address of a kernel whose first argument is a `Constant`, for `call` and `ask`."""
    kernel.compile(signature)
    compiled = kernel.overloads[signature.args]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)


def address_of(array):
    """Return the address of an array's data, for a kernel that gets it as a number."""
    return array.__array_interface__["data"][0]
