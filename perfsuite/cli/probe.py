"""What torch and Triton can do here, tried in a process of its own: a broken driver must not take us down."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_TIMEOUT_S = 120.0
_SCRIPT = """
import sys
import torch, triton, triton.language as tl

@triton.jit
def double(x, y, n: tl.constexpr):
    i = tl.arange(0, n)
    tl.store(y + i, 2 * tl.load(x + i))

def interpreter(_):
    x = torch.arange(16.0)
    y = torch.full_like(x, float("nan"))
    double[(1,)](x, y, n=16)
    assert torch.equal(y, 2 * x), "wrong result"
    return "runs kernels on the CPU"

def compile(target):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    source = ASTSource(double, {"x": "*fp32", "y": "*fp32", "n": "constexpr"}, {"n": 16})
    binary = triton.compile(source, target=GPUTarget("cuda", int(target[3:].rstrip("af")), 32))
    return f"{target}: {len(binary.asm['cubin'])} bytes of machine code"

def cuda(_):
    assert torch.cuda.is_available(), f"torch {torch.__version__} does not see the GPU"
    x = torch.arange(16.0, device="cuda")
    y = torch.full_like(x, float("nan"))
    double[(1,)](x, y, n=16)
    assert torch.equal(y, 2 * x), "wrong result"
    return "runs kernels"

print(globals()[sys.argv[1]](sys.argv[2]))
"""


class Probe:
    """Begins to try `interpreter`, `compile` or `cuda`; several can run at once."""

    def __init__(self, what: str, target: str, environ: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="perfsuite-doctor-")
        # Triton reads a kernel's source from its file.
        script = Path(self._folder.name, "probe.py")
        script.write_text(_SCRIPT, encoding="utf-8")
        self._process = subprocess.Popen(
            (sys.executable, str(script), what, target),
            env={
                **environ,
                "TRITON_CACHE_DIR": self._folder.name,
                "TRITON_INTERPRET": "1" if what == "interpreter" else "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def finish(self) -> tuple[bool, str]:
        """Whether it worked, and what it says of itself in one line."""
        try:
            out, err = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return False, f"no answer in {_TIMEOUT_S:.0f} s"
        finally:
            self.close()
        text = out if self._process.returncode == 0 else err
        lines = text.strip().splitlines()
        return self._process.returncode == 0, lines[-1] if lines else f"exit code {self._process.returncode}"

    def close(self) -> None:
        """Leaves no process and no file. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
