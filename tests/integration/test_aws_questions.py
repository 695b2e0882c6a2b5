"""dstack-shim aws configure at a terminal: what it asks, what it shows, and how it leaves the terminal."""

import os
import pty
import select
import signal
import termios
import time

import pytest
from support.processes import SHIM

pytestmark = pytest.mark.unprivileged

QUESTIONS = ["AWS Access Key ID: ", "AWS Secret Access Key: ", "Region name: ", "Artifact S3 bucket[None]: "]


class AtTerminal:
    def __init__(self, home):
        self.shown = ""
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            environment = {"HOME": str(home), "DSTACK_TOKEN": "a-token", "DSTACK_SERVER_URL": "http://127.0.0.1:9"}
            os.execve(SHIM, ["dstack-shim", "aws", "configure"], environment)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.shown += os.read(self.terminal, 1000).decode()

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def wait(self) -> int:
        status = os.waitpid(self.child, 0)[1]
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


def test_the_secret_is_not_shown_and_the_questions_are_asked_in_their_order(tmp_path):
    person = AtTerminal(tmp_path)
    for question, answer in zip(QUESTIONS, ["AKIAOFATEST", "the-secret", "us-east-1", "a-bucket"], strict=True):
        person.read_until(question)
        person.type(answer + "\n")
    person.read_until("cannot reach http://127.0.0.1:9")
    assert "this server keeps no artifacts in S3" in person.shown
    assert "the-secret" not in person.shown
    assert person.echoes()
    assert person.wait() == 69


def test_an_interrupt_at_the_secret_leaves_the_terminal_as_it_was(tmp_path):
    person = AtTerminal(tmp_path)
    person.read_until(QUESTIONS[0])
    person.type("AKIAOFATEST\n")
    person.read_until(QUESTIONS[1])
    assert not person.echoes()
    person.type("\x03")
    person.read_until(QUESTIONS[1] + "\r\n")
    # What it said last comes after the terminal is as before.
    deadline = time.monotonic() + 20
    while not person.echoes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert person.wait() == -signal.SIGINT
