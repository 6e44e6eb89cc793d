"""A pickle machine that cannot run anything: bytes in, plain data and inert records out.

It knows the opcodes that a network pickle has, of protocols 2 to 5 (the format: Python's
`pickletools`). A global is a name from an allow-list, never looked up; calling one makes a record
of the call. Nothing is imported, and no class of the file's is ever made.

Time and memory are bounded by the size of the stream: an opcode is a few steps of Python, byte
strings are views of the input, and there is at most one container for so many bytes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "Global", "Grammar", "Persistent", "read_pickle"]

# A network of 62 million weights takes 62,000 opcodes; small ones have 200 bytes a container.
MAX_OPCODES = 2**19
FREE_CONTAINERS = 1000
BYTES_PER_CONTAINER = 32

# NVIDIA's embedded source files have 36,000 characters.
MAX_TEXT_BYTES = 2**20

# The longest whole number is torch's magic one of 10 bytes.
MAX_LONG_BYTES = 16


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """A name that the stream refers to, `module.name`."""

    path: str


@dataclass(eq=False, slots=True)
class Call:
    """A call that was not made: a function's or a class's name, its arguments, and a state."""

    function: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """A reference to something outside the stream."""

    key: Any


@dataclass(frozen=True)
class Grammar:
    """What a stream may say.

    Args:
        globals: names that may occur, as `module.name`.
        dicts: those that are called without arguments for an empty dict.
        stateful: those whose result is given a state.
        persistent: whether there may be references to things outside the stream.
        opcodes: how many it may have.
    """

    globals: frozenset[str]
    dicts: frozenset[str] = frozenset()
    stateful: frozenset[str] = frozenset()
    persistent: bool = False
    opcodes: int = MAX_OPCODES


def read_pickle(data: memoryview, start: int, grammar: Grammar) -> tuple[Any, int]:
    """Reads one pickle stream, from `start` on; byte strings of the result are views of `data`.

    Returns:
        None, bools, ints, floats, strings, memoryviews, lists, tuples, sets of strings, dicts with
        strings as keys, `Global`, `Call` and `Persistent`, nested as in the stream, with cycles if
        it has them; and where the stream ends.

    Raises:
        ValueError: the stream is broken, or says what the grammar does not have; with the place.
    """
    machine = _Machine(data, start, grammar)
    try:
        return machine.run(), machine.position
    except ValueError as error:
        raise ValueError(f"at byte {machine.opcode_at}: {error}") from error


class _Machine:
    def __init__(self, data: memoryview, start: int, grammar: Grammar) -> None:
        self.data = data
        self.grammar = grammar
        self.position = self.opcode_at = start
        self.containers = FREE_CONTAINERS + (len(data) - start) // BYTES_PER_CONTAINER
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each open mark
        self.memo: list[Any] = []

    def run(self) -> Any:
        proto, version = self.take(2)
        if proto != _PROTO or not 2 <= version <= 5:
            raise ValueError("the stream does not start as a pickle of protocol 2 to 5")
        for _ in range(self.grammar.opcodes):
            self.opcode_at = self.position
            opcode = self.take(1)[0]
            if opcode == _STOP:
                return self.result()
            if opcode not in _OPCODES:
                raise ValueError(f"opcode 0x{opcode:02x} is none that a network needs")
            _OPCODES[opcode](self)
        raise ValueError(f"more than {self.grammar.opcodes} opcodes")

    def result(self) -> Any:
        if self.below or len(self.stack) != 1:
            raise ValueError("the stream stops with other than one object")
        return self.stack[0]

    # Reading the stream.

    def take(self, n: int) -> memoryview:
        end = self.position + n
        if end > len(self.data):
            raise ValueError(f"the stream ends too early ({end - len(self.data)} bytes missing)")
        self.position, taken = end, self.data[self.position : end]
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, n: int) -> str:
        if n > MAX_TEXT_BYTES:
            raise ValueError(f"a text of {n} bytes (at most {MAX_TEXT_BYTES})")
        return str(self.take(n), "utf-8")

    def line(self) -> str:
        ahead = bytes(self.data[self.position : self.position + 200])
        if (n := ahead.find(b"\n")) < 0:
            raise ValueError("a global's name does not end")
        return self.text(n + 1)[:-1]

    # The stack.

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("the stack is empty")
        return self.stack.pop()

    def pop_text(self) -> str:
        if type(value := self.pop()) is not str:
            raise ValueError("a global's name is no text")
        return value

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError(f"no {kind.__name__} to put this into")
        return self.stack[-1]

    def push_container(self, value: Any) -> None:
        self.count_container()
        self.stack.append(value)

    def count_container(self) -> None:
        self.containers -= 1
        if self.containers < 0:
            raise ValueError("more objects than a file of this size can mean")

    def to_mark(self) -> list[Any]:
        if not self.below:
            raise ValueError("no mark on the stack")
        items, self.stack = self.stack, self.below.pop()
        return items

    # Opcodes that do more than push a value.

    def frame(self) -> None:
        if (n := self.number("<Q")) > len(self.data) - self.position:
            raise ValueError(f"a frame of {n} bytes reaches beyond the end")

    def mark(self) -> None:
        self.count_container()
        self.below.append(self.stack)
        self.stack = []

    def long(self) -> None:
        if (n := self.number("<B")) > MAX_LONG_BYTES:
            raise ValueError(f"a whole number of {n} bytes")
        self.stack.append(int.from_bytes(self.take(n), "little", signed=True))

    def pack(self, n: int) -> None:
        self.push_container(tuple([self.pop() for _ in range(n)][::-1]))

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing what is nested could take forever.
            if type(key) is not str or key in target:
                raise ValueError("a dict's key is no text, or occurs twice")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def add(self, items: list[Any]) -> None:
        if not all(type(item) is str for item in items):
            raise ValueError("a set's element is no text")
        self.top(set).update(items)

    def put(self, index: int) -> None:
        if index != len(self.memo) or not self.stack:
            raise ValueError(f"memo entry {index} out of turn")
        self.memo.append(self.stack[-1])

    def get(self, index: int) -> None:
        if index >= len(self.memo):
            raise ValueError(f"memo entry {index} is not set")
        self.stack.append(self.memo[index])

    def find(self, module: str, name: str) -> None:
        path = f"{module}.{name}"
        if path not in self.grammar.globals or "." in name:
            raise ValueError(f"global {ascii(path[:100])} is none that a network needs")
        self.push_container(Global(path))

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise ValueError("a call of something other than a global")
        if function.path not in self.grammar.dicts:
            self.push_container(Call(function.path, arguments))
        elif arguments:
            raise ValueError(f"{function.path} is called with arguments")
        else:
            self.push_container({})

    def build(self) -> None:
        state, target = self.pop(), self.top(Call)
        if target.function not in self.grammar.stateful or target.state is not None:
            raise ValueError(f"a state for {target.function} that it does not have")
        target.state = state

    def refer(self) -> None:
        if not self.grammar.persistent:
            raise ValueError("a reference to something outside the file")
        self.push_container(Persistent(self.pop()))


_PROTO = 0x80
_STOP = ord(".")


def _pushing(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(read(m))


def _making(kind: type) -> Callable[[_Machine], None]:
    return lambda m: m.push_container(kind())


# With PROTO and STOP, 41 opcodes.
_OPCODES: dict[int, Callable[[_Machine], None]] = {
    0x95: _Machine.frame,  # FRAME
    ord("("): _Machine.mark,  # MARK
    ord("N"): _pushing(lambda m: None),  # NONE
    0x88: _pushing(lambda m: True),  # NEWTRUE
    0x89: _pushing(lambda m: False),  # NEWFALSE
    ord("J"): _pushing(lambda m: m.number("<i")),  # BININT
    ord("K"): _pushing(lambda m: m.number("<B")),  # BININT1
    ord("M"): _pushing(lambda m: m.number("<H")),  # BININT2
    0x8A: _Machine.long,  # LONG1
    ord("G"): _pushing(lambda m: m.number(">d")),  # BINFLOAT
    0x8C: _pushing(lambda m: m.text(m.number("<B"))),  # SHORT_BINUNICODE
    ord("X"): _pushing(lambda m: m.text(m.number("<I"))),  # BINUNICODE
    ord("C"): lambda m: m.push_container(m.take(m.number("<B"))),  # SHORT_BINBYTES
    ord("B"): lambda m: m.push_container(m.take(m.number("<I"))),  # BINBYTES
    0x8E: lambda m: m.push_container(m.take(m.number("<Q"))),  # BINBYTES8
    ord("}"): _making(dict),  # EMPTY_DICT
    ord("]"): _making(list),  # EMPTY_LIST
    0x8F: _making(set),  # EMPTY_SET
    ord(")"): _pushing(lambda m: ()),  # EMPTY_TUPLE
    ord("t"): lambda m: m.push_container(tuple(m.to_mark())),  # TUPLE
    0x85: lambda m: m.pack(1),  # TUPLE1
    0x86: lambda m: m.pack(2),  # TUPLE2
    0x87: lambda m: m.pack(3),  # TUPLE3
    ord("s"): lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    ord("u"): lambda m: m.set_items(m.to_mark()),  # SETITEMS
    ord("a"): lambda m: m.append([m.pop()]),  # APPEND
    ord("e"): lambda m: m.append(m.to_mark()),  # APPENDS
    0x90: lambda m: m.add(m.to_mark()),  # ADDITEMS
    0x94: lambda m: m.put(len(m.memo)),  # MEMOIZE
    ord("q"): lambda m: m.put(m.number("<B")),  # BINPUT
    ord("r"): lambda m: m.put(m.number("<I")),  # LONG_BINPUT
    ord("h"): lambda m: m.get(m.number("<B")),  # BINGET
    ord("j"): lambda m: m.get(m.number("<I")),  # LONG_BINGET
    ord("c"): lambda m: m.find(m.line(), m.line()),  # GLOBAL
    0x93: lambda m: m.find(*[m.pop_text(), m.pop_text()][::-1]),  # STACK_GLOBAL
    ord("R"): _Machine.call,  # REDUCE
    0x81: _Machine.call,  # NEWOBJ
    ord("b"): _Machine.build,  # BUILD
    ord("Q"): _Machine.refer,  # BINPERSID
}
