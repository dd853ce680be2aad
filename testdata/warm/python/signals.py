#!/usr/bin/python3
# trial: state
# trial: pipe
# trial: term
# trial: segv
# trial: handler
# trial: alarm
# trial: interrupt
# trial: child
# Signals are as in a new process: none blocked, the usual handlers.
import os
import signal
import subprocess
import sys
import time

how = os.environ["QUERY_STRING"]
print("Content-Type: text/plain\n", flush=True)


def state():
    with open("/proc/self/status") as f:
        return [line.strip() for line in f if line.startswith(("Sig", "Shd", "NoNewPrivs", "Seccomp:", "Threads"))][-8:]


if how == "state":
    print("\n".join(line for line in state() if not line.startswith("SigQ")))
    for n in range(1, 65):
        try:
            print(n, signal.getsignal(n))
        except ValueError as e:
            print(n, e)
    print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending(), signal.getitimer(signal.ITIMER_REAL))
    print(signal.set_wakeup_fd(-1))
elif how == "pipe":
    r, w = os.pipe()
    os.close(r)
    try:
        os.write(w, b"x")
    except BrokenPipeError as e:
        print(e)
    out = subprocess.run(["/bin/sh", "-c", "grep Sig[BI] /proc/self/status"], stdout=subprocess.PIPE).stdout
    print(out.decode())
elif how == "term":
    os.kill(os.getpid(), signal.SIGTERM)
elif how == "segv":
    os.kill(os.getpid(), signal.SIGSEGV)
elif how == "handler":
    signal.signal(signal.SIGUSR1, lambda n, frame: print("got", n, frame.f_code.co_name))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(0, signal.SIGUSR1)
elif how == "alarm":
    signal.signal(signal.SIGALRM, lambda *a: sys.exit("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    time.sleep(30)
elif how == "interrupt":
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
elif how == "child":
    p = subprocess.Popen(["/bin/sleep", "30"])
    p.terminate()
    print(p.wait(), signal.getsignal(signal.SIGCHLD))
    try:
        print(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError as e:
        print(e)
print("end")
