#!/usr/bin/python3
# mask: (?m)^(?:ppid|pid) (\d+)$
# What the process is: its session, group, folder, limits, and no terminal.
import os
import resource
import sys
import threading
import time

print("Content-Type: text/plain\n")
print("pid", os.getpid())
print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid(), threading.get_native_id() == os.getpid())
print(os.getppid() > 1, os.getppid() != os.getpid(), os.kill(os.getppid(), 0))
print(os.getcwd() == os.path.dirname(os.path.abspath(__file__)), os.path.exists(os.path.basename(__file__)))
print(oct(os.umask(0)), os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), os.nice(0))
try:
    open("/dev/tty")
except OSError as e:
    print(e)
for n in range(3):
    print(n, os.isatty(n))
try:
    os.setsid()
except OSError as e:
    print(e)
try:
    os.getlogin()
except OSError as e:
    print(type(e).__name__)
for name in sorted(n for n in dir(resource) if n.startswith("RLIMIT_")):
    print(name, resource.getrlimit(getattr(resource, name)))
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(u.ru_utime, u.ru_stime, u.ru_maxrss, sum(os.times()[2:4]))
print(time.process_time() < 5, sum(os.times()[:2]) < 5)
print(len(os.sched_getaffinity(0)), os.sched_getscheduler(0))
with open("/proc/self/oom_score_adj") as f:
    print(f.read().strip())
with open("/proc/self/comm") as f:
    print(f.read().strip())
print(os.readlink("/proc/self/exe") == os.path.realpath(sys.executable), os.readlink("/proc/self/cwd") == os.getcwd(), os.readlink("/proc/self/root"))
print(threading.active_count(), threading.current_thread().name, threading.current_thread() is threading.main_thread(), threading.current_thread().daemon)
print(os.cpu_count() > 0, os.listdir("/proc/self/task") == [str(os.getpid())])
