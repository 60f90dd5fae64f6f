"""The connections between the machines of one training: meeting, agreeing, noticing a loss."""

import base64
import contextlib
import json
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

# Seconds between signs of life, without one until a machine counts as lost, and from then on
# until a process that still waits for it ends itself.
_BEAT, _SILENCE, _GRACE = 2.0, 60.0, 20.0
# Bytes of a message from a process that is not known yet.
_FIRST = 2**16


class MachineLost(ConnectionError):
    """A machine of the training ended, or cannot be reached any more."""


class Wire:
    """Messages over one connection: a length, then JSON."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        """Send a message; a connection that is gone is noticed by who reads from it."""
        content = json.dumps(message).encode()
        with self._lock, contextlib.suppress(OSError):
            self.connection.sendall(struct.pack(">Q", len(content)) + content)

    def receive(self, seconds: float, largest: int | None = None) -> dict[str, Any]:
        """Return the next message; raise OSError where none comes, ValueError if it is none."""
        self.connection.settimeout(seconds)
        (length,) = struct.unpack(">Q", self._read(8))
        if largest is not None and length > largest:
            raise ValueError("the message is too long")
        message = json.loads(self._read(length))
        if not isinstance(message, dict):
            raise ValueError("the message is no object")
        return message

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self.connection.recv(min(count - len(parts), 2**20))
            if not part:
                raise ConnectionError("closed")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def listen(port: int) -> socket.socket:
    """Return a socket that listens at a port of this machine, by IPv6 too where there is it."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, reuse_port=False
            )
        return socket.create_server(("", port))
    except OSError as error:
        raise OSError(
            f"Machine 0 cannot listen at port {port}: {os.strerror(error.errno or 0)}; choose a "
            f"free port and give it to all machines. Received: port={port}"
        ) from None


def gather(
    server: socket.socket, count: int, mine: dict[str, Any], seconds: float
) -> dict[int, Wire]:
    """Return the connections to machines 1 to count - 1, once all have come and agree.

    Args:
        server: A listening socket.
        count: Number of machines.
        mine: What machine 0 was started with; the others must say the same.
        seconds: How long to wait.
    """
    wires: dict[int, Wire] = {}
    end = time.monotonic() + seconds
    try:
        while len(wires) < count - 1:
            server.settimeout(max(0.01, end - time.monotonic()))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = [str(i) for i in range(1, count) if i not in wires]
                raise OSError(
                    f"Of {count} machines, {', '.join(missing)} did not come within {seconds:g} "
                    "seconds; start the command on each with the same --machines and its own "
                    f"--machine. Received: {len(wires) + 1} of {count} machines"
                ) from None
            wire = Wire(connection)
            try:
                hello = wire.receive(10.0, _FIRST)
                index = hello["machine"]
            except (OSError, ValueError, KeyError):
                wire.close()  # something else that tries ports
                continue
            problem = _difference(index, hello["started"], mine)
            if index in wires or not isinstance(index, int) or not 0 < index < count:
                problem = (
                    f"Each of {count} machines needs a number of its own from 0 to {count - 1}. "
                    f"Received: --machine {index} from two of them"
                )
            if problem:
                for known in (wire, *wires.values()):
                    known.send(problem=problem)
                wire.close()
                raise ValueError(problem)
            wires[index] = wire
    except BaseException as error:
        for wire in wires.values():
            wire.send(problem=str(error) or "Machine 0 was stopped.")
            wire.close()
        raise
    return wires


def join(host: str, port: int, index: int, mine: dict[str, Any], seconds: float) -> Wire:
    """Return the connection to machine 0, whenever within `seconds` it begins to listen."""
    end, reason = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            wire = Wire(socket.create_connection((host, port), timeout=5.0))
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(0.2)
            continue
        wire.send(machine=index, started=mine)
        return wire
    raise OSError(
        f"Machine 0 did not answer at {host}:{port} within {seconds:g} seconds: {reason}; start "
        "the command there too, and look at the address, which must be the first of --machines. "
        f"Received: {host}:{port}"
    )


def _difference(index: Any, theirs: Any, mine: dict[str, Any]) -> str | None:
    """Return the sentence on the first thing in which two machines differ, or None."""
    theirs = theirs if isinstance(theirs, dict) else {}
    for name in sorted({*mine, *theirs}):
        if theirs.get(name) != mine.get(name):
            return (
                f"All machines must be started alike, and {name} differs. Received: "
                f"{name}={mine.get(name)!r} on machine 0, {theirs.get(name)!r} on machine {index}"
            )
    return None


class Link:
    """What one machine knows of the others while a training runs.

    Args:
        index: Number of this machine.
        wires: Connections by the number of the machine at the other end: those to all others on
            machine 0, the one to machine 0 elsewhere.
        cleared: Called before this process ends itself.
    """

    def __init__(
        self, index: int, wires: dict[int, Wire], cleared: Callable[[], None] = lambda: None
    ):
        self.index, self.wires, self.cleared = index, wires, cleared
        self.lost: str | None = None
        self._noticed, self._over = threading.Event(), threading.Event()
        self._messages: dict[int, queue.Queue] = {number: queue.Queue() for number in wires}
        self._listeners = [
            threading.Thread(target=self._listen, args=(number,), daemon=True) for number in wires
        ]
        for thread in (*self._listeners, threading.Thread(target=self._beat, daemon=True)):
            thread.start()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            for wire in self.wires.values():
                wire.send(beat=1)

    def _listen(self, number: int) -> None:
        done = False
        while True:
            try:
                message = self.wires[number].receive(_SILENCE)
            except TimeoutError:
                self._lose(f"machine {number} has not been heard of for {_SILENCE:g} seconds")
                return
            except (OSError, ValueError):
                if not done:
                    # Where machine 0 ends, JAX aborts the others; they had better say why.
                    self._lose(f"machine {number} ended", 0.0 if number == 0 else _GRACE)
                return
            done = done or "done" in message
            if "lost" in message:
                self._lose(message["lost"])
            elif "beat" not in message:
                # All stop by themselves, each with the same sentence: from here on, an end of
                # another machine is no loss.
                if message.get("problem"):
                    self._over.set()
                self._messages[number].put(message)

    def _lose(self, what: str, grace: float = _GRACE) -> None:
        """Note that a machine is lost, tell the others, and see to it that this process ends."""
        if self._over.is_set() or self.lost is not None:
            return
        self.lost = what
        for wire in self.wires.values():
            wire.send(lost=what)
        for messages in self._messages.values():
            messages.put({})
        self._noticed.set()
        threading.Thread(target=self._end, args=(grace,), daemon=True).start()

    def _end(self, grace: float) -> None:
        if not self._over.wait(grace):
            os.write(2, f"{self.sentence()}\n".encode())
            self.cleared()
            os._exit(2)

    def sentence(self) -> str:
        """Return what is said when a machine is lost."""
        return (
            f"Training stopped, since {self.lost}; start the command on all machines with "
            f"--resume to go on from the last checkpoint. Received: machine {self.index} alone"
        )

    def check(self, seconds: float = 0.0) -> None:
        """Raise if a machine was lost, or is found lost within `seconds`."""
        self._noticed.wait(seconds)
        if self.lost is not None:
            raise MachineLost(self.sentence())

    def _next(self, number: int, seconds: float = 600.0) -> dict[str, Any]:
        try:
            message = self._messages[number].get(timeout=seconds)
        except queue.Empty:
            raise MachineLost(
                f"Machine {number} did not answer within {seconds:g} seconds. "
                f"Received: machine {self.index} alone"
            ) from None
        self.check()
        return message

    def agree(self, mine: dict[str, Any]) -> None:
        """Raise on all machines unless all say the same.

        Args:
            mine: What this machine found; values that JSON can hold.
        """
        mine = json.loads(json.dumps(mine))
        if self.index:
            self.wires[0].send(mine=mine)
            problem = self._next(0).get("problem")
        else:
            said = {number: self._next(number)["mine"] for number in self.wires}
            found = (_difference(number, theirs, mine) for number, theirs in said.items())
            problem = next((one for one in found if one), None)
            if problem:
                self._over.set()  # before the others know, since they may end at once
            for wire in self.wires.values():
                wire.send(problem=problem)
        if problem:
            raise ValueError(problem)

    def finish(self) -> None:
        """Wait until all machines have trained to the end."""
        for wire in self.wires.values():
            wire.send(done=1)
        for number in self.wires:
            self._next(number)

    def leave(self, why: str) -> None:
        """Tell the others that this machine does not go on, unless they know."""
        if self._over.is_set():
            return
        self._over.set()
        for wire in self.wires.values():
            wire.send(lost=f"machine {self.index} stopped: {why}")

    def close(self, stop: Callable[[], None]) -> None:
        """Stop and close the connections, machine 0 after all others.

        Args:
            stop: Leaves what all machines are in together, and machine 0 is the center of.
        """
        self._over.set()
        if self.index == 0:
            end = time.monotonic() + 10.0
            for thread in self._listeners:
                thread.join(max(0.0, end - time.monotonic()))
        stop()
        for wire in self.wires.values():
            wire.close()


def pack(read: Callable[[str], bytes], names: list[str]) -> dict[str, str]:
    """Return files as text."""
    return {name: base64.b64encode(read(name)).decode() for name in names}


def unpack(files: dict[str, str]) -> dict[str, bytes]:
    """Return files from text; refuse names that lead out of a folder."""
    if any(os.path.isabs(name) or ".." in name.split("/") for name in files):
        raise ValueError("Machine 0 sent a file that belongs to no run directory.")
    return {name: base64.b64decode(content) for name, content in files.items()}
