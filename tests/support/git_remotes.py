"""Git remotes on loopback: the git program behind https with basic auth, and behind sshd with a deploy key."""

import base64
import os
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.processes import free_port, wait_until

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    # As safe.directory needs a configuration, and submodules by path are what a test's own repositories are made of.
    "GIT_CONFIG_COUNT": "3",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "protocol.file.allow",
    "GIT_CONFIG_VALUE_1": "always",
    "GIT_CONFIG_KEY_2": "uploadpack.allowAnySHA1InWant",
    "GIT_CONFIG_VALUE_2": "true",
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Repository:
    """A repository with a working folder, which remotes serve as it is."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "main")

    def commit(self, **files: str) -> str:
        """Writes files, dots in names as _dot_, and commits all there is; the commit's hash."""
        for name, content in files.items():
            path = self.path / name.replace("_dot_", ".").replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", "commit")
        return git(self.path, "rev-parse", "HEAD")

    def add_submodule(self, url: str, commit_of: "Repository", path: str) -> None:
        """With this very url in .gitmodules, which need not lead anywhere from here."""
        git(self.path, "submodule", "add", "-q", str(commit_of.path), path)
        git(self.path, "config", "-f", ".gitmodules", f"submodule.{path}.url", url)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "-m", "submodule")


class Authority:
    """A private CA and one server certificate for loopback."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        self.server = folder / "server.pem"
        key, request, extensions = folder / "key", folder / "request", folder / "extensions"
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run = lambda *command: subprocess.run(list(command), check=True, capture_output=True)
        run(*new, "-x509", "-subj", "/CN=test CA", "-days", "2", "-keyout", key, "-out", self.certificate)
        run(*new, "-subj", "/CN=localhost", "-keyout", folder / "server.key", "-out", request)
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2\n")
        signed = folder / "signed"
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", key, "-days", "2",
            "-extfile", extensions, "-out", signed)  # fmt: skip
        self.server.write_bytes(signed.read_bytes() + (folder / "server.key").read_bytes())


class TlsServer(ThreadingHTTPServer):
    """Every connection has its handshake on its own thread, so that none holds the others up."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, handler, context: ssl.SSLContext):
        super().__init__(("127.0.0.1", 0), handler)
        self.context = context
        # A connection that is gone before it is accepted would block the only thread that accepts.
        self.socket.settimeout(1)

    def finish_request(self, request, client_address):
        request.settimeout(60)
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request, client_address):
        """A client that does not trust the certificate goes away; its test knows."""


class GitHttps:
    """https://127.0.0.1:port/name for each repository below a folder; with a token, only who knows it gets in."""

    def __init__(self, root: Path, authority: Authority, token: str | None = None):
        remote = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def respond(self):
                body = self.body()
                login = self.headers.get("Authorization", "")
                remote.logins.append(base64.b64decode(login.removeprefix("Basic ")).decode())
                if token is not None and remote.logins[-1].partition(":")[2] != token:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                environment = {
                    **ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                }
                done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = respond

        self.logins: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.server)
        self.server = TlsServer(Handler, context)
        self.port = self.server.server_port
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "GitHttps":
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class GitSsh:
    """ssh://root@127.0.0.1:port/path for every repository, to who has the deploy key."""

    def __init__(self, folder: Path, kind: str = "ed25519", pem: bool = False):
        folder.mkdir()
        self.port = free_port()
        self.url = f"ssh://root@127.0.0.1:{self.port}"
        generate = ["ssh-keygen", "-q", "-N", ""]
        subprocess.run([*generate, "-t", "ed25519", "-f", folder / "host"], check=True)
        subprocess.run([*generate, "-t", kind, *(["-m", "PEM"] if pem else []), "-f", folder / "deploy"], check=True)
        self.key = (folder / "deploy").read_text()
        variables = " ".join(f'{name}="{value}"' for name, value in ENVIRONMENT.items() if name.startswith("GIT_CONFIG"))
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/deploy.pub\n"
            f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv {variables}\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.log_path = folder / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")], stderr=log)
        wait_until(lambda: "Server listening" in self.log_path.read_text(), "sshd")

    def __enter__(self) -> "GitSsh":
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class ConnectProxy:
    """An HTTP proxy that knows CONNECT only, and remembers where to."""

    def __init__(self):
        self.targets: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client: socket.socket):
        with client, client.makefile("rb") as lines:
            target = lines.readline().split()[1].decode()
            while lines.readline().strip():
                pass
            self.targets.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self.copy, args=[server, client])
                back.start()
                self.copy(client, server)
                back.join()

    @staticmethod
    def copy(source: socket.socket, target: socket.socket):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self) -> "ConnectProxy":
        return self

    def __exit__(self, *_):
        self.listener.close()
