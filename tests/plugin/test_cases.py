"""pytest items as cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfsuite.plugin.cases import Case, case_of, file_stem

SUITE = '''
import pytest

class Shape:
    name = "qwen-3"

@pytest.mark.parametrize("m", [1, 64], ids="m={}".format)
@pytest.mark.parametrize("shape", [Shape()], ids=lambda s: s.name)
def test_prefill(gpu_benchmark, shape, m):
    """Documentation."""
    gpu_benchmark(shape, m)  # a comment

def bench_plain(benchmark):
    benchmark(len, "")

def test_no_benchmark():
    assert True
'''


def collect(folder: Path, source: str) -> dict[str, Case]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_moe.py").write_text(source)
    found: dict[str, Case] = {}

    class Collector:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            for item in session.items:
                case = case_of(item, folder.parent)
                if case is not None:
                    found[case.id] = case

    options = [
        "--collect-only",
        "-qq",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        f"--rootdir={folder.parent}",
    ]
    options += ["-o", "python_functions=test_* bench_*", "--import-mode=importlib"]
    pytest.main([*options, str(folder)], plugins=[Collector()])
    return found


def test_ids_families_and_axes(tmp_path: Path) -> None:
    cases = collect(tmp_path / "ops", SUITE)
    assert sorted(cases) == ["ops/moe/plain", "ops/moe/prefill[m=1,qwen-3]", "ops/moe/prefill[m=64,qwen-3]"]
    case = cases["ops/moe/prefill[m=64,qwen-3]"]
    assert case.family == "ops/moe/prefill"
    assert case.params == {"shape": "qwen-3", "m": 64}
    assert not case.plain
    assert cases["ops/moe/plain"].plain


CLASSES = """
import pytest

class Plain:
    pass

class TestA:
    def test_f(self, benchmark):
        benchmark(len, "")

class TestB:
    @pytest.mark.parametrize("o", [Plain()])
    def test_f(self, benchmark, o):
        benchmark(len, "")
"""


def test_classes_are_part_of_the_id_and_addresses_are_not(tmp_path: Path) -> None:
    cases = collect(tmp_path / "classes", CLASSES)
    assert sorted(cases) == ["classes/moe/TestA.f", "classes/moe/TestB.f[o0]"]
    assert cases["classes/moe/TestB.f[o0]"].params == {"o": "Plain"}
    again = collect(tmp_path / "more", CLASSES)["more/moe/TestB.f[o0]"]
    assert again.version == cases["classes/moe/TestB.f[o0]"].version


def test_a_suite_that_is_one_file_has_the_same_ids(tmp_path: Path) -> None:
    file = tmp_path / "suite" / "test_moe.py"
    file.parent.mkdir()
    file.touch()
    assert file_stem(file, file) == file_stem(file, file.parent) == "moe"


def test_version_is_of_the_definition(tmp_path: Path) -> None:
    def version(name: str, source: str) -> str:
        return collect(tmp_path / name, source)[f"{name}/moe/prefill[m=64,qwen-3]"].version

    original = version("a", SUITE)
    assert version("b", SUITE.replace("# a comment", "")) == original
    assert version("c", SUITE.replace("[1, 64]", "[1, 8, 64]")) == original
    assert version("d", SUITE.replace("(shape, m)", "(shape, m, 1)")) != original
    assert len({case.version for case in collect(tmp_path / "e", SUITE).values()}) == 3
