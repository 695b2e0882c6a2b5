"""A DNS server that gives one address for every name, slowly, or not at all."""

import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ADDRESS = "127.0.77.53"
A, IN, TTL = 1, 1, 1


def answer_to(query: bytes, address: str) -> bytes:
    """`address` for a question of type A, and no records for any other type."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    question = query[12 : end + 5]
    wants_address = struct.unpack("!H", question[-4:-2])[0] == A
    header = query[:2] + struct.pack("!HHHHH", 0x8580, 1, int(wants_address), 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, IN, TTL, 4) + socket.inet_aton(address)
    return header + question + (record if wants_address else b"")


class Dns:
    def __init__(self, address: str = "127.0.0.1"):
        self.answer = address
        self.delay: float | None = 0  # seconds; None: never answers
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, 53))
        self.pool = ThreadPoolExecutor(32)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            query, client = self.socket.recvfrom(4096)
            if self.delay is not None and len(query) > 16:
                self.pool.submit(self.reply, query, client, self.delay)

    def reply(self, query: bytes, client, delay: float) -> None:
        time.sleep(delay)
        self.socket.sendto(answer_to(query, self.answer), client)
