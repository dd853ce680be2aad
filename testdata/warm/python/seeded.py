#!/usr/bin/python3
# What is seeded by the script is the same everywhere.
import hashlib
import random
import uuid
import zlib

print("Content-Type: text/plain\n")
random.seed(42)
print(random.random(), random.sample(range(100), 5), random.gauss(0, 1))
print(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), uuid.uuid3(uuid.NAMESPACE_URL, "x"))
print(sorted(hashlib.algorithms_guaranteed))
print(hashlib.sha256(b"x").hexdigest(), hashlib.new("md5", b"x").hexdigest(), zlib.crc32(b"x"))
print(hash(1.5), hash(2 ** 70), hash(()), hash(None) == hash(None), hash("x") == hash("x"))
print({1, 2, 3}, dict.fromkeys("hash"), list({}.keys()))
