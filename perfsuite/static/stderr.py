"""What native code writes to the process's standard error, kept for an error message."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


class Output:
    """What was written; complete once the block has ended."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._text = ""

    def text(self) -> str:
        return self._text

    def read(self) -> bytes:
        self._file.seek(0)
        content = self._file.read()
        self._text = content.decode("utf-8", "replace")
        return content


@contextmanager
def captured_stderr() -> Iterator[Output]:
    """Keeps file descriptor 2 inside the block; what came without an error is passed on at its end."""
    with tempfile.TemporaryFile() as file:
        output = Output(file)
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield output
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            content = output.read()
            if content and not failed:
                os.write(2, content)
