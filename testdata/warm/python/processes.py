#!/usr/bin/python3
# trial: fork
# trial: forkexit
# trial: double
# trial: pool
# trial: spawn
# trial: subprocess
# trial: executor
# trial: threads
# trial: asyncio
# trial: wait
# trial: exec
# trial: pipe
# trial: forkexception
import os
import subprocess
import sys

how = os.environ["QUERY_STRING"]


def square(n):
    return n * n


def main():
    print("Content-Type: text/plain\n", flush=True)
    if how == "fork":
        pid = os.fork()
        if pid == 0:
            print("child", os.getppid() > 1)
            sys.exit(3)
        print("parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if hasattr(os, "waitstatus_to_exitcode") else 3)
    elif how == "forkexit":
        if os.fork() == 0:
            os._exit(0)
        print(os.wait()[1])
    elif how == "double":
        r, w = os.pipe()
        if os.fork() == 0:
            if os.fork() == 0:
                os.write(w, b"from a grandchild")
                os._exit(0)
            os._exit(0)
        os.close(w)
        os.wait()
        print(os.read(r, 100))
    elif how in ("pool", "spawn"):
        import multiprocessing
        with multiprocessing.get_context("fork" if how == "pool" else "spawn").Pool(2) as pool:
            print(pool.map(square, range(5)))
    elif how == "subprocess":
        print(subprocess.run("echo out; echo err >&2; exit 4", shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv, __name__)"], stdout=subprocess.PIPE).stdout)
        print(subprocess.getstatusoutput("exit 3"), os.popen("echo popen").read())
    elif how == "executor":
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        with ThreadPoolExecutor(3) as e:
            print(list(e.map(square, range(4))))
        with ProcessPoolExecutor(2) as e:
            print(list(e.map(square, range(4))))
    elif how == "threads":
        import threading
        lock, total = threading.Lock(), []
        ts = [threading.Thread(target=lambda n=n: (lock.acquire(), total.append(n), lock.release())) for n in range(8)]
        [t.start() for t in ts]
        [t.join() for t in ts]
        print(sorted(total), threading.active_count(), ts[0].name)
    elif how == "asyncio":
        import asyncio

        async def work(n):
            await asyncio.sleep(0.001 * n)
            return n

        async def all_of_it():
            p = await asyncio.create_subprocess_exec("/bin/echo", "hello", stdout=subprocess.PIPE)
            return await asyncio.gather(*(work(n) for n in range(4))), await p.communicate()
        print(asyncio.run(all_of_it()))
    elif how == "wait":
        try:
            os.wait()
        except ChildProcessError as e:
            print(e)
    elif how == "exec":
        os.execve("/bin/sh", ["sh", "-c", "echo $0 $A $#; exit 9"], {"A": "only this"})
    elif how == "pipe":
        p = subprocess.Popen(["/usr/bin/tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        print(p.communicate(b"upper")[0], p.returncode)
    elif how == "forkexception":
        pid = os.fork()
        if pid == 0:
            raise ValueError("in the child")
        print(os.waitpid(pid, 0)[1])
    print("end")


if __name__ == "__main__":
    main()
