"""The self-test: it covers every operation, it is right here, and it finds planted faults."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.errors import IntegrityError, UsageError
from lifecycle.numerics import streams
from lifecycle.numerics.exact import (
    check_kernels,
    checks,
    elementary,
    engine,
    kernels,
    optimisers,
    products,
    rounding,
    selftest,
    sweep,
)
from lifecycle.numerics.exact.checks import COMPILED, NUMPY_BLAS, PLAIN, SWEEP, TORCH_BLAS, Check
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.selftest import SelfTest, self_test
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.ops import Ops
from lifecycle.numerics.profiles import PROFILES, reason_against

CHECKS = checks.checks()
NAMES = [check.name for check in CHECKS]
COVERED = {check.operation for check in CHECKS}
OPERATIONS = [
    name for name in vars(Ops) if not name.startswith("_") and callable(getattr(Ops, name))
]


def of(operation: str) -> list[Check]:
    return [check for check in CHECKS if check.operation == operation]


def flip(values: Any) -> Any:
    """A low bit of the last number, flipped in place."""
    array = values.detach().numpy() if isinstance(values, Tensor) else values
    array.reshape(-1)[-1:].view(np.uint8)[0] ^= 16
    return values


def flipped(right: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose result has one bit wrong."""

    def wrong(*arguments: Any, **named: Any) -> Any:
        return flip(right(*arguments, **named).clone())

    return wrong


# What is covered.


def test_every_operation_of_the_protocol_has_a_check() -> None:
    assert len(OPERATIONS) > 15
    assert set(OPERATIONS) <= COVERED
    own = {name for name in vars(ExactOps) if not name.startswith("_")}
    assert own - {"bind", "place"} == set(OPERATIONS)


def test_every_elementary_function_has_a_check() -> None:
    public = [
        name
        for name, found in vars(elementary).items()
        if inspect.isfunction(found)
        and found.__module__ == elementary.__name__
        and not name.startswith("_")
    ]
    assert set(public) == set(checks.FUNCTIONS)
    assert set(public) <= COVERED


def test_every_optimiser_has_a_check() -> None:
    public = {
        kind.__name__
        for kind in vars(optimisers).values()
        if inspect.isclass(kind) and kind.__mro__[1:2] == (optimisers.ExactOptimiser,)
    }
    assert public <= COVERED
    assert public == {kind.__name__ for kind in checks.OPTIMISERS}


def test_every_number_of_slices_has_a_check() -> None:
    for operation in ("matmul", "linear", "attention", "conv1d"):
        names = " ".join(check.name for check in of(operation))
        assert all(f"{n} slices" in names for n in range(2, products.MAX_SLICES + 1)), operation


def names_used_by_python() -> Iterator[str]:
    """Names in the room's functions and methods that are no kernels."""
    for path in Path(selftest.__file__).parent.glob("*.py"):
        module = importlib.import_module(f"lifecycle.numerics.exact.{path.stem}")
        inner = [vars(kind).values() for kind in vars(module).values() if inspect.isclass(kind)]
        for found in (*vars(module).values(), *itertools.chain(*inner)):
            function = getattr(found, "__func__", found)  # a static method's
            if inspect.isfunction(function):
                for code in (function.__code__, *function.__code__.co_consts):
                    yield from getattr(code, "co_names", ())


@pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")
def test_every_kernel_that_is_called_from_outside_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    self_test(1).require()  # all is compiled: kernels no longer look for each other by name
    called: set[str] = set()

    def watched(name: str, kernel: Any) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            called.add(name)
            return kernel(*arguments)

        return call

    names, used = set(), set(names_used_by_python())
    for module in (kernels, sweep, check_kernels):
        for name, found in vars(module).items():
            own = getattr(getattr(found, "py_func", None), "__module__", "") == module.__name__
            if own and name in used and not name.startswith("_"):
                names.add(name)
                monkeypatch.setattr(module, name, watched(name, found))
    for name in ("first_functions", "four_operations", "last_functions", "two_steps"):
        monkeypatch.setattr(checks, name, getattr(check_kernels, name))
    self_test(1).require()
    assert len(names) > 20
    assert called == names


def test_names_are_unique_and_known() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert list(selftest.known_digests()) == NAMES


# It is right here, however this machine computes.


def test_every_bit_is_right_on_this_machine() -> None:
    tested = self_test(2)
    assert tested.wrong == ()
    assert tested.threads == (1, 2)
    assert tested.checks == len(CHECKS)
    ways = {way for check in CHECKS for way in check.ways}
    assert {PLAIN, COMPILED, SWEEP, TORCH_BLAS, NUMPY_BLAS} < ways


def test_what_a_record_keeps_is_the_same_without_compiled_kernels() -> None:
    with_kernels = self_test(1)
    with engine.plain():
        plain = self_test(1).require()
    assert plain.facts() == with_kernels.facts()
    assert str(len(CHECKS)) in plain.facts()["self_test"]
    if engine.compiled():
        assert plain.ways < with_kernels.ways


def profiles(names: tuple[str, ...]) -> list[dict[str, str]]:
    machine = fingerprint()["machine"]
    chosen = [PROFILES[name] for name in names]
    return [one.environment(dict(os.environ)) for one in chosen if not reason_against(one, machine)]


def require_right_in_children(environments: list[dict[str, str]]) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-m", selftest.__name__],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in environments
    ]  # fmt: skip
    for child in children:
        out, error = child.communicate(timeout=280)
        assert child.returncode == 0, error
        assert f"{rounding.ARITHMETIC}: {len(CHECKS)} checks in" in out


def test_every_bit_is_right_in_another_profile() -> None:
    """Without compiled kernels: in the tests of `lifecycle doctor`."""
    environments = profiles(("sse-1",))
    for environment in environments:  # one compiler target: the slow test has the others
        environment.pop("NUMBA_CPU_NAME", None)
    require_right_in_children(environments)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PROFILES))
def test_every_bit_is_right_in_every_profile(name: str) -> None:
    environments = profiles((name,))
    if not environments or PROFILES[name].device != "cpu":
        pytest.skip("this machine cannot run it")
    require_right_in_children(environments)


def fractions(name: str) -> list[list[float]]:
    """Sum, difference, product, quotient and root of a check's inputs, by rational arithmetic."""
    plain: Any = of(name)[0].ways[PLAIN]
    a, b = (part.tolist() for part in plain.args)
    pairs = [(Fraction(x), Fraction(y)) for x, y in zip(a, b, strict=True)]
    return [
        [float(x + y) for x, y in pairs],
        [float(x - y) for x, y in pairs],
        [float(x * y) for x, y in pairs],
        [float(x / y) if y else 0.0 for x, y in pairs],
        [math.sqrt(abs(x)) for x in a],
    ]


@pytest.mark.parametrize("name", ["IEEE operations", "rounding to nearest", "subnormal numbers"])
def test_the_known_digests_of_ieee_operations_are_those_of_fractions(name: str) -> None:
    found = of(name)[0].ways[PLAIN]()
    expected = fractions(name)
    for one, two in zip(found, expected, strict=True):
        assert np.asarray(one).tolist() == two
    assert selftest.digest(found) == selftest.known_digests()[name]


def test_ieee_checks_meet_ties_and_subnormal_numbers() -> None:
    sums, _, whole, _, _ = (np.array(part) for part in fractions("subnormal numbers"))
    assert ((sums != 0) & (np.abs(sums) < 2.0**-1022)).sum() > 100
    assert (whole == 0).all()
    a, b = of("rounding to nearest")[0].ways[PLAIN].args  # type: ignore[attr-defined]
    tied = [(Fraction(x) + Fraction(y)) % 1 == Fraction(1, 2) for x, y in zip(a, b, strict=True)]
    assert sum(tied) > 500


@pytest.mark.parametrize("number", range(len(checks.PRODUCTS)))
def test_products_of_whole_numbers_are_those_of_integers(number: int) -> None:
    m, k, n = checks.PRODUCTS[number]
    bits = rounding.product_bits(k)
    a = checks.whole(100 + 2 * number, bits, m, k).astype(np.int64)
    b = checks.whole(101 + 2 * number, bits, k, n).astype(np.int64)
    assert np.abs(a).max() > 0.9 * 2**bits
    for compute in of("product of whole numbers")[number].ways.values():
        for found in compute():
            assert np.array_equal(np.asarray(found).astype(np.int64), a @ b)


# It finds faults.


def wrong(tested: SelfTest) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.check.partition(",")[0], one.way) for one in tested.wrong))


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_bit_of_an_operation_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExactOps, name, flipped(getattr(ExactOps, name)))
    chosen = [check for check in of(name) if name not in checks.FUNCTIONS or "layer" in check.name]
    tested = self_test(1, chosen)
    assert {check for check, _ in wrong(tested)} == {name}
    assert {one.way for one in tested.wrong} >= {PLAIN}
    with pytest.raises(IntegrityError, match=f"wrong on this machine: {name}.*memory test"):
        tested.require()


@pytest.mark.parametrize("name", [one for one in OPERATIONS if one != "softmax"])
def test_one_bit_of_a_gradient_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(ExactOps, name)

    def call(self: ExactOps, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        class Faulty(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, values: Tensor) -> Tensor:
                return values.view_as(values)

            @staticmethod
            def backward(ctx: Any, gradient: Tensor) -> Tensor:
                return flip(gradient.clone())

        result: Tensor = right(self, Faulty.apply(x), *arguments, **named)
        return result

    monkeypatch.setattr(ExactOps, name, call)
    chosen = [check for check in of(name) if name not in checks.FUNCTIONS or "layer" in check.name]
    assert {check for check, _ in wrong(self_test(1, chosen))} == {name}


@pytest.mark.parametrize("name", checks.FUNCTIONS)
def test_one_bit_of_an_elementary_function_is_found(name: str) -> None:
    (check,) = [one for one in CHECKS if one.name == name]
    right = check.ways[PLAIN]

    def faulty() -> list[checks.Value]:
        return [flip(value) for value in right()]

    tested = self_test(1, [Check(name, {**check.ways, PLAIN: faulty})])
    assert wrong(tested) == [(name, PLAIN)]


def test_what_depends_on_a_fault_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    right = elementary.exp
    monkeypatch.setattr(elementary, "exp", flipped(right))
    monkeypatch.setattr(checks, "elementary", elementary)
    checks.checks.cache_clear()
    try:
        tested = self_test(1)
    finally:
        checks.checks.cache_clear()
    assert wrong(tested)[0] == ("exp", PLAIN)
    assert {"softmax", "cross_entropy", "training"} <= {check for check, _ in wrong(tested)}
    assert "linear" not in {check for check, _ in wrong(tested)}
    with pytest.raises(IntegrityError, match=r"machine: exp: plain .* \(\d+ of \d+ checks are wr"):
        tested.require()


@pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")
def test_a_fault_in_a_kernel_is_named_with_a_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.sum_rows

    def sum_rows(x: Any, bits: int, out: Any) -> Any:
        greatest = right(x, bits, out)
        flip(out)
        return greatest

    monkeypatch.setattr(kernels, "sum_rows", sum_rows)
    tested = self_test(1, of("total"))
    assert wrong(tested) == [("total", COMPILED)]
    assert "LIFECYCLE_COMPILED=0" in tested.wrong[0].cure()
    with pytest.raises(IntegrityError, match="total: compiled kernels, 1 thread"):
        tested.require()


@pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")
def test_a_fault_in_the_sweep_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sweep.sweep_tiles

    def sweep_tiles(weight: Any, *arguments: Any) -> Any:
        ends = right(weight, *arguments)
        flip(weight)
        return ends

    monkeypatch.setattr(sweep, "sweep_tiles", sweep_tiles)
    assert wrong(self_test(1, of("training"))) == [("training", SWEEP)]


def test_a_fault_in_a_blas_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.mm

    def mm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        return right(a, b, out=out).add_(1.0)

    monkeypatch.setattr(torch, "mm", mm)
    tested = self_test(1)
    assert wrong(tested)[0] == ("product of whole numbers", TORCH_BLAS)
    assert "conv1d" in {check for check, _ in wrong(tested)}
    assert "torch" in tested.wrong[0].cure()


def test_a_fault_with_several_threads_only_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.matmul

    def matmul(a: Tensor, b: Tensor) -> Tensor:
        return right(a, b) + (1.0 if torch.get_num_threads() > 1 else 0.0)

    monkeypatch.setattr(torch, "matmul", matmul)
    tested = self_test(2, of("product of whole numbers"))
    assert {one.threads for one in tested.wrong} == {2}


def test_flushing_to_zero_is_found() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush to zero")
    try:
        tested = self_test(1, of("subnormal numbers"))
    finally:
        torch.set_flush_denormal(False)
    assert ("subnormal numbers", PLAIN) in wrong(tested)


def test_random_streams_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = streams.raw
    monkeypatch.setattr(streams, "raw", lambda *path, size: right(*path, size=size) ^ np.uint64(1))
    chosen = [one for name in ("random integers", "orders", "dropout masks") for one in of(name)]
    assert wrong(self_test(1, chosen))[0][0] == "random integers"


def test_a_library_that_breaks_down_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("Intel MKL FATAL ERROR")

    monkeypatch.setattr(products, "matmul", broken)
    monkeypatch.setattr(checks, "matmul", broken)
    tested = self_test(1, of("matmul")[:1])
    assert tested.wrong[0].found == "error: RuntimeError: Intel MKL FATAL ERROR"
    assert "FATAL" in tested.wrong[0].said()


def test_another_order_of_operations_is_found() -> None:
    """A product that is not rounded first, as the framework computes it."""
    (check,) = [one for one in CHECKS if one.name == "linear, 1 slice"]

    def native() -> list[checks.Value]:
        compute: Any = check.ways[COMPILED]
        _, _, (x, weight, bias) = compute.args
        return [torch.nn.functional.linear(x, weight, bias)]

    assert self_test(1, [Check(check.name, {PLAIN: native})]).wrong


# The known digests.


def test_digests_tell_values_shapes_types_and_signs_apart() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    different = [x, x.t(), -x, x.float(), x[:1], x.view(torch.int64)]
    assert len({selftest.digest([value]) for value in different}) == len(different)
    assert selftest.digest([x.t()]) == selftest.digest([np.zeros((3, 2), ">f8")])


def test_a_missing_or_foreign_file_of_digests_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    with pytest.raises(IntegrityError, match="install lifecycle again"):
        selftest.known_digests(path)
    for text in ("{", "[]", '{"checks": {}}', '{"arithmetic": "x", "checks": 3}'):
        path.write_text(text)
        with pytest.raises(IntegrityError, match="install lifecycle again"):
            selftest.known_digests(path)
    path.write_text('{"arithmetic": "lifecycle/arithmetic/0", "checks": {}}')
    with pytest.raises(IntegrityError, match="arithmetic/0, not of lifecycle/arithmetic/1"):
        selftest.known_digests(path)


def test_a_check_without_a_known_digest_is_wrong() -> None:
    tested = self_test(1, of("total"), {})
    assert tested.wrong
    assert "instead of none" in tested.wrong[0].said()


def test_writing_digests_adds_and_never_changes_within_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "known.json"
    few = (*of("exp"), *of("total"), *of("IEEE operations"))
    monkeypatch.setattr(checks, "checks", lambda: few)
    assert selftest.write_known(path) == len(few)
    first = path.read_bytes()
    entry = json.loads(first)
    known = json.loads(selftest.KNOWN.read_bytes())["checks"]
    assert entry["checks"] == {check.name: known[check.name] for check in few}
    del entry["checks"]["total"]
    path.write_text(json.dumps(entry))
    selftest.write_known(path)
    assert path.read_bytes() == first
    entry["checks"]["exp"] = "0" * 64
    path.write_text(json.dumps(entry))
    with pytest.raises(UsageError, match=r"exp would change within .* raise rounding.ARITHMETIC"):
        selftest.write_known(path)


def test_a_new_version_writes_new_digests(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_text('{"arithmetic": "lifecycle/arithmetic/0", "checks": {"exp": "0"}}')
    assert selftest.write_known(path) == len(CHECKS)
    assert path.read_bytes() == selftest.KNOWN.read_bytes()


def test_a_machine_that_contradicts_itself_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check,) = of("exp")
    faulty = Check("exp", {PLAIN: check.ways[PLAIN], TORCH_BLAS: lambda: [np.zeros(3)]})
    monkeypatch.setattr(checks, "checks", lambda: (faulty,))
    with pytest.raises(IntegrityError, match="exp: matrix products of torch"):
        selftest.write_known(tmp_path / "known.json")
    assert not (tmp_path / "known.json").exists()


def test_the_command_of_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    selftest.main([])
    assert "checks in" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="usage"):
        selftest.main(["--wrte"])
