#!/usr/bin/python3
# What classes know of each other is what this run has made.
import abc
import collections.abc
import io
import json
import threading

print("Content-Type: text/plain\n")


class Base(abc.ABC):
    @abc.abstractmethod
    def f(self):
        """."""


class Child(Base):
    def f(self):
        return super().f()


Base.register(int)
print(Base.__subclasses__(), isinstance(1, Base), issubclass(Child, Base), json.JSONEncoder.__subclasses__())
try:
    Base()
except TypeError as e:
    print(e)


class Worker(threading.Thread):
    def run(self):
        print(type(self).__name__, type(self).__mro__[1] is threading.Thread)


Worker().start()
print(issubclass(dict, collections.abc.Mapping), isinstance(io.StringIO(), io.IOBase), type(Base).__name__)
