import sys


def calls():
    return sys._getframe(1).f_globals["__name__"]


def fails():
    raise KeyError("in a module")


def main():
    import __main__
    return __main__.__file__ == sys.argv[0]
