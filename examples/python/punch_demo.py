"""Master, host, client and a lobby list in one process, on real sockets. Prints what came back to the client.

    python3 punch_demo.py

Builds the shared library with cc unless GMPUNCH_LIBRARY names one.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

import gmpunch
from gmpunch import EventType

IP = "127.0.0.1"
SHARED_LIBRARY = Path(__file__).resolve().parent.parent / "shared_library.sh"


def demo() -> str:
    """Returns the echoed text."""
    end = time.monotonic() + 15
    with gmpunch.Master(gmpunch.MasterConfig(bind_address=IP, any_port=True)) as master:
        address = str(master.local_address())
        with gmpunch.Host(gmpunch.HostConfig(master=address, bind_address=IP, data=["demo", "Python"])) as host:
            while not any(event.type == EventType.HOST_ADDED for event in master.events(1)):
                list(host.events(1))
                if time.monotonic() > end:
                    raise TimeoutError("the host is not registered")
            lobby = gmpunch.Lobby(gmpunch.LobbyConfig(master=address, filter=["demo"]))
            client = gmpunch.Client(gmpunch.ClientConfig(master=address, server=IP, bind_address=IP))
            with lobby, client:
                return play(master, host, lobby, client, end)


def play(master: gmpunch.Master, host: gmpunch.Host, lobby: gmpunch.Lobby, client: gmpunch.Client, end: float) -> str:
    echoed, listed = "", False
    while not (echoed and listed):
        # Each waits a moment in turn: one thread for all. A game waits for none, once per frame.
        list(master.events(1))
        for event in host.events(1):
            if event.type == EventType.DATA:
                host.send(event.peer, event.data)
        for event in lobby.events(1):
            if event.type == EventType.LOBBY_ENTRY:
                print("lobby:", event.address, *filter(None, event.strings))
            listed = listed or event.type == EventType.LOBBY_DONE
            if event.type == EventType.FAILED:
                raise RuntimeError(event.reason.text)
        for event in client.events(1):
            if event.type == EventType.CONNECTED:
                print("connected to", event.address, event.how.name.lower())
                client.send("hello from Python".encode())
            elif event.type == EventType.DATA:
                echoed = event.data.decode()
            elif event.type in (EventType.FAILED, EventType.LOST):
                raise RuntimeError(event.reason.text)
        if time.monotonic() > end:
            raise TimeoutError("the demo did not come to its end")
    return echoed


def main() -> int:
    if "GMPUNCH_LIBRARY" not in os.environ:
        gmpunch.load(subprocess.run([str(SHARED_LIBRARY)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    print("echo:", demo())
    return 0


if __name__ == "__main__":
    sys.exit(main())
