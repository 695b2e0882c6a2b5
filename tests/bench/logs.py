#!/usr/bin/env python3
"""Measures the runner's logs and holds each figure against its limit in the same run.

    tests/bench/logs.py BUILD_FOLDER [--megabytes 300] [--rounds 3] [--only NAME]

BUILD_FOLDER has bench_log_server and bench_log_reader (tests/bench) of a release build. Figures that depend on the
machine are compared with a bare loop that reads the same terminal and writes a file, run in turn with ours.
"""

import argparse
import base64
import json
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

LINE = "The quick brown fox jumps over the lazy dog 0123456789 0123456789"
failures = []


def check(name, figure, limit, unit, at_least=False):
    good = figure >= limit if at_least else figure <= limit
    print(f"{'ok  ' if good else 'FAIL'} {name}: {figure:.3f} {unit} ({'at least' if at_least else 'at most'} {limit})", flush=True)
    if not good:
        failures.append(name)


def text_job(megabytes):
    return ["sh", "-c", f"yes '{LINE}' | head -c {megabytes}000000"]


class LogServer:
    def __init__(self, programs, command):
        self.folder = tempfile.TemporaryDirectory(dir=programs)
        self.process = subprocess.Popen(
            [programs / "bench_log_server", self.folder.name, "0", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()

    def start_job(self):
        self.process.stdin.write("go\n")

    def job_end(self):
        """Seconds and bytes."""
        _, seconds, size = self.process.stdout.readline().split()
        return float(seconds), int(size)

    def figures(self):
        """Resident and peak memory in MB, CPU seconds."""
        self.process.stdin.write("figures\n")
        words = self.process.stdout.readline().split()
        return int(words[1]) / 1024, int(words[4]) / 1024, float(words[7])

    def pull(self, after=0):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/pull?timestamp={after}") as answer:
            return answer.read()

    def pull_all(self):
        """Plain text of all pages, following last_updated until has_more is false."""
        after, text = 0, []
        while True:
            page = json.loads(self.pull(after))
            text += [base64.b64decode(event["message"]) for event in page["job_logs"]]
            assert all(event["timestamp"] > after for event in page["job_logs"])
            after = page["last_updated"]
            if not page["has_more"]:
                return b"".join(text)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(b"GET /logs_ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        return connection


def bare(programs, command):
    with tempfile.NamedTemporaryFile(dir=programs) as file:
        output = subprocess.run([programs / "bench_log_server", "--bare", file.name, *command],
                                check=True, capture_output=True, text=True).stdout.split()
        return float(output[1]), int(output[2]), float(output[4])


def one_reader(programs, options):
    """The job's speed and the reader's against the bare loop; CPU and memory."""
    command = text_job(options.megabytes)
    job_ratios, reader_ratios, cpus, peaks = [], [], [], []
    for _ in range(options.rounds):
        bare_seconds, size, bare_cpu = bare(programs, command)
        with LogServer(programs, command) as server:
            reader = subprocess.Popen([programs / "bench_log_reader", str(server.port), "/logs_ws"],
                                      stdout=subprocess.PIPE, text=True)
            reader.stdout.readline()
            began = time.monotonic()
            server.start_job()
            seconds, _ = server.job_end()
            words = reader.communicate()[0].split()
            reader_seconds = time.monotonic() - began
            assert int(words[2]) == size, f"the reader got {words[2]} of {size} bytes"
            _, peak, cpu = server.figures()
        print(f"     bare {size / bare_seconds / 1e6:.1f} MB/s {bare_cpu / size * 1e9:.2f} CPU s/GB, job {size / seconds / 1e6:.1f} MB/s, "
              f"reader {size / reader_seconds / 1e6:.1f} MB/s, CPU {cpu / size * 1e9:.2f} s/GB, peak {peak:.1f} MB", flush=True)
        job_ratios.append(bare_seconds / seconds)
        reader_ratios.append(bare_seconds / reader_seconds)
        cpus.append(cpu / size * 1e9)
        peaks.append(peak)
    # The medians: other programs on the machine take their share of one run or the other.
    check("the job's speed of the bare loop's", statistics.median(job_ratios), 0.9, "", at_least=True)
    check("the reader's speed of the bare loop's", statistics.median(reader_ratios), 0.8, "", at_least=True)
    check("CPU for raw log, plain text and a reader", statistics.median(cpus), 8, "s/GB")
    check("memory with one reader", max(peaks), 16, "MB")


def coloured(programs, options):
    """Lines of a training run: colours, and a progress bar that is drawn over itself."""
    colours = "\\x1b[32mINFO\\x1b[0m \\x1b[1mstep\\x1b[0m 1234 loss \\x1b[33m0.1234\\x1b[0m of the quick brown fox\\n"
    bar = "\\r 42%|\u2588\u2588\u2588\u2588          | 420/1000 [00:42<00:58, 10.00it/s]"
    for name, text in (("coloured lines", colours), ("progress bars", bar)):
        job = [sys.executable, "-c", f"import os\ntext = '{text}'.encode() * 1000\nfor _ in range(10**8 // len(text)): os.write(1, text)"]
        with LogServer(programs, job) as server:
            server.start_job()
            _, size = server.job_end()
            server.pull_all()
            _, peak, cpu = server.figures()
        print(f"     CPU for {name}, without a reader: {cpu / size * 1e9:.2f} s/GB", flush=True)
        check(f"memory for {name}", peak, 16, "MB")


def many_readers(programs, options):
    """200 readers, half of them not reading, at 100 MB."""
    with LogServer(programs, text_job(100)) as server:
        deaf = [server.connect() for _ in range(100)]
        readers = [server.connect() for _ in range(100)]
        watch = selectors.DefaultSelector()
        for each in readers:
            watch.register(each, selectors.EVENT_READ, [0])
        server.start_job()
        buffer = bytearray(1 << 20)
        left = len(readers)
        while left:
            for key, _ in watch.select():
                count = key.fileobj.recv_into(buffer)
                key.data[0] += count
                if count and buffer[max(count - 4, 0):count] == b"\x88\x02\x03\xe8":
                    key.fileobj.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
                    watch.unregister(key.fileobj)
                    left -= 1
                    assert key.data[0] > 100e6
                assert count
        server.job_end()
        _, peak, _ = server.figures()
        check("memory with 200 readers, half of them deaf", peak, 16, "MB")
        for each in deaf + readers:
            each.close()


def page(programs, options):
    with LogServer(programs, text_job(100)) as server:
        server.start_job()
        server.job_end()
        times = []
        for _ in range(9):
            began = time.monotonic()
            answer = server.pull()
            times.append(time.monotonic() - began)
        text = sum(len(event["message"]) for event in json.loads(answer)["job_logs"]) * 3 // 4
        check("size of a page", text / 2**20, 14, "MiB", at_least=True)
        check("time of a page of 16 MiB", statistics.median(times) * 1000, 150, "ms")
        check("memory while pages are answered", server.figures()[1], 16, "MB")


def short_lines(programs, options):
    with LogServer(programs, ["seq", "1", "1000000"]) as server:
        server.start_job()
        text = server.pull_all()
        server.job_end()
    expected = b"".join(b"%d\n" % i for i in range(1, 1000001))
    check("1,000,000 short lines that are not what was printed", float(text != expected), 0, "")


def binary_frame(received):
    """The payload of the first frame and what follows it; None where that is no whole binary frame."""
    if len(received) < 2 or received[0] != 0x82:
        return None
    begin, size = {126: (4, received[2:4]), 127: (10, received[2:10])}.get(received[1], (2, received[1:2]))
    end = begin + int.from_bytes(size, "big")
    return (received[begin:end], received[end:]) if len(received) >= max(begin, end) else None


def delay(programs, options):
    """From a job's write to its arrival with a reader, line by line."""
    job = "import time\nfor i in range(2000):\n print(time.monotonic_ns(), flush=True)\n time.sleep(0.003)\n"
    with LogServer(programs, [sys.executable, "-c", job]) as server:
        reader = server.connect()
        server.start_job()
        delays, received, output = [], b"", b""
        while not received.startswith(b"\x88"):
            received += reader.recv(65536)
            now = time.monotonic_ns()
            while (frame := binary_frame(received)) is not None:
                payload, received = frame
                *lines, output = (output + payload).split(b"\r\n")
                delays += [(now - int(line)) / 1e6 for line in lines]
        server.job_end()
        assert len(delays) == 2000
    delays.sort()
    check("live delay, median", statistics.median(delays), 1, "ms")
    check("live delay, 99th percentile", delays[len(delays) * 99 // 100], 5, "ms")


def main():
    measures = [one_reader, coloured, many_readers, page, short_lines, delay]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build_folder", type=pathlib.Path)
    parser.add_argument("--megabytes", type=int, default=300, help="output of the job with one reader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[each.__name__ for each in measures])
    options = parser.parse_args()
    programs = (options.build_folder / "tests" / "bench").resolve()
    for measure in measures:
        if options.only in (None, measure.__name__):
            measure(programs, options)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
