"""The comparison with other systems, without the others: parsing, tables, the runner on our own driver."""

import json
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import compare, driver, report
from benchmarks.works import WORKS, worst
from mpc.ring import Z32, Z64, Z128
from protocols.bench import online

ABOUT = report.About("2 cores", "2026-01-01 10:00", 5, 0.25, "--out docs/")


def line(system, work, seconds, *, asked=1_000_000, size=None, made="none", error=0.0, peer="spu", parties=3):
    return {
        "peer": peer,
        "system": system,
        "parties": parties,
        "preprocessing": made,
        "work": work,
        "asked": asked,
        "size": size or asked,
        "seconds": seconds,
        "spread": [seconds, seconds],
        "error": error,
        "version": f"{peer} 1.0",
    }


LINES = [
    line("mpc replicated", "mul", 0.025, peer="ours"),
    line("mpc additive", "mul", 0.05, made="in_loop", peer="ours", parties=2),
    line("mpc additive", "mul", 0.02, made="received", peer="ours", parties=2),
    line("MPyC", "mul", 0.5, size=100_000, peer="mpyc"),
    line("mpc replicated", "matmul", 0.27, asked=1024, peer="ours", error=3.0),
    line("SPU SEMI2K", "exp", 0.123, asked=100_000, made="in_loop", parties=2, error=0.0912),
    {"peer": "mpyc", "work": "exp", "asked": 100_000, "missing": "mpyc has no such operation"},
    {"peer": "crypten", "missing": "could not be installed: ERROR: no wheel"},
]


def test_every_work_has_data_of_the_size_asked_for_and_a_plain_result():
    for name, work in WORKS.items():
        arrays = work.inputs(8)
        plain = np.asarray(work.plain(*arrays))
        assert np.isfinite(plain * 1.0).all() and work.count(8) >= 8, name
        assert plain.shape[0] == arrays[0].shape[0] == 8, name


def test_the_worst_difference_is_relative_above_one_and_exact_for_whole_numbers():
    assert worst([0.5, 110.0], [0.25, 100.0]) == 0.25
    assert worst([0.5, 200.0], [0.25, 100.0]) == 1.0
    assert worst(np.array([2**62 + 1]), np.array([2**62])) == 1 / 2**62
    assert worst(np.array([True, False]), np.array([True, True])) == 1.0
    assert worst([np.nan], [1.0]) == np.inf
    with pytest.raises(ValueError, match="shape"):
        worst(np.zeros(3), np.zeros(2))


def trivial(inputs: Sequence[np.ndarray], expected: np.ndarray) -> Iterator[np.ndarray]:
    """What a system might answer that has computed nothing, or something else."""
    yield np.zeros_like(expected)
    yield np.ones_like(expected)
    yield -1 * expected
    yield 1 - expected * 1
    yield np.roll(expected, 1)
    yield expected[::-1]
    yield from (array for array in inputs if array.shape == expected.shape)


@pytest.mark.parametrize("name", WORKS)
def test_no_work_is_done_by_an_answer_without_computation(name: str) -> None:
    work = WORKS[name]
    inputs = work.inputs(200)
    expected = np.asarray(work.plain(*inputs))
    assert worst(expected, expected) == 0
    for wrong in trivial(inputs, expected):
        assert worst(wrong, expected) > 0.01


@pytest.mark.parametrize("bits", [32, 64, 128])
@pytest.mark.parametrize("name", online.CASES)
def test_no_line_of_the_bench_is_verified_by_an_answer_without_computation(name: str, bits: int) -> None:
    case, ring = online.CASES[name], {32: Z32, 64: Z64, 128: Z128}[bits]
    if not case.over(ring):
        pytest.skip("has no meaning there")
    inputs = case.inputs(1 if 1 in case.sizes and name != "mlp" else 200, ring)
    expected = online.wrapped(np.asarray(case.plain(*inputs)), ring)
    assert online.compared(case, ring, expected, expected) == (True, 0.0)
    assert not online.compared(case, ring, expected[:1].reshape(1, *expected.shape[1:], 1), expected)[0]
    same = name in ("share", "open")  # that give what they get
    for wrong in trivial(() if same else inputs, expected):
        if not (
            len(expected) == 1 and np.array_equal(wrong, expected)
        ):  # turned and rolled, one stays as it is
            assert not online.compared(case, ring, wrong, expected)[0]


def test_lines_are_found_among_what_libraries_print():
    out = 'warning: {not json}\n{"missing": "x"}\n[info] pool\n{"seconds": 1}\n'
    assert list(compare.parse(out)) == [{"missing": "x"}, {"seconds": 1}]


def test_the_table_has_rates_sizes_and_both_kinds_of_preprocessing():
    text = report.page(LINES, ABOUT)
    rows = {
        cells[1].strip(): [c.strip() for c in cells[2:-1]]
        for cells in (row.split("|") for row in text.splitlines() if row.startswith("|"))
    }
    assert rows["work"] == [
        "mpc replicated, 3 parties",
        "mpc additive, 2 parties",
        "MPyC, 3 parties",
        "SPU SEMI2K, 2 parties",
    ]
    assert rows["multiply, 1,000,000, million per second"] == ["40", "50 / 20", "0.2 (at 100,000)", "–"]
    assert rows["exp, 100,000, s"] == ["–", "–", "–", "0.12\\*"]
    # a wrong result stands out
    assert rows["matrix product, 1024³"] == ["**3e+00**", "–", "–", "–"]
    assert rows["exp, 100,000"][-1] == "9e-02"
    assert "- mpyc (exp, 100,000): mpyc has no such operation" in text
    assert "- crypten: could not be installed: ERROR: no wheel" in text
    assert "25%" in text and "python -m benchmarks.compare --out docs/" in text
    assert "**mpyc.** MPyC with three parties" in text and "**crypten.**" not in text


def test_the_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="the plot needs the extra 'bench'")
    report.plot(LINES, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_our_own_driver_measures_and_checks():
    lines = compare.compare(["ours"], ["mul", "fxmul"], [300], 5, compare.ROOT)
    assert {(one["system"], one["preprocessing"], one["work"]) for one in lines} == {
        (system, made, work)
        for work in ("mul", "fxmul")
        for system, made in (
            ("mpc replicated", "none"),
            ("mpc additive", "received"),
            ("mpc additive", "in_loop"),
        )
    }
    assert all(one["asked"] == one["size"] == 300 and one["seconds"] > 0 for one in lines)
    assert all(one["error"] == 0 if one["work"] == "mul" else 0 < one["error"] < 1e-2 for one in lines)
    assert "| multiply, 300, million per second |" in report.page(lines, ABOUT)


def test_what_our_side_lacks_and_what_fails_is_said():
    ours = compare.PEERS["ours"]
    (one,) = compare.measure(ours, sys.executable, "sing", 1, 1)
    assert one["missing"].startswith("not available") and one["work"] == "sing"
    (one,) = compare.measure(compare.Peer("nobody", 2), sys.executable, "mul", 1, 1)
    assert "No module named benchmarks.peers.nobody" in one["missing"]


def test_a_peer_that_cannot_be_installed_is_reported_with_pips_last_line(tmp_path, monkeypatch):
    monkeypatch.setitem(
        compare.PEERS, "nobody", compare.Peer("nobody", 2, (("--no-index", "no-such-package-at-all"),))
    )
    (one,) = compare.compare(["nobody"], ["mul"], [], 1, tmp_path)
    assert one["peer"] == "nobody" and one["missing"].startswith(
        "could not be installed: ERROR: No matching distribution"
    )


def test_a_driver_prints_medians_checked_against_numpy(monkeypatch, capsys):
    def measure(name, arrays, runs):
        x, y = arrays
        yield driver.Measured(
            "abacus", 2, "none", [3.0, 1.0, 2.0][:runs], x * y + (np.arange(len(x)) == 7) * 5
        )

    monkeypatch.setattr(sys, "argv", ["driver", "mul", "50", "3"])
    driver.main(("numpy",), {"mul": None}, measure, most={"mul": 20})
    one = json.loads(capsys.readouterr().out)
    assert (one["size"], one["seconds"], one["spread"]) == (20, 2.0, [1.0, 3.0]) and 0 < one["error"] < 1
    monkeypatch.setattr(sys, "argv", ["driver", "sort", "50", "3"])
    driver.main(("numpy",), {"mul": None}, measure)
    assert json.loads(capsys.readouterr().out) == {"missing": "numpy has no such operation"}


def test_the_clock_leaves_out_the_first_run():
    said: list[str] = []
    seconds, result = driver.clock(
        2,
        lambda: said.append("barrier"),
        lambda: said.append("run") or len(said),
        lambda: said.append("before"),
    )
    assert len(seconds) == 2 and said == ["before", "barrier", "run"] * 3 and result == 9


def test_ports_for_parties_differ():
    assert len(set(driver.free_ports(5))) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--peers", "abacus"], "there is no system 'abacus'; there is: ours spu crypten mpyc"),
        (["--works", "mul,sing"], "there is no work 'sing'"),
        (["--sizes", "10,x"], "give whole numbers"),
    ],
)
def test_wrong_options_are_one_sentence(options, words):
    done = CliRunner().invoke(compare.main, options)
    assert done.exit_code == 2 and words in done.output
