"""What the lab checked: a line for each, as soon as it is known."""

import time
import traceback
from contextlib import contextmanager


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.scenario = ""

    @contextmanager
    def check(self, what: str):
        """Whatever fails inside fails this check, and the ones after it are made all the same. Yields a list for figures."""
        started = time.monotonic()
        notes: list[str] = []
        try:
            yield notes
        except KeyboardInterrupt:
            raise
        except Exception as error:
            self.failed += 1
            self._line("FAILED", started, what, notes)
            message = str(error) or "".join(traceback.format_exception(error))
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"        {where.filename.rsplit('/', 1)[-1]}:{where.lineno}: {where.line}")
            for line in message.splitlines()[-40:]:
                print(f"        {line}")
            print(end="", flush=True)
        else:
            self.passed += 1
            self._line("ok", started, what, notes)

    def _line(self, outcome: str, started: float, what: str, notes: list[str]) -> None:
        figures = f"  ({', '.join(notes)})" if notes else ""
        print(f"{outcome:<7} {time.monotonic() - started:7.1f} s  {self.scenario:<9} {what}{figures}", flush=True)
