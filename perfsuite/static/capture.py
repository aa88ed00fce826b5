"""What a function makes the device do: each Triton launch and each torch op, in order.

Triton launches are seen where they all pass, `JITFunction.run` (Gluon's too) and launches of a
`CompiledKernel`; torch ops through a `TorchDispatchMode`. What neither can see is said in `Launches.opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from perfsuite.model import Kernel, Launches, Scalar
from perfsuite.static.describe import is_tensor, op_text, scalar, text
from perfsuite.static.machine_code import code_hash, resources
from perfsuite.static.patching import replaced
from perfsuite.static.torch_ops import custom_op, torch_ops

_LAUNCH_OPTIONS: dict[str, Scalar] = {
    "num_ctas": 1,
    "launch_cooperative_grid": False,
    "launch_pdl": False,
    "cluster_dims": "(1,1,1)",
    "maxnreg": None,
}
"""Fields of a kernel's metadata that change how it is launched; listed where they are not the default."""

_active: list[Recorder] = []


@dataclass
class Recorder:
    """Collects what is launched inside `record_launches`."""

    _order: list[str] = field(default_factory=list)
    _kernels: dict[tuple[object, ...], Kernel] = field(default_factory=dict)
    binaries: dict[str, bytes] = field(default_factory=dict)
    """The machine code of each kernel by its hash."""
    _opaque: dict[str, None] = field(default_factory=dict)
    _muted: int = 0
    _tuners: list[Any] = field(default_factory=list)

    def launches(self) -> Launches:
        """Everything recorded so far."""
        return Launches(tuple(self._kernels.values()), tuple(self._order), tuple(self._opaque))

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Inside, nothing is recorded: the trials of an autotuner."""
        self._muted += 1
        try:
            yield
        finally:
            self._muted -= 1

    def note(self, why: str) -> None:
        """Says why the list may be incomplete."""
        self._opaque[why] = None

    def kernel(self, compiled: Any, grid: tuple[int, ...], bound: Mapping[str, object]) -> None:
        """Records the launch of a compiled kernel with its arguments by name."""
        if self._muted:
            return
        kernel = describe_kernel(compiled, grid, bound, self._choice())
        self.binaries.setdefault(kernel.hash, compiled.kernel)
        self._kernels.setdefault((kernel.hash, kernel.grid, *map(str, kernel.arguments.items())), kernel)
        shown = [f"{name}={text(value)}" for name, value in bound.items()]
        shown += [f"{name}={value}" for name, value in kernel.arguments.items() if name not in bound]
        shown += [f"warps={kernel.warps}", f"shared={kernel.shared_bytes}"]
        size = ",".join(map(str, kernel.grid))
        self._order.append(f"{kernel.name}#{kernel.hash}[{size}]({','.join(shown)})")

    def _choice(self) -> str | None:
        """The configuration that an autotuner chose for the launch that is being recorded."""
        tuner = self._tuners[-1] if self._tuners else None
        return str(tuner.best_config) if tuner is not None and len(tuner.configs) > 1 else None

    def position(self) -> int:
        """Where the next launch will stand."""
        return len(self._order)

    def op(self, position: int, op: Any, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Records a torch op at its place in the order (what it launched itself comes behind it)."""
        if self._muted:
            return
        self._order.insert(position, op_text(op, args, kwargs))
        if (name := custom_op(op)) is not None:
            self.note(f"{name}: a custom op, whose device code cannot be seen")


def describe_kernel(
    compiled: Any, grid: tuple[int, ...], bound: Mapping[str, object], choice: str | None = None
) -> Kernel:
    """A Triton `CompiledKernel` as the model's `Kernel`; `choice` is the autotuner's, if one chose."""
    metadata = compiled.metadata
    target = target_name(metadata.target)
    used = resources(compiled.kernel, target, str(compiled.asm.get("ptx", "")))
    shared = getattr(metadata, "shared", None)
    return Kernel(
        name=str(compiled.name),
        hash=code_hash(compiled.kernel),
        target=target,
        registers=used.registers,
        spills=used.spills,
        stack_bytes=used.stack_bytes,
        shared_bytes=used.shared_bytes if shared is None else int(shared),
        warps=getattr(metadata, "num_warps", None),
        stages=getattr(metadata, "num_stages", None),
        grid=grid,
        arguments=_arguments(metadata, bound) | ({"autotuned": choice} if choice else {}),
    )


def target_name(target: Any) -> str:
    """`sm_90` or `gfx942` of a Triton `GPUTarget`."""
    return f"sm_{target.arch}" if target.backend == "cuda" else str(target.arch)


def _arguments(metadata: Any, bound: Mapping[str, object]) -> dict[str, Scalar]:
    found = {name: scalar(value) for name, value in bound.items() if not is_tensor(value)}
    for option, default in _LAUNCH_OPTIONS.items():
        value = scalar(getattr(metadata, option, None))
        if value is not None and value != default:
            found.setdefault(option, value)
    return found


@contextmanager
def record_launches() -> Iterator[Recorder]:
    """Records, inside the block, what is launched; `Recorder.launches()` tells.

    Launches with `warmup=True` and an autotuner's trials are not recorded. Functions run by Triton's
    interpreter launch nothing. Blocks may be nested: each records everything inside it.
    """
    from triton.compiler.compiler import CompiledKernel
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    recorder = Recorder()
    with ExitStack() as stack:
        stack.enter_context(replaced(JITFunction, "run", lambda original: _recording_run(original, recorder)))
        stack.enter_context(
            replaced(CompiledKernel, "__getitem__", lambda original: _recording_getitem(original, recorder))
        )
        stack.enter_context(replaced(Autotuner, "_bench", lambda original: _muted(original, recorder)))
        stack.enter_context(replaced(Autotuner, "run", lambda original: _noting_choice(original, recorder)))
        stack.enter_context(torch_ops(recorder))
        _active.append(recorder)
        try:
            yield recorder
        finally:
            _active.remove(recorder)


def note(why: str) -> None:
    """Tells every active recorder why its list may be incomplete."""
    for recorder in _active:
        recorder.note(why)


def bind(jit: Any, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
    """Arguments of a jitted function by name, defaults included, compiler options left out."""
    names = jit.signature.parameters
    bound = jit.signature.bind(*args, **{name: value for name, value in kwargs.items() if name in names})
    bound.apply_defaults()
    return dict(bound.arguments)


def evaluate_grid(grid: Any, bound: Mapping[str, object]) -> tuple[int, ...]:
    """The three sizes of a grid, a callable one evaluated with the bound arguments."""
    sizes = tuple(int(size) for size in (grid(dict(bound)) if callable(grid) else grid))
    return sizes + (1,) * (3 - len(sizes))


def _recording_run(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        if warmup or recorder._muted:
            return original(self, *args, grid=grid, warmup=warmup, **kwargs)
        bound = bind(self, args, kwargs)
        # Evaluated once, so that the launch gets exactly what is recorded.
        sizes = evaluate_grid(grid, bound)
        compiled = original(self, *args, grid=sizes, warmup=warmup, **kwargs)
        if compiled is None:
            recorder.note(f"{self.fn.__qualname__}: a compile hook took the launch over")
        else:
            recorder.kernel(_finished(compiled), sizes, bound)
        return compiled

    return run


def _finished(compiled: Any) -> Any:
    """The kernel itself where Triton compiles asynchronously."""
    return compiled.result() if hasattr(compiled, "result") else compiled


def _recording_getitem(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """Launches of a kernel that was compiled before: `compiled[grid](...)`."""

    def getitem(self: Any, grid: Any) -> Any:
        runner = original(self, grid)

        def launch(*args: Any, **kwargs: Any) -> Any:
            result = runner(*args, **kwargs)
            function = getattr(self.src, "fn", None)
            names = getattr(function, "arg_names", None) or [str(index) for index in range(len(args))]
            bound = dict(zip(names, args, strict=False))
            recorder.kernel(self, evaluate_grid(grid, bound), bound)
            return result

        return launch

    return getitem


def _muted(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    def bench(*args: Any, **kwargs: Any) -> Any:
        with recorder.muted():
            return original(*args, **kwargs)

    return bench


def _noting_choice(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """`Autotuner.run`: its choice kept for the launch, the ops that put arguments back left out."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        hook = self.pre_hook
        self.pre_hook = _muted(hook, recorder)
        recorder._tuners.append(self)
        try:
            return original(self, *args, **kwargs)
        finally:
            recorder._tuners.pop()
            self.pre_hook = hook

    return run
