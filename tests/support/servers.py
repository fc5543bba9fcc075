"""Fakes for the stack's servers: no process."""

import threading

from ops.stack.process import StackError


class FakeServer:
    """A server that runs, exits and falls silent as the test says; `log` is shared to see an order."""

    def __init__(self, name="fake", log=None):
        self.name = name
        self.log = [] if log is None else log
        self.address = f"127.0.0.1:{name}"
        self.pid = None
        self.returncode = None
        self.answers = True
        self.fails_to_start = False
        self.may_start = threading.Event()
        self.may_start.set()
        self.may_stop = threading.Event()
        self.may_stop.set()
        self._alive = False

    def start(self):
        self.log.append(f"start {self.name}")
        assert self.may_start.wait(10)
        if self.fails_to_start:
            raise StackError(f"{self.name} does not serve after 1 s: no room")
        self.pid = (self.pid or 100) + 1
        self.returncode = None
        self._alive = True
        self.log.append(f"{self.name} serves")

    def stop(self):
        self.log.append(f"stop {self.name}")
        assert self.may_stop.wait(10)
        self._alive = False

    def exit(self, code):
        self.returncode = code
        self._alive = False

    def running(self):
        return self._alive

    def healthy(self):
        return self._alive and self.answers
