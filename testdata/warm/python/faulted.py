#!/usr/bin/python3
# mask: 0x([0-9a-f]+)
import faulthandler
import os
import signal

print("Content-Type: text/plain\n", flush=True)
faulthandler.enable()
os.kill(os.getpid(), signal.SIGSEGV)
