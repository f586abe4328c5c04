"""Starts and stops the servers that `.ci/bench` measures, and reads their CPU time."""

import os
import resource
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def machine_busy():
    """Returns the time in seconds for which all processors together have been busy."""
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def used_by(pid):
    """Returns the CPU time in seconds that a process has used."""
    try:
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Process:
    """Runs a program on its own port."""

    def __init__(self, argv):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        argv = [part.replace("{port}", str(self.port)) for part in argv]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(argv, stdout=quiet, stderr=quiet if "-a" in argv else None)
        self.pid = self.process.pid

    def wait(self):
        deadline = time.monotonic() + 10
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError("the server does not listen") from None
                time.sleep(0.02)

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Running:
    """Runs a server, or the nodes of a cluster with their broker."""

    def __init__(self, server, serve):
        self.path, self.all, self.nodes = server["path"], [], []
        self.argv, self.broker = server["argv"] + serve, server.get("broker")

    def start(self, argv):
        self.all.append(Process(argv))
        self.all[-1].wait()
        return self.all[-1]

    def __enter__(self):
        try:
            if not self.broker:
                self.nodes = [self.start(self.argv)]
            else:
                url = f"nats://127.0.0.1:{self.start(self.broker).port}"
                join = lambda name: [*self.argv, "--cluster", url, "--node", name]
                self.nodes = [self.start(join(name)) for name in ("a", "b")]
                time.sleep(3)  # until the nodes have found each other
        except RuntimeError:
            self.__exit__()
            raise
        time.sleep(0.1)
        return self

    def __exit__(self, *_):
        for process in self.all:
            process.end()

    def options(self):
        """Returns the generator's options for the servers to connect to, and for the processes to measure."""
        urls = [f"ws://127.0.0.1:{node.port}{self.path}" for node in self.nodes]
        pids = [str(node.pid) for node in self.nodes]
        return [part for url in urls for part in ("--url", url)] + [
            part for pid in pids for part in ("--pid", pid)
        ]

    def used(self):
        return sum(used_by(process.pid) for process in self.all)
