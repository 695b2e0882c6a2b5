"""A TCP proxy in front of the registry: it passes everything on, slowly, or accepts connections and stays silent, or closes them at once."""

import contextlib
import socket
import threading
import time

# Of a slow registry: so many bytes, then a pause.
PIECE, PAUSE = 16 << 10, 0.05


class Proxy:
    def __init__(self, target: tuple[str, int]):
        self.target = target
        self.mode = "open"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connection, args=(client,), daemon=True).start()

    def connection(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.mode == "dead":
                return
            with socket.create_connection(self.target) as server:
                back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
                back.start()
                self.copy(client, server)
                back.join()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                while self.mode == "silent":
                    time.sleep(0.1)
                if self.mode == "dead":
                    break
                if self.mode == "slow":
                    time.sleep(PAUSE)
                target.sendall(piece)
        # The other direction ends with this one.
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
