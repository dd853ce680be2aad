#!/usr/bin/python3
# trial: source
# trial: pickle
# trial: runpy
# trial: main
# trial: deleted
# trial: doc
# trial: exec
# trial: dataclass
"""The script's own text, found by itself."""
import os
import sys

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n")


class Point:
    """A point."""

    def __init__(self, x):
        self.x = x


def work(a, b=2, *, c: int = 3) -> str:
    """Does work."""
    return a + b


if how == "source":
    import inspect
    print(inspect.getsource(work), inspect.getfile(work), inspect.getmodule(work), inspect.signature(work))
    print(inspect.getsource(Point), inspect.getsourcefile(Point), inspect.getsource(sys.modules["__main__"]) == open(__file__).read())
    print(len(inspect.stack()), inspect.stack()[0].code_context, inspect.getdoc(work))
    print(work.__code__.co_filename, work.__code__.co_firstlineno, work.__module__, Point.__qualname__)
elif how == "pickle":
    import copy
    import pickle
    p = pickle.loads(pickle.dumps(Point(7), 0))
    print(p.x, type(p) is Point, pickle.dumps(Point(7), 0), pickle.loads(pickle.dumps(work)) is work, copy.deepcopy(p).x)
elif how == "runpy" and __name__ == "__main__":
    import runpy
    print(sorted(runpy.run_path(__file__, run_name="other"))[:3])
elif how == "main":
    import importlib
    name = os.path.splitext(os.path.basename(__file__))[0]
    again = importlib.import_module(name)
    print(again.Point is Point, again.__name__ == name, again.__file__ == __file__)
elif how == "deleted":
    import shutil
    copy = os.path.join(os.environ["OUT"], "copy.py")
    shutil.copy(__file__, copy)
    print(os.path.getsize(copy) == os.path.getsize(__file__))
elif how == "doc":
    print(__doc__, Point.__doc__, work.__annotations__, work.__defaults__)
elif how == "exec":
    exec("print(__name__, __file__ == sys.argv[0])")
    print(eval("how"), compile("1", "x", "eval").co_filename, sorted(locals()) == sorted(globals()))
elif how == "dataclass":
    import dataclasses
    import enum
    import typing

    @dataclasses.dataclass(order=True)
    class D:
        a: int
        b: typing.List[str] = dataclasses.field(default_factory=list)

    Color = enum.Enum("Color", "RED GREEN")
    print(D(1), D(1) < D(2), Color.RED, Color.__module__, typing.get_type_hints(D), typing.NamedTuple("N", [("x", int)])(1))
