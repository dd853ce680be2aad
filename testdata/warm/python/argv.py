#!/usr/bin/python3
# trial: a+b+c
import sys

print("Content-Type: text/plain\n")
print(sys.argv, __file__ == sys.argv[0])
for name in ("path", "orig_argv", "executable", "_base_executable", "prefix", "exec_prefix", "base_prefix", "platlibdir", "pycache_prefix",
             "dont_write_bytecode", "flags", "warnoptions", "_xoptions", "version", "hexversion", "platform", "byteorder", "maxsize",
             "float_info", "hash_info", "implementation", "thread_info", "copyright", "api_version", "abiflags"):
    print(name, repr(getattr(sys, name, "none")))
print(sorted(n for n in dir(sys)))
