"""The bare engine, on a connection that stays."""

import http.client
import json
import socket
from pathlib import Path


class Engine:
    def __init__(self, path: str = "/var/run/docker.sock"):
        self.connection = http.client.HTTPConnection("docker")
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(path)

    def call(self, method: str, path: str, body=None) -> bytes:
        data = None if body is None else json.dumps(body)
        self.connection.request(method, "/v1.41" + path, data, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
        return text

    def inspect(self, container: str) -> dict:
        return json.loads(self.call("GET", f"/containers/{container}/json"))

    def body_like(self, container: str, folder: Path) -> dict:
        """What makes the same container once more, with `folder` as the runner's."""
        seen = self.inspect(container)
        config, host = seen["Config"], seen["HostConfig"]
        body = {key: config[key] for key in ("Image", "User", "Env", "Entrypoint", "Cmd", "ExposedPorts") if key in config}
        body["HostConfig"] = {key: host[key] for key in ("Mounts", "NetworkMode", "PortBindings", "LogConfig")}
        body["HostConfig"]["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in host["PortBindings"] or {}}
        for mount in body["HostConfig"]["Mounts"]:
            if mount["Target"] == "/tmp/runner":
                mount["Source"] = str(folder)
        return body

    def start(self, body: dict) -> str:
        container = json.loads(self.call("POST", "/containers/create", body))["Id"]
        self.call("POST", f"/containers/{container}/start")
        return container

    def port_of(self, container: str) -> int | None:
        """Where the runner's port is published; None in the host's network."""
        ports = self.inspect(container)["NetworkSettings"]["Ports"].get("10999/tcp")
        return int(ports[0]["HostPort"]) if ports else None

    def kill(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/kill")
        self.call("POST", f"/containers/{container}/wait")

    def remove(self, container: str) -> None:
        self.call("DELETE", f"/containers/{container}?force=1&v=1")
