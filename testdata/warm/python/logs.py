#!/usr/bin/python3
# mask: pid (\d+)
# mask: thread (\d+)
import logging
import logging.handlers
import os
import sys

print("Content-Type: text/plain\n")
logging.warning("before any configuration")
log = logging.getLogger("mine.sub")
h = logging.FileHandler(os.path.join(os.environ["OUT"], "log"))
h.setFormatter(logging.Formatter("%(name)s %(levelname)s %(filename)s:%(lineno)d %(funcName)s %(processName)s %(threadName)s %(message)s"))
log.addHandler(h)
log.error("to a file")
logging.getLogger().addHandler(logging.handlers.MemoryHandler(10, target=logging.StreamHandler(sys.stdout)))
log.critical("kept until the end")
print("pid", logging.makeLogRecord({}).process)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("with its traceback")
