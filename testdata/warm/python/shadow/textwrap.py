name = "not the textwrap of the library"
