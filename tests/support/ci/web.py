"""A small HTTP server for fakes: routes, a record of every request, faults by order, and a list of violations.

Nothing here knows of a CI system. Python's standard library only."""
import collections
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse


class Request:
    def __init__(self, method, path, query, headers, body):
        self.method, self.path, self.query, self.headers, self.body = method, path, query, headers, body
        self.at = time.monotonic()

    def json(self):
        return json.loads(self.body or b"{}")

    def form_or_json(self):
        """What either kind of client sends; a list for a repeated or `x[]` field."""
        kind = (self.headers.get("Content-Type") or "").split(";")[0].strip()
        if kind == "application/json":
            return self.json()
        if kind == "application/x-www-form-urlencoded" or not kind:
            got = urllib.parse.parse_qs(self.body.decode(), keep_blank_values=True)
            return {k[:-2] if k.endswith("[]") else k: (v if k.endswith("[]") or len(v) > 1 else v[0])
                    for k, v in got.items()}
        raise Refusal(415, {"error": "content type %r" % kind})

    def __repr__(self):
        return "%s %s%s" % (self.method, self.path, "?" + urllib.parse.urlencode(self.query) if self.query else "")


class Refusal(Exception):
    def __init__(self, status, body=None, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


class Fault:
    """What happens to the next `times` requests whose line matches: a status, a closed connection, a delay. With `carried_out` it is the answer
    alone that is lost: the request does its work."""

    def __init__(self, pattern, status=None, body=None, headers=None, drop=False, delay=0.0, times=1, carried_out=False):
        self.pattern = re.compile(pattern)
        self.status, self.body, self.headers = status, body, headers or {}
        self.drop, self.delay, self.times = drop, delay, times
        self.carried_out = carried_out
        self.hits = 0


class Fake:
    """Subclasses set `routes`: [(method, regular expression of the path, function(self, request, *groups))].
    A handler returns (status, body[, headers]); a dict or list is sent as JSON, bytes as they are."""
    routes = []

    def __init__(self, host="127.0.0.1"):
        self.requests = []
        self.violations = []
        self.faults = []
        self.down = False                      # every connection is closed unanswered
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def setup(self):
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def handle_any(self):
                outer._handle(self)
            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):        # a peer that goes away is no event
                pass

        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = "http://%s:%d" % (host, self.port)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def violation(self, text):
        with self.lock:
            self.violations.append(text)

    def fault(self, *a, **kw):
        f = Fault(*a, **kw)
        with self.lock:
            self.faults.append(f)
        return f

    def count(self, pattern):
        p = re.compile(pattern)
        with self.lock:
            return sum(1 for r in self.requests if p.search(repr(r)))

    def wait(self, condition, timeout=30.0, what=""):
        """Waits until condition() is true; everything a handler changes wakes it."""
        end = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %.0f s: %s\nlast requests: %s" %
                                         (timeout, what, [repr(r) for r in self.requests[-12:]]))
                self.changed.wait(min(left, 0.25))
        return True

    # -- inside
    def _handle(self, h):
        size = int(h.headers.get("Content-Length") or 0)
        if (h.headers.get("Transfer-Encoding") or "").lower() == "chunked":
            body = b""
            while True:
                n = int(h.rfile.readline().split(b";")[0] or b"0", 16)
                body += h.rfile.read(n)
                h.rfile.readline()
                if n == 0:
                    break
        else:
            body = h.rfile.read(size) if size else b""
        parts = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        r = Request(h.command, parts.path, query, h.headers, body)
        with self.changed:
            self.requests.append(r)
            self.changed.notify_all()
            fault = None
            if self.down:
                fault = Fault("", drop=True)
            else:
                for f in self.faults:
                    if f.times != 0 and f.pattern.search(repr(r)):
                        f.times -= 1
                        f.hits += 1
                        fault = f
                        break
        if fault and fault.carried_out:
            self._answer(r)
        if fault:
            if fault.delay:
                time.sleep(fault.delay)
            if fault.drop:
                h.close_connection = True
                try:
                    h.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                return
            if fault.status:
                return self._send(h, fault.status, fault.body, fault.headers)
        answer = self._answer(r)
        with self.changed:
            self.changed.notify_all()
        self._send(h, *answer)

    def _answer(self, r):
        try:
            for method, pattern, function in self.routes:
                m = re.fullmatch(pattern, r.path)
                if m and method == r.method:
                    answer = function(self, r, *m.groups())
                    break
            else:
                if any(re.fullmatch(p, r.path) for _, p, _ in self.routes):
                    answer = (405, {"error": "405 Method Not Allowed"})
                else:
                    self.violation("no such endpoint: %r" % r)
                    answer = (404, {"error": "404 Not Found"})
        except Refusal as x:
            answer = (x.status, x.body, x.headers)
        except Exception as x:                                             # noqa: BLE001
            self.violation("%r made the fake fail: %r" % (r, x))
            answer = (500, {"error": repr(x)})
        return answer

    def _send(self, h, status, body=None, headers=None):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        elif isinstance(body, str):
            body = body.encode()
        body = body or b""
        try:
            h.send_response(status)
            for k, v in headers.items():
                h.send_header(k, v)
            if status != 204:
                h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            if h.command != "HEAD" and status != 204:
                h.wfile.write(body)
        except OSError:
            h.close_connection = True


Counter = collections.Counter
