"""Values that the compiler knows: a kernel is compiled for each, with everything that depends on them settled.

A `Constant` is passed to a kernel like any argument, but carries its value in its Numba type. Intrinsics read it from
there while they emit code; at run time nothing is left of it.
"""

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_constant
from numba.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox


class Constant:
    """An argument whose value, anything hashable and picklable, belongs to its type."""

    def __init__(self, value):
        self.value = value
        self.numba_type = ConstantType(value)


class ConstantType(types.Type):
    """The Numba type of one `Constant`."""

    def __init__(self, value):
        self.value = value
        super().__init__(name=f"Constant({value!r})")


register_model(ConstantType)(models.OpaqueModel)


@typeof_impl.register(Constant)
def _typeof(constant, context):
    return constant.numba_type


@unbox(ConstantType)
def _unbox(kind, constant, context):
    return NativeValue(context.context.get_dummy_value())


@intrinsic(prefer_literal=True)
def get(typingctx, constant, name):
    """Return the integer attribute `name` of a constant's value."""
    number = int(getattr(constant.value, name.literal_value))

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.IntType(64), number)

    return types.int64(constant, name), codegen


@lower_constant(ConstantType)
def _lower(context, builder, kind, value):
    return context.get_dummy_value()
