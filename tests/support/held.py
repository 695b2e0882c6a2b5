"""A held task's runner, as a driver speaks to it: programs that are started in the container."""

import base64
import json
import struct
from dataclasses import dataclass, field

import requests


@dataclass
class Ended:
    """What a program wrote, and how it ended."""

    output: bytes = b""
    errors: bytes = b""
    end: dict = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.output.decode()


class Execution:
    """One program that runs; its frames are read as they are asked for."""

    def __init__(self, answer: requests.Response):
        self.answer = answer
        self.raw = answer.raw

    def frame(self) -> tuple[int, bytes]:
        header = self.read(5)
        return header[0], self.read(struct.unpack(">I", header[1:])[0])

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.raw.read(size - len(data))
            assert piece, f"the stream broke off after {data!r}"
            data += piece
        return data

    def finish(self) -> Ended:
        ended = Ended()
        while True:
            kind, payload = self.frame()
            if kind == 3:
                ended.end = json.loads(payload)
                assert not self.raw.read(1)
                return ended
            if kind == 1:
                ended.output += payload
            else:
                assert kind == 2
                ended.errors += payload

    def close(self) -> None:
        self.answer.close()


class Held:
    def __init__(self, info: dict):
        self.url = f"http://127.0.0.1:{info['runner_port']}"
        self.headers = {"Authorization": f"Bearer {info['runner_token']}"}
        self.count = 0

    def answers(self) -> bool:
        try:
            return requests.get(self.url + "/api/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    def post(self, path: str, headers: dict | None = None, **more) -> requests.Response:
        return requests.post(self.url + path, headers=self.headers if headers is None else headers, timeout=60, **more)

    def begin(self, *argv: str, **more) -> Execution:
        answer = self.try_to(*argv, **more)
        assert answer.status_code == 200, answer.text
        return Execution(answer)

    def try_to(self, *argv: str, **more) -> requests.Response:
        self.count += 1
        body = {"id": f"exec-{self.count}", "argv": list(argv), **more}
        if isinstance(body.get("input"), bytes):
            body["input"] = base64.b64encode(body["input"]).decode()
        return self.post("/api/exec", json=body, stream=True)

    def run(self, *argv: str, **more) -> Ended:
        return self.begin(*argv, **more).finish()

    def sh(self, script: str, **more) -> Ended:
        return self.run("/bin/sh", "-c", script, **more)

    def stop(self, name: str, **body) -> requests.Response:
        return self.post(f"/api/exec/{name}/stop", json=body)
