name = "not the html of the library"
