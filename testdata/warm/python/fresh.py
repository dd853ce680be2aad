#!/usr/bin/python3
# distinct: yes
# Each line is different in each run: nothing random is shared.
import os
import random
import secrets
import ssl
import tempfile
import time
import uuid

print("Content-Type: text/plain\n")
print("random", random.random())
print("getrandbits", random.getrandbits(128))
print("instance", random.Random().random())
print("system", random.SystemRandom().random())
print("uuid1", uuid.uuid1())
print("uuid4", uuid.uuid4())
print("token", secrets.token_hex())
print("urandom", os.urandom(16).hex())
print("ssl", ssl.RAND_bytes(16).hex())
f = tempfile.NamedTemporaryFile()
print("tempfile", f.name)
print("mkdtemp", os.path.basename(tempfile.mkdtemp(dir=os.environ["OUT"])))
print("pid", os.getpid())
print("time", time.time_ns())
