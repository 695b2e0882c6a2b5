"""An SSH agent that holds a security key (FIDO), by software: it signs as the token would that nobody has here."""

import base64
import hashlib
import socket
import struct
import threading
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

APPLICATION = b"ssh:"
TOUCHED = 1  # the flag that a person was there


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def number(value: int) -> bytes:
    return text(value.to_bytes(value.bit_length() // 8 + 1, "big"))


class SecurityKeyAgent:
    """Serves on `folder`/agent while it is used as a context manager. `kind` is ed25519 or ecdsa."""

    def __init__(self, folder: Path, kind: str):
        self.path = folder / "agent"
        if kind == "ed25519":
            self.type = b"sk-ssh-ed25519@openssh.com"
            self.secret = ed25519.Ed25519PrivateKey.generate()
            raw = self.secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.blob = text(self.type) + text(raw) + text(APPLICATION)
        else:
            self.type = b"sk-ecdsa-sha2-nistp256@openssh.com"
            self.secret = ec.generate_private_key(ec.SECP256R1())
            point = self.secret.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
            self.blob = text(self.type) + text(b"nistp256") + text(point) + text(APPLICATION)
        self.listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "SecurityKeyAgent":
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                while head := stream.read(4):
                    answer = self.answer(stream.read(struct.unpack(">I", head)[0]))
                    connection.sendall(text(answer))

    def answer(self, request: bytes) -> bytes:
        if request[0] == 11:  # which keys
            return bytes([12]) + struct.pack(">I", 1) + text(self.blob) + text(b"token")
        if request[0] != 13:  # anything but to sign
            return bytes([5])
        rest = request[1:]
        rest = rest[4 + struct.unpack(">I", rest[:4])[0] :]
        message = rest[4 : 4 + struct.unpack(">I", rest[:4])[0]]
        told = bytes([TOUCHED]) + struct.pack(">I", 1)
        return bytes([14]) + text(text(self.type) + text(self.sign(told, message)) + told)

    def sign(self, told: bytes, message: bytes) -> bytes:
        data = hashlib.sha256(APPLICATION).digest() + told + hashlib.sha256(message).digest()
        if isinstance(self.secret, ed25519.Ed25519PrivateKey):
            return self.secret.sign(data)
        r, s = decode_dss_signature(self.secret.sign(data, ec.ECDSA(hashes.SHA256())))
        return number(r) + number(s)

    def write_public(self, path: Path) -> Path:
        """As a .pub file, which is what a client is told to use."""
        path.write_text(f"{self.type.decode()} {base64.b64encode(self.blob).decode()} token\n")
        return path
