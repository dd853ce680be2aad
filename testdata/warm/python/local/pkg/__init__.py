from . import sub

name = sub.__name__
