"""Certificates of a Docker engine behind TLS and of its clients."""

import subprocess
from pathlib import Path


def make_certificates(folder: Path) -> Path:
    """What DOCKER_CERT_PATH holds (ca.pem, cert.pem, key.pem), and server.pem with its key for 127.0.0.1."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=ca", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, key, subject in (("server.pem", "server-key.pem", "/CN=engine"), ("cert.pem", "key.pem", "/CN=client")):
        openssl("req", "-x509", *new, "-subj", subject, "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", key, "-out", name)  # fmt: skip
    return folder
