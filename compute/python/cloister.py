"""Trainers in Python, recorded to WebAssembly.

Python runs once, when the trainer is built: `update` is called with placeholders, each
kernel that it calls is written down, and the list of calls becomes a core module of some
hundred bytes. `cloister code build` makes a component of it. There is no Python in the
enclave, so:

- No `if` or `while` about numbers, rows or parameters: they are not known yet, and asking
  raises an error. A `for` over something that Python knows is written out.
- No numpy, no libraries: what `Tensor`, `Int` and `Real` below can do, and nothing else.

Signatures are read from compute/wit/world.wit. Needs Python 3.9 and nothing else.
"""

import re
import struct
import sys
from pathlib import Path

WORLD = Path(__file__).resolve().parent.parent / "wit" / "world.wit"

I32, I64, F32 = 0x7F, 0x7E, 0x7D
CORE = {"u32": [I32], "bool": [I32], "f32": [F32], "u64": [I64], "tensor": [I32]}
CORE.update({"borrow<tensor>": [I32], "list<tensor>": [I32, I32]})

BASE = 1024  # where texts begin
MAX_PARTS = 64  # of a `join`


class TraceError(Exception):
    """Something that cannot be written down."""


def imports():
    """Module, parameters and results of each function of the world, by its name."""
    text = re.sub(r"//[^\n]*", "", WORLD.read_text())
    found = {"[resource-drop]tensor": ("tensors", [I32], [])}
    for interface, body in re.findall(r"^interface (tensors|random) \{(.*?)^\}", text, re.M | re.S):
        methods = re.search(r"resource tensor \{(.*?)\}", body, re.S)
        places = [("", body.replace(methods.group(0), "") if methods else body)]
        if methods:
            places.append(("[method]tensor.", methods.group(1)))
            found["[constructor]tensor"] = (interface, [I32, I32], [I32])
        for prefix, part in places:
            for name, takes, gives in re.findall(
                r"([a-z0-9-]+): func\(([^)]*)\)(?: -> ([^;]+))?;", part
            ):
                types = [one.split(":")[1].strip() for one in takes.split(",") if one.strip()]
                types += [gives] if gives else []
                if all(one in CORE for one in types):  # `read` and `write` are left out
                    core = [CORE[one] for one in types]
                    results = core.pop() if gives else []
                    takes = ([I32] if prefix else []) + [one for each in core for one in each]
                    found[prefix + name] = (interface, takes, results)
    return found


IMPORTS = imports()


# --- What a trainer computes with -------------------------------------------------------


class Function:
    """A function that is being written down."""

    now = None

    def __init__(self, module, takes):
        self.module, self.takes, self.locals, self.code = module, takes, [], bytearray()

    def __enter__(self):
        Function.now = self
        return self

    def __exit__(self, *_):
        Function.now = None

    def emit(self, *parts):
        for part in parts:
            self.code += part if isinstance(part, (bytes, bytearray)) else bytes([part])

    def keep(self, kind, core):
        """What is on the stack, as a value."""
        value = kind.__new__(kind)
        value.function, value.local = self, len(self.takes) + len(self.locals)
        self.locals.append(core)
        self.emit(0x21, leb(value.local))
        return value

    def argument(self, kind, local):
        value = kind.__new__(kind)
        value.function, value.local = self, local
        return value

    def push(self, value, core):
        """Puts a value, or a number that Python knows, on the stack."""
        if isinstance(value, Value):
            if value.function is not self:
                raise TraceError("a value of one call cannot be kept for another")
            self.emit(0x20, leb(value.local))
            if core == F32 and isinstance(value, Int):
                self.emit(0xB3)  # f32.convert_i32_u
            elif (core == F32) != isinstance(value, Real):
                raise TraceError(f"{type(value).__name__} where it does not belong")
        elif core == F32:
            self.emit(0x43, struct.pack("<f", value))
        elif core == I32 and isinstance(value, (int, bool)) and 0 <= value < 1 << 32:
            self.emit(0x41, sleb(value - (1 << 32) if value >= 1 << 31 else value))
        else:
            raise TraceError(f"{value!r} where a whole number from 0 or a tensor belongs")

    def call(self, name, *arguments, into=None):
        """Calls a function of the world."""
        _, takes, gives = IMPORTS[name]
        for value, core in zip(arguments, takes):
            self.push(value, core)
        self.emit(0x10, leb(self.module.index(name)))
        return self.keep(into, gives[0]) if into else None


class Value:
    """Something that is known when the trainer runs, and not before."""

    def _ask(self, *_):
        raise TraceError("this is not known before the trainer runs: no `if` or `while` about it")

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _ask
    __int__ = __float__ = __index__ = __iter__ = __len__ = __contains__ = _ask
    __hash__ = None


def operators(kind, core, codes):
    """Arithmetic on numbers: each operator is one instruction."""

    def of(code, swapped):
        def operator(self, other):
            function = Function.now
            for value in (other, self) if swapped else (self, other):
                function.push(value, core)
            function.emit(code)
            return function.keep(kind, core)

        return operator

    for name, code in codes.items():
        setattr(kind, f"__{name}__", of(code, False))
        setattr(kind, f"__r{name}__", of(code, True))


class Int(Value):
    """A whole number from 0 to 2^32 - 1."""

    def __truediv__(self, other):
        return self.real() / other

    def __rtruediv__(self, other):
        return other / self.real()

    def real(self):
        """The same as a `Real`."""
        Function.now.push(self, F32)
        return Function.now.keep(Real, F32)


class Real(Value):
    """A 32-bit float."""


operators(Int, I32, {"add": 0x6A, "sub": 0x6B, "mul": 0x6C, "floordiv": 0x6E})
operators(Real, F32, {"add": 0x92, "sub": 0x93, "mul": 0x94, "truediv": 0x95})


class Transposed:
    """`Tensor.T`, as an operand of `@`."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __matmul__(self, other):
        return product(self, other)


class Tensor(Value):
    """A matrix of 32-bit floats in the runtime: zeros at first."""

    def __new__(cls, rows=None, columns=None):
        if rows is None:
            return super().__new__(cls)
        return Function.now.call("[constructor]tensor", rows, columns, into=Tensor)

    @property
    def rows(self):
        return Function.now.call("[method]tensor.rows", self, into=Int)

    @property
    def columns(self):
        return Function.now.call("[method]tensor.columns", self, into=Int)

    @property
    def T(self):
        return Transposed(self)

    def __matmul__(self, other):
        return product(self, other)

    def __iadd__(self, other):
        return self._with("add", other, self)

    def __isub__(self, other):
        return self._with("axpy", -1.0, other, self)

    def __imul__(self, other):
        name = "mul" if isinstance(other, Tensor) else "scal"
        return self._with(name, other, self)

    def __itruediv__(self, other):
        return self._with("div", other, self)

    def scaled_add(self, alpha, other):
        """Adds `alpha * other`."""
        return self._with("axpy", alpha, other, self)

    def add_outer(self, alpha, x, y):
        """Adds `alpha` times the outer product of two vectors."""
        return self._with("ger", alpha, x, y, self)

    def fill(self, value):
        return self._with("fill", self, value)

    def clamp(self, low, high):
        return self._with("clamp", self, low, high)

    def step(self, threshold):
        return self._with("step", self, threshold)

    def copy(self):
        return Function.now.call("[method]tensor.slice", self, 0, self.rows, into=Tensor)

    def part(self, offset, rows, columns):
        """A part of a read-only tensor as a matrix of its own. Nothing is copied."""
        return Function.now.call("[method]tensor.view", self, offset, rows, columns, into=Tensor)

    def slice(self, first, rows):
        return Function.now.call("[method]tensor.slice", self, first, rows, into=Tensor)

    def slice_columns(self, first, columns):
        name = "[method]tensor.slice-columns"
        return Function.now.call(name, self, first, columns, into=Tensor)

    def append_column(self, value):
        return Function.now.call("[method]tensor.append-column", self, value, into=Tensor)

    def sum_rows(self):
        total = Tensor(1, self.columns)
        Function.now.call("sum-rows", self, total)
        return total

    def sum_columns(self):
        total = Tensor(self.rows, 1)
        Function.now.call("sum-columns", self, total)
        return total

    def get(self, row, column):
        return Function.now.call("[method]tensor.get", self, row, column, into=Real)

    def dot(self, other):
        return Function.now.call("dot", self, other, into=Real)

    def sum(self):
        return Function.now.call("sum", self, into=Real)

    def norm(self):
        return Function.now.call("nrm2", self, into=Real)

    def _with(self, name, *arguments):
        Function.now.call(name, *arguments)
        return self


def _in_place():
    def alone(name):
        return lambda self: self._with(name, self)

    def backwards(name):
        return lambda self, output: self._with(name, output, self)

    for name in ["sigmoid", "tanh", "relu", "exp", "log", "sqrt", "softmax", "log-softmax"]:
        setattr(Tensor, name.replace("-", "_"), alone(name))
    for name in ["sigmoid", "tanh", "relu"]:
        setattr(Tensor, f"{name}_backward", backwards(f"{name}-backward"))


_in_place()


def product(a, b):
    """The matrix product; either may be transposed."""
    (x, x_turned), (y, y_turned) = (
        (one.tensor, True) if isinstance(one, Transposed) else (one, False) for one in (a, b)
    )
    out = Tensor(x.columns if x_turned else x.rows, y.rows if y_turned else y.columns)
    Function.now.call("gemm", x_turned, y_turned, 1.0, x, y, 0.0, out)
    return out


def join(*parts):
    """One row that holds the elements of the parts, which are used up."""
    function = Function.now
    if len(parts) > MAX_PARTS:
        raise TraceError(f"a join of {len(parts)} parts; at most {MAX_PARTS}")
    for index, part in enumerate(parts):
        function.emit(0x41, sleb(function.module.scratch + 4 * index))
        function.push(part, I32)
        function.emit(0x36, 2, 0)  # i32.store
    return function.call("join", function.module.scratch, len(parts), into=Tensor)


def uniform(rows, columns, low, high):
    """Random numbers from the job's seed, evenly from `low` to below `high`."""
    out = Tensor(rows, columns)
    Function.now.call("uniform", out, low, high)
    return out


def normal(rows, columns, mean, deviation):
    """Random numbers from the job's seed, normally distributed."""
    out = Tensor(rows, columns)
    Function.now.call("normal", out, mean, deviation)
    return out


# --- A trainer ---------------------------------------------------------------------------


class Parameter:
    """A parameter that a job may set."""

    def __init__(self, kind, minimum, maximum, default, about):
        self.kind, self.range, self.about = kind, (minimum, maximum, default), about


def real(minimum, maximum, default, about):
    return Parameter(0, minimum, maximum, default, about)


def integer(minimum, maximum, default, about):
    return Parameter(1, minimum, maximum, default, about)


def flag(default, about):
    return Parameter(2, 0, 1, int(default), about)


class Params:
    """Values of the parameters, by name, as `Real`s."""

    def __init__(self, function, names, local):
        self._function, self._names, self._local = function, names, local

    def __getitem__(self, name):
        # The runtime hands over all of them, in the declared order: 16 bytes each.
        at = 16 * self._names.index(name) + 8
        self._function.emit(0x20, leb(self._local), 0x2B, 3, leb(at), 0xB6)  # f64.load, demote
        return self._function.keep(Real, F32)


class Trainer:
    """What to subclass: see compute/trainers/py-logistic.

    An update of a unit without rows is zero, and `update` is not asked.
    """

    name = version = summary = model = scores = ""
    parameters = {}

    def init(self, features, targets, params):
        raise NotImplementedError

    def update(self, model, features, targets, params):
        raise NotImplementedError

    def score(self, model, features, params):
        raise NotImplementedError


class Module:
    """The core module of a trainer."""

    def __init__(self, trainer):
        self.used = []
        self.data = bytearray()
        self.record = self._describe(trainer)
        self.scratch = (BASE + len(self.data) + 15) // 16 * 16
        self.heap = self.scratch + 4 * MAX_PARTS
        self.names = list(trainer.parameters)
        self.functions = [
            self._trace("init", [Int, Int], 0, trainer.init),
            self._trace("update", [Tensor] * 3, 3, trainer.update),
            self._trace("score", [Tensor] * 2, 2, trainer.score),
        ]

    def index(self, name):
        """The number of an import."""
        if name not in self.used:
            self.used.append(name)
        return self.used.index(name)

    def _text(self, text):
        bytes_ = text.encode()
        self.data += bytes_
        return struct.pack("<II", BASE + len(self.data) - len(bytes_), len(bytes_))

    def _put(self, record):
        self.data += bytes(-len(self.data) % 16) + record
        return BASE + len(self.data) - len(record)

    def _describe(self, trainer):
        entries = b""
        for name, parameter in trainer.parameters.items():
            entries += struct.pack("<8sB7x3d", self._text(name), parameter.kind, *parameter.range)
            entries += self._text(parameter.about)
        place = struct.pack("<II", self._put(entries), len(trainer.parameters))
        texts = [self._text(getattr(trainer, of)) for of in ("name", "version", "summary")]
        texts += [place] + [self._text(getattr(trainer, of)) for of in ("model", "scores")]
        return self._put(b"".join(texts))

    def _trace(self, name, kinds, borrowed, method):
        takes = [I32] * (len(kinds) + 2)
        with Function(self, takes) as function:
            arguments = [function.argument(kind, local) for local, kind in enumerate(kinds)]

            def give_back():
                for argument in arguments[:borrowed]:
                    function.call("[resource-drop]tensor", argument)

            if name == "update":
                model, features, _ = arguments
                function.push(features.rows, I32)
                function.emit(0x45, 0x04, 0x40)  # i32.eqz, if
                zero = Tensor(model.rows, model.columns)
                give_back()
                function.push(zero, I32)
                function.emit(0x0F, 0x0B)  # return, end
            result = method(*arguments, Params(function, self.names, len(kinds)))
            if not isinstance(result, Tensor) or result.local < len(kinds):
                raise TraceError(f"`{name}` has to return a tensor of its own")
            give_back()
            function.push(result, I32)
        return name, function

    def to_bytes(self):
        """The module, as WebAssembly has it."""
        types, codes, bodies = [], [], []

        def type_of(takes, gives):
            one = b"\x60" + vector(bytes([t]) for t in takes) + vector(bytes([t]) for t in gives)
            if one not in types:
                types.append(one)
            return leb(types.index(one))

        def body(locals_, code):
            code = vector(b"\x01" + bytes([core]) for core in locals_) + bytes(code) + b"\x0b"
            bodies.append(leb(len(code)) + code)

        brought = []
        for name in self.used:
            interface, takes, gives = IMPORTS[name]
            module = text(f"cloister:compute/{interface}@1.0.0")
            brought.append(module + text(name) + b"\x00" + type_of(takes, gives))
        exports = [text("memory") + b"\x02\x00"]

        def export(name, takes, locals_, code):
            number = leb(len(self.used) + len(codes))
            exports.append(text(name) + b"\x00" + number)
            codes.append(type_of(takes, [I32]))
            body(locals_, code)

        export("describe", [], [], b"\x41" + sleb(self.record))
        # Moves a global forward, in steps of 16 bytes; gives what it was.
        move = b"\x23\x00\x23\x00\x20\x03\x6a\x41\x0f\x6a\x41\x70\x71\x24\x00"
        export("cabi_realloc", [I32] * 4, [], move)
        for name, function in self.functions:
            export(name, function.takes, function.locals, function.code)

        heap = b"\x7f\x01\x41" + sleb(self.heap) + b"\x0b"
        data = b"\x00\x41" + sleb(BASE) + b"\x0b" + leb(len(self.data)) + bytes(self.data)
        pages = (self.heap + 0xFFFF) // 0x10000
        sections = [(1, types), (2, brought), (3, codes), (5, [b"\x00" + leb(pages)])]
        sections += [(6, [heap]), (7, exports), (10, bodies), (11, [data])]
        module = b"\0asm\x01\0\0\0"
        for number, entries in sections:
            content = vector(entries)
            module += bytes([number]) + leb(len(content)) + content
        return module


def leb(number):
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def sleb(number):
    out = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        done = number == (-1 if low & 0x40 else 0)
        out.append(low | (0 if done else 0x80))
        if done:
            return bytes(out)


def vector(entries):
    entries = list(entries)
    return leb(len(entries)) + b"".join(entries)


def text(value):
    return leb(len(value.encode())) + value.encode()


def main(trainer):
    """Writes the core module to the file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} MODULE.wasm")
    module = Module(trainer).to_bytes()
    Path(sys.argv[1]).write_bytes(module)
    print(f"{sys.argv[1]}: {len(module)} bytes; now `cloister code build {sys.argv[1]}`")
