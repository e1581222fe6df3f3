"""Element-wise activations over whole vectors of memory, chosen by code: one branch per run of vectors."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import kernel
from .vector import F32, LANES, broadcast, count, data, i64, load, offset, store
from .vector_math import ON_VECTORS


@intrinsic
def _activate(typingctx, f, z, z0, n):

    def codegen(context, builder, sig, args):
        f, z, z0, n = args
        code = builder.extract_value(f, 0)
        parameters = [broadcast(builder, builder.fptrunc(builder.extract_value(f, k), F32)) for k in (1, 2, 3)]
        z = offset(builder, data(context, builder, sig.args[1], z), z0)
        done = builder.append_basic_block("activated")
        switch = builder.switch(code, done)
        for number, function in ON_VECTORS.items():
            case = builder.append_basic_block(f"activation.{number}")
            switch.add_case(ir.Constant(code.type, number), case)
            builder.position_at_end(case)

            def body(k, state, function=function):
                at = builder.mul(k, i64(LANES))
                store(builder, function(builder, load(builder, z, at), *parameters), z, at)
                return []

            count(builder, n, [], body)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(f, z, z0, n), codegen


@kernel
def activate_vectors(f, z, z0, n):
    """Apply `Activation` `f` in place to `n` vectors of the flat float32 array `z`, from element `z0` on."""
    _activate(f, z, z0, n)
