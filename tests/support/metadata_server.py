"""The metadata services of AWS, Azure and Google Cloud, as a virtual machine sees them at 169.254.169.254. Each refuses what
the real one refuses: a request without its token or header, one that came through a proxy, another method."""

import http.server
import json
import threading
import time
from datetime import UTC, datetime

# What the firmware of a virtual machine says in /sys/class/dmi/id.
FIRMWARE = {
    "aws": {"sys_vendor": "Amazon EC2", "product_name": "p4d.24xlarge", "bios_version": "1.0", "chassis_asset_tag": "Amazon EC2"},
    "gcp": {"sys_vendor": "Google", "product_name": "Google Compute Engine", "bios_version": "Google", "chassis_asset_tag": ""},
    "azure": {
        "sys_vendor": "Microsoft Corporation",
        "product_name": "Virtual Machine",
        "bios_version": "Hyper-V UEFI Release v4.1",
        "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
    },
}


class MetadataServer:
    """One machine's service. `interrupt` makes it give notice; `hang` lets it take connections and answer nothing.
    `action` is AWS's, `kind` that of Azure's event; `maintenance` is Google's event, `rebalance` AWS's recommendation."""

    def __init__(self, cloud: str):
        self.cloud = cloud
        self.down_at: float | None = None
        self.hang = False
        self.action = "terminate"
        self.kind = "Preempt"
        self.maintenance = "NONE"
        self.rebalance = False
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.tokens: set[str] = set()
        self._stopped = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.answer(self)

            do_PUT = do_GET
            do_POST = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def interrupt(self, seconds: float) -> None:
        self.down_at = time.time() + seconds

    def answer(self, request) -> None:
        self.asked.append(f"{request.command} {request.path}")
        if self.hang:
            self._stopped.wait()
            return
        if "X-Forwarded-For" in request.headers or "Via" in request.headers:
            status, body, headers = 403, "", {}
        else:
            status, body, headers = getattr(self, f"_{self.cloud}")(request)
        if status not in (200, 404):
            self.refused.append(f"{request.command} {request.path}: {status}")
        data = body.encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def _aws(self, request):
        headers = {"Content-Type": "text/plain", "Server": "EC2ws"}
        if request.path == "/latest/api/token":
            life = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if request.command != "PUT":
                return 405, "", headers
            if not life.isdigit() or not 1 <= int(life) <= 21600:
                return 400, "", headers
            token = f"AQAEA-token-{len(self.tokens)}=="
            self.tokens.add(token)
            return 200, token, {**headers, "X-aws-ec2-metadata-token-ttl-seconds": life}
        if request.command != "GET":
            return 405, "", headers
        if request.headers.get("X-aws-ec2-metadata-token") not in self.tokens:
            return 401, "", headers
        if request.path == "/latest/meta-data/events/recommendations/rebalance" and self.rebalance:
            return 200, json.dumps({"noticeTime": "2026-11-28T10:00:00Z"}), headers
        if request.path != "/latest/meta-data/spot/instance-action" or self.down_at is None:
            return 404, "<?xml version='1.0'?><html><body><h1>404 - Not Found</h1></body></html>", headers
        moment = datetime.fromtimestamp(self.down_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, json.dumps({"action": self.action, "time": moment}), headers

    def _gcp(self, request):
        headers = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM", "Content-Type": "application/text"}
        if request.headers.get("Metadata-Flavor") != "Google":
            return 403, "Missing Metadata-Flavor:Google header.", headers
        if request.command != "GET":
            return 405, "", headers
        if request.path == "/computeMetadata/v1/instance/preempted":
            return 200, "FALSE" if self.down_at is None else "TRUE", headers
        if request.path == "/computeMetadata/v1/instance/maintenance-event":
            return 200, self.maintenance, headers
        return 404, "", headers

    def _azure(self, request):
        headers = {"Content-Type": "application/json; charset=utf-8", "Server": "IMDS/150.870.65.1854"}
        path, _, query = request.path.partition("?")
        if request.headers.get("Metadata") != "true":
            return 400, json.dumps({"error": "Bad request. Required metadata header not specified"}), headers
        if "api-version=" not in query:
            return 400, json.dumps({"error": "Bad request. api-version was not specified in the request"}), headers
        if path == "/metadata/instance/compute/name" and "format=text" in query:
            return 200, "worker_3", {**headers, "Content-Type": "text/plain; charset=utf-8"}
        if path != "/metadata/scheduledevents":
            return 404, "", headers
        # Those of other machines of its set are there as well, and events that only freeze it for a moment.
        events = [self._event("1", "Preempt", "worker_1", time.time() + 30), self._event("2", "Freeze", "worker_3", time.time() + 900)]
        if self.down_at is not None:
            events.append(self._event("3", self.kind, "worker_3", self.down_at))
        return 200, json.dumps({"DocumentIncarnation": 3, "Events": events}), headers

    @staticmethod
    def _event(number: str, kind: str, machine: str, moment: float) -> dict:
        return {
            "EventId": f"A123BC45-1234-5678-AB90-ABCDEF12345{number}",
            "EventStatus": "Scheduled",
            "EventType": kind,
            "ResourceType": "VirtualMachine",
            "Resources": [machine],
            "NotBefore": datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "Description": "",
            "EventSource": "Platform",
            "DurationInSeconds": -1,
        }

    def __enter__(self) -> "MetadataServer":
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self.server.shutdown()
        self.server.server_close()
