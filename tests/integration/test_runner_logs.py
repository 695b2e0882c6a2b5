"""The logs of a job on their two ways out of the runner: /api/pull and /logs_ws."""

import base64
import datetime
import subprocess
import threading
import time

import pytest
import websocket
from support.runner_container import RunnerContainer


@pytest.fixture
def runner(image):
    with RunnerContainer(image) as container:
        yield container.wait_ready()


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


class Reader(threading.Thread):
    """A WebSocket client as the CLI has it, on a thread."""

    def __init__(self, runner, query: str = "", **options):
        super().__init__(daemon=True)
        self.output = bytearray()
        self.close_code = None
        self.opened = threading.Event()
        self.options = options
        self.app = websocket.WebSocketApp(
            f"ws://127.0.0.1:{runner.port}/logs_ws{query}",
            on_open=lambda _: self.opened.set(),
            on_message=self.take,
            on_close=self.closed,
        )
        self.start()

    def run(self):
        self.app.run_forever(**self.options)

    def take(self, _, message):
        assert isinstance(message, bytes)
        self.output += message

    def closed(self, _, code, message):
        self.close_code = code

    def result(self, limit: float = 30) -> bytes:
        self.join(limit)
        assert not self.is_alive()
        return bytes(self.output)


def test_a_reader_gets_every_byte_as_it_was_written_and_a_close_frame(runner):
    runner.submit(sh(r"printf 'one\n\033[1mtwo\033[0m\r\xff'; sleep 0.3; printf tail"))
    early = Reader(runner)
    assert early.opened.wait(5)
    runner.post("/api/run")
    raw = b"one\r\n\033[1mtwo\033[0m\r\xfftail"
    assert early.result() == raw
    assert early.close_code == 1000
    assert Reader(runner).result() == raw


def test_plain_text_is_what_a_person_would_see(runner):
    script = r"printf 'a\n\n\tb  \n10%%\r100%%\n\033[31mred\033[0m \033]8;;u\007link\033]8;;\007\n'; printf '\342\202'; sleep 0.3; printf '\254 end'"
    assert runner.run(sh(script)).text == "a\n\n\tb  \n100%\nred link\n€ end\n"


def test_lines_are_pulled_half_a_second_after_they_were_printed(runner):
    runner.start(sh("echo now; sleep 60"))
    began = time.monotonic()
    while not runner.pull()["job_logs"]:
        time.sleep(0.02)
    assert time.monotonic() - began < 2


def test_many_lines_are_pulled_once_each_and_in_order(runner):
    text = runner.run(sh("seq 1 300000"), limit=60).text
    assert text == "".join(f"{i}\n" for i in range(1, 300001))


def test_pages_are_cut_at_16_mebibytes_and_the_end_comes_last(runner):
    runner.start(sh("yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 40000000"))
    runner.wait_over(60)
    pages = []
    after = 0
    while True:
        page = runner.pull(after)
        pages.append(page)
        after = page["last_updated"]
        if not page["has_more"]:
            break
    sizes = [sum(len(base64.b64decode(event["message"])) for event in page["job_logs"]) for page in pages]
    # The last line, which had no end, has got one.
    assert len(pages) == 3 and sum(sizes) == 40_000_001 and max(sizes) <= 16 * 2**20
    assert [[state["state"] for state in page["job_states"]] for page in pages] == [["running"], [], ["done"]]
    assert runner.wait() == 0


def test_start_time_leaves_out_what_is_older(runner):
    runner.start(sh("echo old; sleep 3; echo new; sleep 60"))
    runner.wait_output("new")
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1.5)
    reader = Reader(runner, "?start_time=" + when.isoformat().replace("+", "%2B"))
    time.sleep(1)
    runner.post("/api/stop")
    assert reader.result() == b"new\r\n^C"


def test_a_bad_start_time_is_refused(runner):
    reader = Reader(runner, "?start_time=yesterday")
    assert reader.result() == b""
    assert reader.close_code == 1003


def test_pings_are_answered_while_output_is_sent(runner):
    runner.start(sh("i=0; while [ $i -lt 300 ]; do seq 1 1000; i=$((i+1)); sleep 0.01; done"))
    reader = Reader(runner, ping_interval=1, ping_timeout=0.9)
    assert len(reader.result(60)) == 300 * (3893 + 1000)
    assert reader.close_code == 1000


def test_the_runner_waits_for_readers_that_are_on_their_way(runner):
    runner.submit(sh("head -c 30000000 /dev/zero"))
    slow = websocket.create_connection(f"ws://127.0.0.1:{runner.port}/logs_ws")
    runner.post("/api/run")
    runner.result()
    size = 0
    while data := slow.recv():
        size += len(data)
        if size < 3_000_000:
            assert runner.running
    assert size == 30_000_000
    assert runner.wait() == 0


def test_past_the_quota_the_job_is_killed_and_nothing_more_is_kept(runner):
    result = runner.run(sh("yes; sleep 60"), log_quota_hour=100_000)
    assert result.end["termination_reason"] == "log_quota_exceeded"
    assert result.end["termination_message"] == "Job log output exceeded the hourly quota of 100000 bytes"
    assert len(result.text) == 100_000


@pytest.mark.release
def test_the_runner_stays_small_whatever_the_job_prints(runner):
    runner.submit(sh("head -c 300000000 /dev/zero"))
    reader = Reader(runner)
    deaf = [websocket.create_connection(f"ws://127.0.0.1:{runner.port}/logs_ws") for _ in range(20)]
    runner.post("/api/run")
    while len(reader.output) < 250_000_000:
        time.sleep(0.1)
    pid = int(subprocess.check_output(["docker", "inspect", "-f", "{{.State.Pid}}", runner.name]))
    with open(f"/proc/{pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    assert peak < 16 * 1024
    for each in deaf:
        each.close()
