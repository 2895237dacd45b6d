"""Access memory and call functions by address: unaligned words, views, prefetching, calls.

An array costs 35 ns in a call from Python, an integer 5. So related arrays are passed as a table of
addresses, and the owner of the table keeps the arrays alive. Everything here is an intrinsic:
functions written in Python, and Numba's own ``carray``, would add seconds to the time of compiling.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE, _INT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _reader(kind: Any) -> Any:
    @intrinsic
    def read(_typing: Any, address: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], kind.as_pointer())
            value = builder.load(pointer, align=1)
            return value if kind == _WORD else builder.zext(value, _WORD)

        return types.uint64(types.int64), emit

    return read


# The byte, the four bytes or the eight bytes at an int64 address, as a uint64.
byte_at, half_at, word_at = _reader(_BYTE), _reader(_INT), _reader(_WORD)


def column_access(place: int, width: int) -> tuple[Any, Any]:
    """Make ``get(head, row, column)`` and ``set(head, row, column, value)`` of a uint64 table.

    Parameters
    ----------
    place : int
        Position in ``head``, an int64 array, of the address of the table.
    width : int
        Its columns.
    """

    def element(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        head, row, column = args
        addresses = context.make_array(signature.args[0])(context, builder, head).data
        base = builder.load(builder.gep(addresses, [ir.Constant(_WORD, place)]))
        n = builder.add(builder.mul(row, ir.Constant(_WORD, width)), column)
        return builder.gep(builder.inttoptr(base, _WORD.as_pointer()), [n])

    @intrinsic
    def get(_typing: Any, head: Any, row: Any, column: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(element(context, builder, signature, args))

        return types.uint64(head, types.int64, types.int64), emit

    @intrinsic
    def set(_typing: Any, head: Any, row: Any, column: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[3], element(context, builder, signature, args[:3]))
            return context.get_dummy_value()

        return types.void(head, types.int64, types.int64, types.uint64), emit

    return get, set


@intrinsic
def bits_of(_typing: Any, value: Any) -> Any:
    """Return the 64 bits of a float64 as a uint64."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _WORD)

    return types.uint64(types.float64), emit


@intrinsic
def copy_bytes(_typing: Any, to: Any, source: Any, count: Any) -> Any:
    """Copy ``count`` bytes between int64 addresses; the ranges must not overlap."""

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        places = [builder.inttoptr(address, _BYTE.as_pointer()) for address in args[:2]]
        cgutils.raw_memcpy(builder, *places, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


def _viewer(kind: Any, bits: Any, size: int) -> Any:
    @intrinsic
    def view(_typing: Any, address: Any, count: Any) -> Any:
        array = types.Array(kind, 1, "C")

        def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            made = context.make_array(array)(context, builder)
            itemsize = context.get_constant(types.intp, size)
            context.populate_array(
                made,
                data=builder.inttoptr(args[0], bits.as_pointer()),
                shape=[args[1]],
                strides=[itemsize],
                itemsize=itemsize,
                meminfo=None,
            )
            return made._getvalue()

        return array(types.int64, types.int64), emit

    return view


def _writer(kind: Any) -> Any:
    @intrinsic
    def write(_typing: Any, address: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            word = args[1] if kind == _WORD else builder.trunc(args[1], kind)
            builder.store(word, builder.inttoptr(args[0], kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.uint64), emit

    return write


# Write the low 8, the low 32 or all 64 bits of a uint64 to an int64 address.
put_byte, put_half, put_word = _writer(_BYTE), _writer(_INT), _writer(_WORD)


@intrinsic
def swapped(_typing: Any, value: Any) -> Any:
    """Return the low four bytes of a uint64 in the opposite order, the others 0."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bswap(builder.trunc(args[0], _INT)), _WORD)

    return types.uint64(types.uint64), emit


@intrinsic
def float_of(_typing: Any, bits: Any) -> Any:
    """Return the float64 with the bits of a uint64."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), emit


@intrinsic
def single_of(_typing: Any, bits: Any) -> Any:
    """Return the float32 with the low 32 bits of a uint64."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], _INT), ir.FloatType())

    return types.float32(types.uint64), emit


# View so many numbers at an int64 address as an array that owns nothing.
int64s_at, floats_at = _viewer(types.int64, _WORD, 8), _viewer(types.float32, ir.FloatType(), 4)
doubles_at = _viewer(types.float64, ir.DoubleType(), 8)


def _part(kind: Any, bits: Any, size: int) -> Any:
    @intrinsic
    def view(_typing: Any, owner: Any, offset: Any, count: Any) -> Any:
        array = types.Array(kind, 1, "C")

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            made = context.make_array(array)(context, builder)
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            start = builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [args[1]])
            context.populate_array(
                made,
                data=builder.bitcast(start, bits.as_pointer()),
                shape=[args[2]],
                strides=[context.get_constant(types.intp, size)],
                itemsize=context.get_constant(types.intp, size),
                meminfo=None,
            )
            return made._getvalue()

        return array(owner, types.int64, types.int64), emit

    return view


# View so many numbers from a byte of another array on. Unlike with two addresses, LLVM can tell
# whether parts of one array overlap.
int64s_in, floats_in = _part(types.int64, _WORD, 8), _part(types.float32, ir.FloatType(), 4)
doubles_in = _part(types.float64, ir.DoubleType(), 8)


@intrinsic
def prefetch(_typing: Any, address: Any) -> Any:
    """Prefetch the cache line at an int64 address; an invalid address does no harm."""

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _BYTE.as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT]),
            "llvm.prefetch.p0",
        )
        # To be read, to be kept in all levels of cache, data.
        options = [ir.Constant(_INT, n) for n in (0, 3, 1)]
        builder.call(function, [builder.inttoptr(args[0], pointer), *options])
        return context.get_dummy_value()

    return types.void(types.int64), emit


@intrinsic
def address_of(_typing: Any, pointer: Any) -> Any:
    """Return an untyped pointer as an int64 address."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _WORD)

    return types.int64(types.voidptr), emit


@intrinsic
def folded_product(_typing: Any, a: Any, b: Any) -> Any:
    """Multiply two uint64 to 128 bits and exclusive-or the halves."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _WORD)
        return builder.xor(builder.trunc(product, _WORD), high)

    return types.uint64(types.uint64, types.uint64), emit


@intrinsic
def add_product(_typing: Any, low: Any, high: Any, a: Any, b: Any) -> Any:
    """Add the product of two uint64 to a sum of 128 bits; return its low and its high half."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        low, high, a, b = (builder.zext(arg, wide) for arg in args)
        before = builder.or_(low, builder.shl(high, ir.Constant(wide, 64)))
        after = builder.add(before, builder.mul(a, b))
        halves = after, builder.lshr(after, ir.Constant(wide, 64))
        return context.make_tuple(
            builder, signature.return_type, [builder.trunc(half, _WORD) for half in halves]
        )

    return types.UniTuple(types.uint64, 2)(*[types.uint64] * 4), emit


@intrinsic
def trailing_zeros(_typing: Any, value: Any) -> Any:
    """Count the zero bits below the lowest one of a uint64 that is not 0."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), emit


@intrinsic
def leading_zeros(_typing: Any, value: Any) -> Any:
    """Count the zero bits above the highest one of a uint64 that is not 0."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), emit


@intrinsic
def call_at(_typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call the compiled function of four int64 at an address; it returns nothing.

    The calling convention is Numba's own: room for a result and for an exception, then the
    arguments, and a status is returned. A wrapper in C's convention would cost some ns and take as
    long to compile as the function. No kernel raises, so the status is ignored.
    """

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, untyped = ir.IntType(64), ir.IntType(8).as_pointer()
        room = cgutils.alloca_once(builder, untyped)
        exception = cgutils.alloca_once(builder, untyped)
        kind = ir.FunctionType(ir.IntType(32), [room.type, exception.type, *[integer] * 4])
        callee = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(callee, [room, exception, *args[1:]])
        return ir.Constant(integer, 0)

    return types.int64(*[types.int64] * 5), emit


def _caller(kind: Any) -> Any:
    @intrinsic
    def call(_typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            pointer = ir.FunctionType(kind, [_WORD] * 4).as_pointer()
            result = builder.call(builder.inttoptr(args[0], pointer), args[1:])
            return result if kind == _WORD else builder.sext(result, _WORD)

        return types.int64(*[types.int64] * 5), emit

    return call


# Call the C function at an address, which returns an int or 64 bits. It gets four words, and reads
# as many as it has arguments: all supported 64-bit machines pass pointers and integers in registers
# of that width.
c_int, c_word = _caller(_INT), _caller(_WORD)


@intrinsic
def c_int_of_five(_typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Call the C function of five words at an address, which returns an int."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = ir.FunctionType(_INT, [_WORD] * 5).as_pointer()
        result = builder.call(builder.inttoptr(args[0], pointer), args[1:])
        return builder.sext(result, _WORD)

    return types.int64(*[types.int64] * 6), emit
