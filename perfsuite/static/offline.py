"""Compiling whole ops without launching them, for a GPU that need not be there.

The op's own host code runs on meta tensors, which have shapes and dtypes but no memory; each launch compiles
its kernel for the target and stops there. Triton starts ptxas as a process of its own, so that a crash of
ptxas is a `CompileFailure`; an abort inside LLVM ends this process, and neither has a time limit: callers
that must survive both run this in a child process.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from perfsuite.errors import Exit, MachineError, PerfsuiteError
from perfsuite.model import Launches
from perfsuite.static.capture import note, record_launches
from perfsuite.static.instructions import with_instructions
from perfsuite.static.machine_code import resources
from perfsuite.static.patching import replaced
from perfsuite.static.stderr import captured_stderr
from perfsuite.static.targets import Target, find_target

MESSAGE_LINES = 12
"""Last lines of a compiler's output that an error shows: the cause stands at its end."""

MAX_TENSOR_MEMORY_COLUMNS = 512
"""Of one Blackwell multiprocessor (PTX ISA, tensor memory); the limit Triton itself applies when it loads."""

MAX_THREADS = 1024
"""Of one block, on every target here."""


class CompileFailure(PerfsuiteError):
    """A kernel does not compile for the target, or would not fit on it."""

    exit_code = Exit.RED


class HostFailure(CompileFailure):
    """The op's host code cannot run on tensors without memory, or without that GPU."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one call would launch, with the machine code of each kernel by its hash."""

    launches: Launches
    binaries: Mapping[str, bytes]


def compile_launches(
    function: Callable[..., object],
    arguments: object,
    target: str | None = None,
) -> Launches:
    """What one call of `function` would launch: `compile_op` without the machine code, but with its mix."""
    compiled = compile_op(function, arguments, target)
    return with_instructions(compiled.launches, compiled.binaries)


def compile_op(
    function: Callable[..., object],
    arguments: object,
    target: str | None = None,
) -> Compiled:
    """What one call of `function` would launch, compiled but not run.

    Args:
        function: an op; it must not read values of tensors.
        arguments: its positional arguments, or keyword arguments as a mapping; tensors on `meta`. Or what
            makes them: it is called where the target can be seen, and what it launches is not the op's.
        target: `sm_90`, `gfx942`, …; None compiles for the GPU that is there, which is left alone.

    Raises:
        CompileFailure: a kernel does not compile or fit; `HostFailure` where the op itself failed.
        MachineError: `target` is None and there is no GPU, or Triton's interpreter is switched on.
        UsageError: `target` is unknown.
    """
    import torch

    place = absent_gpu(target) if target is not None else _present_gpu()
    with place, torch.device("meta"):
        with _told("the code that makes the arguments"):
            made = arguments() if callable(arguments) else arguments
        with record_launches() as recorder, _told("the host code"):
            _call(function, made)
    return Compiled(recorder.launches(), dict(recorder.binaries))


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Says of what is no error of ours where it came from."""
    try:
        yield
    except PerfsuiteError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {_last_lines(str(error))}"
        raise HostFailure(
            f"{what} does not run on meta tensors: {cause}",
            "keep it free of tensor values, synchronization and questions to torch.cuda",
        ) from error


@contextmanager
def absent_gpu(target: str) -> Iterator[None]:
    """Inside, Triton sees a GPU of that architecture, and each launch only compiles.

    Kernels compiled here are cached under a device of their own, never under a real one.
    """
    from triton.compiler.compiler import CompiledKernel
    from triton.runtime.driver import driver

    wanted = find_target(target)
    _refuse_interpreter()
    with ExitStack() as stack:
        # Not `driver.active`: without a GPU that would raise.
        stack.callback(driver.set_active, driver._active)
        driver.set_active(_driver(wanted))
        stack.enter_context(_target_as_named())
        stack.enter_context(_compiling_only(wanted.shared_limit_bytes, wanted.name, keep_choices=False))
        stack.enter_context(replaced(CompiledKernel, "_init_handles", lambda _: _handles_from_binary))
        yield


@contextmanager
def _present_gpu() -> Iterator[None]:
    from triton.runtime.driver import driver

    from perfsuite.static.capture import target_name

    _refuse_interpreter()
    try:
        active: Any = driver.active
        device = active.get_current_device()
        limit = active.utils.get_device_properties(device)["max_shared_mem"]
        name = target_name(active.get_current_target())
    except Exception as error:
        raise MachineError(
            f"there is no GPU to compile for: {error}", "name a target, such as sm_90"
        ) from error
    with _compiling_only(limit, name, keep_choices=True):
        yield


def _refuse_interpreter() -> None:
    from triton import knobs

    if knobs.runtime.interpret:
        raise MachineError(
            "kernels cannot be compiled in a process with Triton's interpreter on (TRITON_INTERPRET=1)",
            "unset TRITON_INTERPRET in the process that compiles",
        )


@contextmanager
def _target_as_named() -> Iterator[None]:
    """Without a TRITON_OVERRIDE_ARCH, which would compile for something else."""
    from triton import knobs

    with knobs.runtime.scope():
        if knobs.runtime.override_arch is not None:
            knobs.runtime.override_arch = None
        yield


def _driver(target: Target) -> Any:
    """A driver of a GPU that is not there, with what compilation and host code ask of one."""
    from triton.backends.compiler import GPUTarget

    class Utils:
        def get_device_properties(self, device: object) -> dict[str, int]:
            return {
                "max_shared_mem": target.shared_limit_bytes,
                "multiprocessor_count": target.multiprocessors,
                "max_num_regs": 65536,
                "warpSize": target.warp_size,
            }

    class AbsentDriver:
        utils = Utils()

        def get_current_target(self) -> Any:
            return GPUTarget(target.backend, target.arch, target.warp_size)

        def get_current_device(self) -> str:
            # Keys Triton's caches of compiled kernels: no real device has such a name.
            return f"absent {target.name}"

        def set_current_device(self, device: object) -> None:
            """There is only one."""

        def get_current_stream(self, device: object = None) -> int:
            return 0

        def get_device_capability(self, device: object = None) -> tuple[int, int]:
            return divmod(target.arch, 10) if isinstance(target.arch, int) else (9, 4)

        def get_active_torch_device(self) -> Any:
            import torch

            return torch.device("meta")

    return AbsentDriver()


@contextmanager
def _compiling_only(shared_limit: int, target: str, *, keep_choices: bool) -> Iterator[None]:
    """Launches compile, are checked against the limits, and stop there."""
    from triton.compiler.compiler import CompiledKernel
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    def compiling_run(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
            name = self.fn.__qualname__
            compiled = _compile(name, target, lambda: original(self, *args, grid=grid, warmup=True, **kwargs))
            if compiled is not None:
                _check_limits(compiled, shared_limit, target)
            return compiled

        return run

    def no_launch(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, grid: lambda *args, **kwargs: None

    with ExitStack() as stack:
        stack.enter_context(replaced(JITFunction, "run", compiling_run))
        stack.enter_context(replaced(CompiledKernel, "__getitem__", no_launch))
        stack.enter_context(replaced(Autotuner, "_bench", lambda _: _first_that_compiles))
        stack.enter_context(replaced(Autotuner, "run", lambda run: _choices_apart(run, keep_choices)))
        yield


def _compile(name: str, target: str, compile_kernel: Callable[[], Any]) -> Any:
    try:
        # Triton prints the whole PTX where ptxas fails, and MLIR writes its diagnostics past Python.
        with captured_stderr() as diagnostics, redirect_stdout(io.StringIO()):
            compiled = compile_kernel()
            return compiled.result() if hasattr(compiled, "result") else compiled
    except PerfsuiteError:
        raise
    except Exception as error:
        output = f"{diagnostics.text()}\n{type(error).__name__}: {error}"
        raise CompileFailure(
            f"{name} does not compile for {target}:\n{_last_lines(output)}",
            "mend the kernel, or leave this target out",
        ) from error


def _last_lines(output: str) -> str:
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    return "\n".join(line[:400] for line in lines[-MESSAGE_LINES:])


def _check_limits(compiled: Any, shared_limit: int, target: str) -> None:
    """What Triton itself checks only when it loads a kernel onto a device."""
    metadata = compiled.metadata
    threads = metadata.num_warps * metadata.target.warp_size
    for what, used, limit in (
        ("bytes of shared memory", metadata.shared, shared_limit),
        ("columns of tensor memory", getattr(metadata, "tmem_size", None) or 0, MAX_TENSOR_MEMORY_COLUMNS),
        ("threads", threads, MAX_THREADS),
    ):
        if used > limit:
            raise CompileFailure(
                f"{compiled.name} needs {used} {what} a block, {target} has {limit}",
                "take a smaller tile, fewer stages or fewer warps",
            )


def _first_that_compiles(self: Any, *args: Any, config: Any, **meta: Any) -> list[float]:
    """In place of a trial: the first configuration that compiles counts as the fastest."""
    note(f"{self.base_fn.__qualname__}: autotuned, and the choice is made on the device")
    if getattr(self, "_perfsuite_found", False):
        return [1.0] * 3
    try:
        self.fn.run(*args, **dict(meta, **config.all_kwargs()))
    except CompileFailure:
        return [float("inf")] * 3
    self._perfsuite_found = True
    return [0.0] * 3


def _choices_apart(original: Callable[..., Any], keep_choices: bool) -> Callable[..., Any]:
    """`Autotuner.run` that leaves no choice behind: it was not made by measuring."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        self.cache = dict(self.cache) if keep_choices else {}
        self.cache_results = False
        try:
            return original(self, *args, **kwargs)
        finally:
            vars(self).clear()
            vars(self).update(before)

    return run


def _handles_from_binary(self: Any) -> None:
    """In place of loading a kernel: what host code reads of a loaded one (persistent kernels do)."""
    used = resources(self.kernel, f"sm_{self.metadata.target.arch}" if "cubin" in self.asm else "gfx")
    self.n_regs, self.n_spills, self.n_max_threads = used.registers, used.spills, MAX_THREADS


def _call(function: Callable[..., object], arguments: object) -> object:
    """By name for a mapping, by position for a tuple or list; anything else is the one argument."""
    if isinstance(arguments, Mapping):
        return function(**arguments)
    return function(*arguments) if isinstance(arguments, tuple | list) else function(arguments)
