name = "not the json of the library"
