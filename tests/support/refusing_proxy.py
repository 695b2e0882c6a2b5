"""A proxy in front of a shim that answers some requests with 500 in its place."""

import http.server
import threading

import requests


class RefusingProxy:
    """`refusals` is how many POSTs to a path with this ending are still to be refused."""

    def __init__(self, url: str, refusals: dict[str, int]):
        self.refusals = dict(refusals)
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.command == "POST" and proxy.refuses(self.path):
                    return self.answer(500, "text/plain", b"umount /mnt/v: Device or resource busy (it is tried again)\n")
                headers = {"Content-Type": self.headers["Content-Type"]} if "Content-Type" in self.headers else {}
                answer = requests.request(self.command, url + self.path, data=body, headers=headers, timeout=60)
                self.answer(answer.status_code, answer.headers.get("Content-Type", "text/plain"), answer.content)

            def answer(self, status: int, content_type: str, body: bytes):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = forward

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def refuses(self, path: str) -> bool:
        for ending, left in self.refusals.items():
            if path.endswith(ending) and left > 0:
                self.refusals[ending] = left - 1
                return True
        return False

    def __enter__(self) -> "RefusingProxy":
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
