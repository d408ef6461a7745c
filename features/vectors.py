"""Eight float64 numbers that numba keeps in vector registers.

numba leaves it to LLVM to turn loops into vector code, and LLVM gives up where it cannot prove that two
arrays do not overlap. Where that costs too much, these few words say outright what is meant. LLVM lowers a
vector of eight to one register of AVX-512, two of AVX2 or four of SSE or NEON. Nothing here checks bounds.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

LANES = 8
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
SINGLES = ir.VectorType(ir.FloatType(), LANES)


class Eight(types.Type):
    """numba's name for eight float64 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Eight")


EIGHT: Any = Eight()


@register_model(Eight)
class _EightModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, DOUBLES)  # type: ignore[no-untyped-call]


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> tuple[Any, int]:
    """Pointer to eight numbers of a float32 or float64 array, and the bytes of one."""
    single = kind.dtype == types.float32
    start = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(start, (SINGLES if single else DOUBLES).as_pointer()), 4 if single else 8


def _load(_, array, index):  # type: ignore[no-untyped-def]
    """Eight numbers of a contiguous float32 or float64 array, from an unsigned index."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place, size = _place(context, builder, signature.args[0], *arguments)
        found = builder.load(place, align=size)
        return builder.fpext(found, DOUBLES) if size == 4 else found

    return EIGHT(array, types.uint64), build


def _store(_, array, index, value):  # type: ignore[no-untyped-def]
    """Write eight numbers into a contiguous float32 or float64 array, from an unsigned index."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place, size = _place(context, builder, signature.args[0], *arguments[:2])
        builder.store(
            builder.fptrunc(arguments[2], SINGLES) if size == 4 else arguments[2], place, align=size
        )
        return context.get_dummy_value()

    return types.void(array, types.uint64, EIGHT), build


def _splat(_, value):  # type: ignore[no-untyped-def]
    """One number, eight times."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        first = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(DOUBLES, ir.Undefined), arguments[0], first)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, one, everywhere)

    return EIGHT(types.float64), build


def _lanewise(operation: Callable[..., Any], numbers: int) -> Any:
    """A word for `operation(builder, *vectors)` of so many vectors."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return operation(builder, *arguments)

    if numbers == 1:
        return intrinsic(lambda _, one: (EIGHT(EIGHT), build))
    if numbers == 2:
        return intrinsic(lambda _, one, two: (EIGHT(EIGHT, EIGHT), build))
    return intrinsic(lambda _, one, two, three: (EIGHT(EIGHT, EIGHT, EIGHT), build))


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    kind = ir.FunctionType(DOUBLES, [DOUBLES] * len(vectors))
    declare: Any = cgutils.get_or_insert_function
    known = declare(builder.module, kind, f"llvm.{name}.v{LANES}f64")
    return builder.call(known, vectors)


def _weighted(builder: Any, weight: Any, value: Any) -> Any:
    nothing = ir.Constant(DOUBLES, [0.0] * LANES)
    return builder.select(builder.fcmp_ordered(">", weight, nothing), builder.fmul(weight, value), nothing)


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
splat: Any = intrinsic(_splat)
add = _lanewise(lambda builder, a, b: builder.fadd(a, b), 2)
multiply = _lanewise(lambda builder, a, b: builder.fmul(a, b), 2)
divide = _lanewise(lambda builder, a, b: builder.fdiv(a, b), 2)
less_product = _lanewise(
    lambda builder, a, b, c: _call(builder, "fma", builder.fneg(b), c, a), 3
)  # a - b * c
weighted = _lanewise(_weighted, 2)  # weight * value; 0 where the weight is not above 0, whatever the value
