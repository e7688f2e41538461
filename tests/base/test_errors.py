"""Errors: one base, fields that survive a process boundary, and no builtin exception that a caller could not tell from a fault."""

import ast
import builtins
import importlib
import pickle
import pkgutil
from pathlib import Path

import pytest
from support.sources import trees

import identify as idf
from identify.base.errors import InternalError, MissingArgumentError, UnknownNameError, WrongTypeError
from identify.base.extras import MissingExtraError
from identify.symbolic.msolve import SolveLimitError

ROOT = Path(idf.__file__).parent
CONTROL = {
    "identify.checker.reading.Rejected": "ends a verification, whose answer it becomes",
    "identify.checker.reading.TooLarge": "as Rejected",
    "identify.checker.reading.Unclear": "as Rejected",
}
"""Exceptions that no caller sees. A leading underscore says the same."""
BUILTINS = {
    ("__init__.py", "AttributeError"): "what Python expects of a module's __getattr__",
    ("attacks/reconstruct.py", "KeyboardInterrupt"): "Ctrl-C before there was anything to return",
    ("auditing/audit.py", "KeyboardInterrupt"): "the second Ctrl-C",
    ("base/files.py", "OSError"): "of the operating system, with the name of the file in question",
    ("base/interrupts.py", "KeyboardInterrupt"): "what Python's own handler raises",
    ("cli/__init__.py", "SystemExit"): "the status of the process",
    ("cli/console.py", "SystemExit"): "the status of the process",
    ("cli/ending.py", "SystemExit"): "the status of the process",
    ("conditions/witnesses/parts.py", "ZeroDivisionError"): "an unlucky prime: the caller takes another",
    ("defence/advise.py", "KeyboardInterrupt"): "Ctrl-C before there was anything to return",
    ("exact/instance.py", "ZeroDivisionError"): "an unlucky prime: the caller takes another",
    ("exact/modular.py", "ZeroDivisionError"): "an unlucky prime: the caller takes another",
    ("problem/activation.py", "AttributeError"): "what Python expects of __getattr__",
    ("problem/activation.py", "NotImplementedError"): "abstract methods: no activation lacks them",
    ("problem/partial.py", "NotImplementedError"): "abstract properties: no system lacks them",
    ("problem/network.py", "AttributeError"): "what Python expects of __getattr__",
    ("symbolic/jacobian.py", "KeyError"): "what Python expects of a mapping",
    ("sweeps/constraints.py", "TypeError"): "becomes a GridError in the caller",
}
"""Every builtin exception that leaves a function, with the reason."""


def exception_classes() -> dict[str, type[BaseException]]:
    for module in pkgutil.walk_packages(idf.__path__, "identify."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = {}, [Exception]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.split(".")[0] == "identify":
                found[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return found


def raised(node: ast.AST, caught: tuple[type, ...] = ()) -> set[str]:
    """Names of the builtin exceptions that are raised, and not caught by a ``try`` around them in the same function."""
    names = set()
    if isinstance(node, ast.Raise) and node.exc is not None:
        called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        kind = getattr(builtins, called.id, None) if isinstance(called, ast.Name) else None
        if isinstance(kind, type) and not issubclass(kind, caught):
            names.add(kind.__name__)
    if isinstance(node, ast.FunctionDef):
        caught = ()
    inside = caught
    if isinstance(node, ast.Try):
        types = [one for handler in node.handlers for one in (handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type])]
        own = [getattr(builtins, one.id, None) for one in types if isinstance(one, ast.Name)]
        inside = (*caught, *(kind for kind in own if isinstance(kind, type)))
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                names |= raised(child, inside if name == "body" else caught)
    return names


def test_every_exception_has_the_one_base():
    classes = exception_classes()
    others = {name for name, cls in classes.items() if not issubclass(cls, idf.IdentifyError) and not cls.__name__.startswith("_")}
    assert others == set(CONTROL)
    assert len(classes) > 20 and "identify.theory.registry.UnknownTheoremError" in classes


def test_only_listed_builtin_exceptions_are_raised():
    found = {(str(path.relative_to(ROOT)), name) for path, tree in trees().items() for name in raised(tree)}
    assert found == set(BUILTINS)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("raise ValueError('x') from None", {"ValueError"}),
        ("raise KeyError", {"KeyError"}),
        ("raise Own('x')\nraise", set()),
        ("try:\n  raise KeyError\nexcept (TypeError, LookupError):\n  pass", set()),
        ("try:\n  raise KeyError\nexcept ValueError:\n  pass", {"KeyError"}),
        ("try:\n  pass\nexcept KeyError:\n  raise KeyError", {"KeyError"}),
        ("try:\n  def f():\n    raise KeyError\nexcept KeyError:\n  pass", {"KeyError"}),
    ],
)
def test_the_reader_of_raises_sees_what_leaves_a_function(code, names):
    assert raised(ast.parse(code)) == names


def test_time_outs_are_no_value_errors():
    for cls in (idf.OutOfTimeError, SolveLimitError):
        assert issubclass(cls, idf.IdentifyError) and not issubclass(cls, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        idf.InputError("x: received 1"),
        WrongTypeError("x: received int"),
        UnknownNameError("curve", "nose", ["noise"]),
        idf.UnknownTheoremError("theorem", "kruskall", ["kruskal"]),
        InternalError("a proof and a witness"),
        MissingArgumentError("{model}: give {data}", ("data",), model="m"),
        MissingExtraError("msgpack", "reading a file"),
        idf.TooLargeError("a matrix", 2**40, 2**30),
        idf.PlantingError("width: 9 neurons asked for", 7),
        SolveLimitError("no answer", 0, 12),
        idf.RecoveryError("not recovered", residual=0.5),
        idf.NotCertifiedError("not exact enough", equations=(3,), beyond=1e-3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)


def test_every_class_can_be_pickled():
    for cls in exception_classes().values():
        if issubclass(cls, idf.IdentifyError):
            error = cls.__new__(cls)
            error.args, error.field = ("what happened",), 3
            copy = pickle.loads(pickle.dumps(error))
            assert type(copy) is cls and copy.args == error.args and copy.field == 3


def test_an_unknown_name_is_also_a_key_error_and_shows_its_message_plainly():
    with pytest.raises(KeyError) as caught:
        idf.theorems["kruskall"]
    assert isinstance(caught.value, idf.InputError) and caught.value.name == "kruskall" and "kruskal" in caught.value.known
    assert str(caught.value).startswith("theorem: received 'kruskall', expected one of ")
