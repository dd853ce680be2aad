name = "not the decoder of the library"
