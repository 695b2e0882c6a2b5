"""A folder served over HTTP on loopback."""

import functools
import http.server
import threading
from pathlib import Path


class FolderServer:
    def __init__(self, folder: Path):
        self.requests: list[str] = []
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                server.requests.append(self.path)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "FolderServer":
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
