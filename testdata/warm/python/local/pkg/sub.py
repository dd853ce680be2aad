import pkg


def where():
    return __name__ + " in " + pkg.__name__ + " of " + __package__
