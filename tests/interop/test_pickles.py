"""The pickle machine: plain data as Python's pickler writes it, and streams that say too much."""

import math
import pickle
import time
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_collapse.interop import pickles
from lightning_collapse.interop.pickles import Call, Global, Grammar, Persistent, read_pickle

GRAMMAR = Grammar(
    globals=frozenset({"a.make", "a.Dict", "a.Box", "a.b.make"}),
    dicts=frozenset({"a.Dict"}),
    stateful=frozenset({"a.Box"}),
)


def read(stream, grammar=GRAMMAR):
    value, end = read_pickle(memoryview(stream), 0, grammar)
    assert end == len(stream)
    return value


def named(module, name):
    """Opcodes that push a global's name."""
    return b"".join(b"\x8c" + bytes([len(t)]) + t for t in (module, name)) + b"\x93"


MAKE, DICT, BOX = (named(b"a", name) for name in (b"make", b"Dict", b"Box"))

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**127 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner)
        | st.sets(st.text(max_size=5))
    ),
    max_leaves=30,
)


@given(values, st.sampled_from([4, 5]))
def test_plain_data_are_what_was_pickled(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_old_protocols_too():
    value = {"a": [1, 2.5, (True, None)], "b": "x" * 300, "c": [300, -(2**80)]}
    assert read(pickle.dumps(value, 2)) == value
    assert read(pickle.dumps(value, 3)) == value


def test_one_object_stays_one_and_a_cycle_a_cycle():
    shared = ["x"]
    value = [shared, shared]
    value.append(value)
    found = read(pickle.dumps(value, 4))
    assert found[0] is found[1]
    assert found[2] is found


def test_bytes_are_views_of_the_input():
    stream = pickle.dumps(b"abc" * 100, 4)
    assert read(stream).obj is stream


def test_calls_are_records():
    call = read(b"\x80\x04" + MAKE + b"K\x07\x85R.")
    assert type(call) is Call
    assert (call.function, call.arguments, call.state) == ("a.make", (7,), None)
    box = read(b"\x80\x04" + BOX + b")\x81}b.")
    assert (box.function, box.state) == ("a.Box", {})
    assert read(b"\x80\x04" + DICT + b")R\x8c\x01aK\x01s.") == {"a": 1}
    name = read(b"\x80\x02ca\nmake\n.")
    assert type(name) is Global
    assert name.path == "a.make"


def test_references_need_a_grammar_that_has_them():
    found = read(b"\x80\x02K\x07Q.", Grammar(frozenset(), persistent=True))
    assert type(found) is Persistent
    assert found.key == 7


BAD = {
    "empty": (b"", "ends too early"),
    "protocol 0": (b"\x80\x00N.", "does not start as a pickle"),
    "protocol 6": (b"\x80\x06N.", "does not start as a pickle"),
    "protocol later": (b"\x80\x04N\x80\x04.", "opcode 0x80"),
    "no protocol": (b"N.", "does not start as a pickle"),
    "no stop": (b"\x80\x04N", "ends too early"),
    "two objects": (b"\x80\x04NN.", "other than one object"),
    "no object": (b"\x80\x04.", "other than one object"),
    "open mark": (b"\x80\x04(N.", "other than one object"),
    "no mark": (b"\x80\x04Nt.", "no mark"),
    "empty stack": (b"\x80\x04N\x87.", "the stack is empty"),
    "long frame": (b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"N.", "reaches beyond"),
    "long bytes": (b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"a.", "bytes missing"),
    "long text": (b"\x80\x04X\xff\xff\xff\x7fa.", "a text of 2147483647 bytes"),
    "not utf-8": (b"\x80\x04\x8c\x01\xff.", "utf-8"),
    "surrogate": (b"\x80\x04\x8c\x03\xed\xa0\x80.", "utf-8"),
    "long number": (b"\x80\x04\x8a\xff" + b"\x01" * 255 + b".", "a whole number of 255 bytes"),
    "longer number": (b"\x80\x04\x8b\xff\xff\xff\x7f.", "opcode 0x8b"),
    "memo bomb": (b"\x80\x04Nr\xff\xff\xff\xff.", "memo entry 4294967295 out of turn"),
    "memo twice": (b"\x80\x04Nq\x00q\x00.", "memo entry 0 out of turn"),
    "memo of nothing": (b"\x80\x04\x94.", "memo entry 0 out of turn"),
    "memo not set": (b"\x80\x04h\x03.", "memo entry 3 is not set"),
    "tuple as key": (b"\x80\x04})Ns.", "a dict's key is no text"),
    "number as key": (b"\x80\x04}K\x01Ns.", "a dict's key is no text"),
    "key twice": (b"\x80\x04}(\x8c\x01aN\x8c\x01aNu.", "occurs twice"),
    "key alone": (b"\x80\x04}(\x8c\x01au.", "a key without a value"),
    "item of a list": (b"\x80\x04]\x8c\x01aNs.", "no dict to put this into"),
    "append to a dict": (b"\x80\x04}Na.", "no list to put this into"),
    "appends to nothing": (b"\x80\x04(Ne.", "no list to put this into"),
    "number in a set": (b"\x80\x04\x8f(K\x01\x90.", "a set's element is no text"),
    "unknown global": (b"\x80\x04" + named(b"os", b"system") + b".", "global 'os.system'"),
    "unknown global, old": (b"\x80\x02cos\nsystem\n.", "global 'os.system'"),
    "dotted name": (b"\x80\x04" + named(b"a", b"make.__globals__") + b".", "a.make.__globals__"),
    "dotted name of one known": (b"\x80\x04" + named(b"a", b"b.make") + b".", "global .a.b.make"),
    "endless name": (b"\x80\x02c" + b"a" * 1000, "does not end"),
    "lines in a name": (b"\x80\x04" + named(b"o\ns", b"x") + b".", r"global 'o\\ns.x'"),
    "number as name": (b"\x80\x04K\x01K\x02\x93.", "a global's name is no text"),
    "call of text": (b"\x80\x04\x8c\x01a)R.", "other than a global"),
    "call of a call": (b"\x80\x04" + MAKE + b")R)R.", "other than a global"),
    "call with a list": (b"\x80\x04" + MAKE + b"]R.", "other than a global"),
    "call with a global": (b"\x80\x04" + MAKE + MAKE + b"R.", "other than a global"),
    "dict with arguments": (b"\x80\x04" + DICT + b"N\x85R.", "called with arguments"),
    "state of a dict": (b"\x80\x04}Nb.", "no Call to put this into"),
    "state of a function": (b"\x80\x04" + MAKE + b")R}b.", "a state for a.make"),
    "state twice": (b"\x80\x04" + BOX + b")R}b}b.", "a state for a.Box"),
    "reference": (b"\x80\x04K\x01Q.", "something outside the file"),
    "reference, old": (b"\x80\x04Pabc\n.", "opcode 0x50"),
}
# Opcodes that run, extend, or copy more than a network needs, each with a plausible operand.
UNKNOWN = {
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(cos\nsystem\no",
    "NEWOBJ_EX": MAKE + b")}\x92",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "BYTEARRAY8": b"\x96" + (2**60).to_bytes(8, "little"),
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"N\x98",
    "FROZENSET": b"(\x91",
    "BINUNICODE8": b"\x8d" + (2**60).to_bytes(8, "little"),
    "POP": b"NN0",
    "DUP": b"N2",
    "STRING": b"S'a'\n",
    "INT": b"I1\n",
}
BAD |= {
    name: (b"\x80\x04" + ops + b".", "opcode 0x|global 'os.system'")
    for name, ops in UNKNOWN.items()
}


@pytest.mark.parametrize("name", BAD)
def test_refused_with_the_place(name):
    stream, said = BAD[name]
    with pytest.raises(ValueError, match=r"^at byte \d+: ") as error:
        read(stream)
    assert error.match(said)
    assert len(str(error.value).splitlines()) == 1


BOMBS = {
    "dicts": b"}" * 10**5,
    "sets": b"\x8f" * 10**5,
    "marks": b"(" * 10**5,
    "empty bytes": b"C\x00" * 10**5,
    "memo": b"N" + b"\x94" * 10**5,
    "nones": b"N" * 10**5,
    "texts": b"\x8c\x02ab" * 10**5,
    "nested tuples": b")" + b"\x85" * 10**5,
    "doubling": b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(250)) + b"}NNs",
    "wide text": b"X\x00\x00\x10\x00" + b"\xf0\x9f\x98\x80" + b"a" * (2**20 - 4),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_no_more_than_their_size(name):
    stream = b"\x80\x04" + BOMBS[name]
    grammar = replace(GRAMMAR, opcodes=90_000)
    tracemalloc.start()
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="at byte"):
        read(stream, grammar)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(stream) + 2**21
    assert time.perf_counter() - begun < 30


def test_colliding_hashes_are_no_keys():
    """Whole numbers of one hash would make a dict slow: text is hashed with a secret."""
    keys = [k * (2**61 - 1) for k in range(1, 100)]
    with pytest.raises(ValueError, match="key is no text"):
        read(pickle.dumps(dict.fromkeys(keys), 4))


@given(
    st.lists(
        st.sampled_from(sorted(pickles._OPCODES)).map(lambda code: bytes([code]))
        | st.binary(max_size=3)
        | st.sampled_from([MAKE, DICT, BOX, b"\x8c\x01a", b"(", b")", b"}", b"]", b"N", b"."]),
        max_size=40,
    ).map(b"".join)
)
def test_any_stream_is_read_or_refused(stream):
    try:
        read_pickle(memoryview(b"\x80\x04" + stream), 0, GRAMMAR)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1


def test_infinities_and_signs_survive():
    assert read(pickle.dumps([math.inf, -math.inf, -0.0, -1, 255, 256, 65536], 4)) == [
        math.inf,
        -math.inf,
        -0.0,
        -1,
        255,
        256,
        65536,
    ]


def test_it_knows_41_opcodes():
    assert len(pickles._OPCODES) == 39  # PROTO and STOP besides
