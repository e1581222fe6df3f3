"""Products that every layer shares: rows times a matrix, each sum in one fixed order.

NumPy's ``@`` calls a BLAS whose order of summation depends on the number of rows; here a row gives the same bits
whoever its neighbours are.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .activations import activate
from .jit import kernel
from .vector import MACHINE


@intrinsic
def fma(typingctx, a, b, c):
    """Return ``a * b + c`` in the type of `c`: rounded once where the CPU can, as in the tiles, so the same bits.

    The loop vectoriser knows this instruction.
    """

    def codegen(context, builder, sig, args):
        if not MACHINE.fma:
            return builder.fadd(builder.fmul(args[0], args[1]), args[2])
        kind = args[2].type
        name = "llvm.fma.f32" if isinstance(kind, ir.FloatType) else "llvm.fma.f64"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    if isinstance(c, types.Float):
        return c(c, c, c), codegen
    return None


@kernel
def add_product(x, w, z):
    """Add ``x @ w`` to `z`, terms in ascending order.

    Parameters
    ----------
    x : (n,) array
    w : (n, m) C-contiguous array
    z : (m,) array, changed in place
    """
    for k in range(x.size):
        x_k = x[k]
        row = w[k]
        for j in range(z.size):
            z[j] = fma(x_k, row[j], z[j])


@kernel
def dense(x, kernel, bias, f, y):
    """Write ``f(x @ kernel + bias)`` into `y`.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    kernel : (n, m) C-contiguous array
    bias : (m,) array
    f : Activation
    y : (rows, m) array, written
    """
    for row in range(x.shape[0]):
        y[row] = bias
        add_product(x[row], kernel, y[row])
        activate(f, y[row])
