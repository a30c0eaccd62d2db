"""The command line as users run it: real processes, real TCP, real TLS; and what happens when things go
wrong.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mpc.certs import make_authority_and_certificates
from mpc.cli import main as command_line
from protocols.suites import SUITES

ROOT = Path(__file__).parent.parent
MPC = [sys.executable, "-m", "mpc"]


def mpc(*args: object, cwd: Path = ROOT, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MPC, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )


def write(folder: Path, body: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text("import os, signal, sys, time\nimport numpy as np\nimport mpc\n\n" + body)
    return path


def deployment(
    folder: Path, parties: int = 2, *, timeout: float = 10, tls: bool = True, **fields: object
) -> list[Path]:
    """Configurations of a session as its participants would write them; the last one is the dealer's."""
    names = [f"hospital-{i}" for i in range(parties)] + ["dealer"]
    if tls and not (folder / "certs").exists():
        make_authority_and_certificates(names, folder / "certs")
    ports = []
    for _ in range(parties):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    configs = []
    for name in names:
        lines = [f'me = "{name}"', 'dealer = "dealer"', f"timeout = {timeout}"]
        lines += (
            [f'authority = "certs/ca.pem"\ncertificate = "certs/{name}.pem"\nkey = "certs/{name}.key"']
            if tls
            else ["insecure_no_tls = true"]
        )
        lines += [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
        lines += [
            f'[[parties]]\nname = "hospital-{i}"\naddress = "127.0.0.1:{port}"'
            for i, port in enumerate(ports)
        ]
        configs.append(folder / f"{name}.toml")
        configs[-1].write_text("\n".join(lines))
    return configs


class Processes:
    """Processes that are ended whatever happens."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[str]] = []

    def start(self, *args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*MPC, *map(str, args)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.all.append(process)
        return process

    def session(self, configs: list[Path], *programs: Path) -> list[subprocess.Popen[str]]:
        """A process per party and the dealer; one program for all, or one each."""
        parties = [
            self.start("party", programs[i % len(programs)], "--config", c)
            for i, c in enumerate(configs[:-1])
        ]
        return [*parties, self.start("dealer", "--config", configs[-1])]


def ended(process: subprocess.Popen[str], within: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=within)
    return process.returncode, out, err


# -- the main job ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "parties", "expected"),
    [
        ("average_salary.py", 3, "average salary: 4416.67"),
        ("joint_statistics.py", 3, "569 patients of three hospitals"),
        ("joint_statistics.py", 4, "569 patients of three hospitals"),
        ("linear_regression.py", 2, "largest difference to scikit-learn"),
        ("millionaires.py", 3, "the richest is party 1"),
        ("millionaires.py", 2, "the richest is party 1"),
        ("sealed_bid_auction.py", 5, "bidder 1 wins and pays 402.25"),
        # of all clusterings in three, the least
        ("kmeans.py", 3, "sum of squares within the clusters: 78.85"),
        # survdiff's, in R
        ("survival_curve.py", 3, "chi-square 16.79 with 1 degree of freedom, p = 4.2e-05"),
        (
            "salary_percentiles.py",
            3,
            "quartiles [40.55 47.1  57.1 ] thousand\ngroup A earns 17.44 thousand more",
        ),
    ],
)
def test_examples_run_as_processes_over_tls(program, parties, expected, tmp_path):
    malicious = ["--malicious"] if parties == 4 else []
    path = smaller(tmp_path) if program == "linear_regression.py" else f"examples/{program}"
    done = mpc("run", path, "-n", parties, *malicious, "--network", "wan")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "printed:" not in done.stdout  # all parties printed the same
    assert "TLS 1.3 with certificates on both sides" in done.stderr
    assert max(map(len, (done.stdout + done.stderr).splitlines())) <= 80
    said = " ".join(done.stderr.split())
    against = "malicious" if malicious else "semi-honest"
    assert f"{against} adversary that corrupts up to" in said
    assert "given a trusted dealer" not in said  # nobody asked for one
    assert "On wan (50 ms, 100 Mbit/s) this run would take" in done.stderr
    assert all(error < 2e-5 for error in errors(done.stdout))


def smaller(folder: Path) -> Path:
    """The regression between two parties with a sixth of the patients, a third of the columns and steps: its
    products are made by oblivious transfer.
    """
    text = (ROOT / "examples/linear_regression.py").read_text()
    for whole, part in (("STEP = 1 / 16\n", "STEP = 1 / 4\n"), ("STEPS = 600\n", "STEPS = 100\n")):
        assert whole in text
        text = text.replace(whole, part)
    (folder / "linear_regression.py").write_text(text)
    (folder / "data").mkdir()
    for lab, kept in ((0, (0, 1, 2, 3, 4)), (1, (0, 1, 2, 3, 4, -1))):
        rows = [r.split(",") for r in (ROOT / f"examples/data/lab_{lab}.csv").read_text().splitlines()[:101]]
        (folder / f"data/lab_{lab}.csv").write_text("\n".join(",".join(r[i] for i in kept) for r in rows))
    return folder / "linear_regression.py"


def errors(out: str) -> list[float]:
    """What an example says that it is off by."""
    return [
        float(word)
        for line in out.splitlines()
        if "largest" in line
        for word in line.replace("largest", "").split()
        if "e-" in word
    ]


@pytest.mark.parametrize("program", sorted(p.name for p in (ROOT / "examples").glob("*.py")))
def test_examples_run_in_one_process(program):
    done = subprocess.run(
        [sys.executable, f"examples/{program}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout and not done.stderr
    assert all(error < 2e-5 for error in errors(done.stdout))
    assert ("largest difference to scikit-learn" in done.stdout) == (program == "linear_regression.py")


@pytest.mark.parametrize(
    ("suite", "parties", "kind", "of"),
    [
        ("additive", 2, "int", 1),
        ("additive", 3, "fixed", 3),
        ("replicated", 3, "fixed", 1),
        ("fantastic-four", 4, "fixed", 4),
    ],
)
def test_every_operation_between_processes_over_tls(suite, parties, kind, of, monkeypatch):
    """The third kind of session of the conformance suite; ``test_prep_ot`` has what is different without a
    dealer.
    """
    monkeypatch.setenv("MPC_CONFORMANCE", kind)
    monkeypatch.setenv("MPC_ONE_OF", str(of))
    dealer = ["--dealer"] if SUITES[suite].needs_prep else []
    done = mpc("run", "tests/conformance_program.py", "-n", parties, "--suite", suite, *dealer)
    assert done.returncode == 0, done.stderr
    assert "operations agree with NumPy" in done.stdout and "printed:" not in done.stdout


def test_a_dealer_is_asked_for_by_name():
    done = mpc("run", "examples/millionaires.py", "-n", 2, "--dealer")
    assert done.returncode == 0 and "given a trusted dealer" in " ".join(done.stderr.split())
    refused(mpc("run", "examples/millionaires.py", "-n", 3, "--dealer"), "needs no dealer")


def test_the_data_are_scikit_learns():
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    parts = [
        np.loadtxt(ROOT / f"examples/data/hospital_{i}.csv", delimiter=",", skiprows=1) for i in range(3)
    ]
    labs = [np.loadtxt(ROOT / f"examples/data/lab_{i}.csv", delimiter=",", skiprows=1) for i in range(2)]
    table = load_breast_cancer()
    np.testing.assert_allclose(np.concatenate(parts), table.data, rtol=1e-9)
    np.testing.assert_allclose(
        np.hstack(labs), np.hstack([table.data, (table.target == 0)[:, None]]), rtol=1e-9
    )


def test_the_irises_and_the_trial_are_the_published_ones():
    import numpy as np
    from sklearn.datasets import load_iris

    parts = [
        np.loadtxt(ROOT / f"examples/data/herbarium_{i}.csv", delimiter=",", skiprows=1) for i in range(3)
    ]
    for i, part in enumerate(parts):
        np.testing.assert_allclose(part, load_iris().data[i::3])
    weeks, relapsed, drug = np.concatenate(
        [
            np.loadtxt(ROOT / f"examples/data/ward_{i}.csv", delimiter=",", skiprows=1, dtype=int)
            for i in range(3)
        ]
    ).T
    totals = [
        (len(weeks[drug == arm]), relapsed[drug == arm].sum(), weeks[drug == arm].sum()) for arm in (0, 1)
    ]
    assert totals == [(21, 21, 182), (21, 9, 359)]  # the sums of Freireich et al.'s table


def test_a_deployment_with_config_files(tmp_path, processes):
    """What three organisations would do: certificates, a configuration each, a process each, a dealer."""
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret_from_each([party.id + 0.5])\n"
        "    return float((x[0] * x[1]).reveal()[0])\n",
    )
    names = ["hospital-0", "hospital-1", "dealer"]
    assert mpc("certs", *names, "--out", tmp_path / "certs").returncode == 0
    results = [ended(p) for p in processes.session(deployment(tmp_path), program)]
    assert [code for code, _, _ in results] == [0, 0, 0], results
    assert [out.strip() for _, out, _ in results] == ["0.75", "0.75", ""]
    assert "Operations at hospital-1" in results[1][2]


def test_reveal_to_one_party_is_printed_by_that_party_alone(tmp_path):
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret(21, owner=0)\n    seen = (x + x).reveal(to=1)\n"
        "    return None if seen is None else f'sees {seen}'\n",
    )
    done = mpc("run", program, "-n", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "party-1 printed:\n  sees 42\n"


def test_without_tls_is_asked_for_by_name_and_said(tmp_path):
    program = write(tmp_path, "def main(party):\n    return int(party.secret(7).reveal())\n")
    done = mpc("run", program, "-n", 3, "--insecure-no-tls")
    assert done.returncode == 0 and done.stdout == "7\n"
    assert "INSECURE: plain TCP" in done.stderr


def test_trace_is_one_that_perfetto_reads(tmp_path):
    program = write(
        tmp_path, "def main(party):\n    x = party.secret(np.arange(30_000), owner=0)\n    (x * x).reveal()\n"
    )
    done = mpc("run", program, "-n", 3, "--trace", tmp_path / "trace.json")
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["pid"] for e in events} == {"party-0", "party-1", "party-2"}
    assert {"multiply", "reveal"} <= {e["name"] for e in events}
    assert all(e["ph"] == "X" and e["dur"] >= 0 and e["ts"] > 0 for e in events)


def test_a_pipe_gets_no_progress_bar_and_no_escape_codes(tmp_path):
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret(np.arange(3_000_000), owner=0)\n    (x * x).reveal()\n",
    )
    done = mpc("run", program, "-n", 2, "--dealer")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr and "%" not in done.stderr


def test_a_terminal_gets_a_progress_bar(tmp_path):
    import pty

    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret(np.arange(3_000_000), owner=0)\n    (x * x).reveal()\n",
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MPC, "run", str(program), "-n", "2", "--dealer"],
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    # the terminal is closed when the last process ends
    except OSError:
        pass
    os.close(ours)
    assert process.wait(timeout=600) == 0
    assert b"multiply" in seen and b"100%" in seen


def test_suites_shows_threat_costs_and_papers():
    done = mpc("suites")
    assert done.returncode == 0
    for words in ("additive", "semi-honest", "n-1 of n", "trusted dealer", "2(n-1) elements", "Beaver"):
        assert words in done.stdout


def test_bench_prints_what_it_promises():
    done = mpc("bench", "chain", "open", "--size", "300", "--json", "--tls")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["name"] for line in lines} == {"chain", "open"}
    wanted = [
        "name",
        "suite",
        "parties",
        "size",
        "tls",
        "seconds",
        "per_second",
        "bytes_sent_per_party",
        "rounds",
        "verified",
        "preprocessing",
    ]
    assert all(set(wanted) <= set(line) and line["verified"] and line["tls"] for line in lines)
    assert {line["preprocessing"] for line in lines if line["name"] == "chain"} == {"received", "in_loop"}
    assert [line["rounds"] for line in lines if line["name"] == "chain"] == [1000, 1000]


def test_import_is_quick():
    """It loads nothing that is slow to load until the first name is used, and no compiler then."""
    code = """import sys, mpc, mpc.errors
loaded = lambda: {name.partition('.')[0] for name in sys.modules}
assert not loaded() & {'numpy', 'cryptography', 'gmpy2', 'ssl', 'click', 'rich'}
mpc.local
assert not loaded() & {'numba', 'click', 'rich', 'scipy', 'pandas'}"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_first_program_wakes_no_compiler():
    code = (
        "import sys, runpy; runpy.run_path('examples/average_salary.py', run_name='__main__'); assert 'numba'"
        " not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_a_party_loads_nothing_that_its_program_does_not_compute_with(tmp_path):
    """What takes as long to load as a small program to run: oblivious transfers among three, progress bars,
    tables, a check.
    """
    heavy = (
        "numba",
        "rich",
        "protocols.ot",
        "protocols.prep.store",
        "protocols.numpy.shadow",
        "pandas",
        "scipy",
    )
    program = tmp_path / "light.py"
    program.write_text(f"""import sys
def main(party):
    mean = sum(party.secret_from_each(party.id)) / 3
    return abs(mean.reveal() - 1) < 1e-4, [name for name in {heavy} if name in sys.modules]
""")
    done = mpc("run", program, "-n", 3)
    assert done.stdout == "(True, [])\n", done.stdout + done.stderr


# -- bad input ------------------------------------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 6, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("party.secret(np.ones(3), owner=0) + np.ones(4)", ("ValueError", "shape", "program.py, line")),
        ("party.secret(np.ones(3)) @ party.secret(np.ones(4))", ("matmul", "(3,)", "(4,)")),
        ("party.secret([1e30])", ("±2^46", "16 fractional bits")),
        ("party.secret([float('nan')])", ("NaN",)),
        ("party.secret(['a'])", ("cannot be shared",)),
        ("party.secret(1, owner=7)", ("no party 7",)),
        ("np.vander(party.secret([1, 2, 3]))", ("np.vander of secrets is not built",)),
        ("float(party.secret(1.5))", ("call .reveal()",)),
        ("1 / 0", ("ZeroDivisionError", "program.py, line 6")),
    ],
)
def test_a_wrong_program_gets_one_clear_sentence(tmp_path, body, words):
    refused(mpc("run", write(tmp_path, f"def main(party):\n    {body}\n"), "-n", 3), *words)


def test_an_exception_that_cannot_say_what_it_is_gets_a_sentence_too(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "class Odd(Exception):\n    def __str__(self):\n        raise ValueError('patient 4711')\n\n\ndef"
        " main(party):\n    raise Odd\n"
    )
    done = mpc("run", program, "-n", 3)
    refused(done, "Odd: it cannot say what went wrong (in program.py, line 7)")
    assert "4711" not in done.stderr


@pytest.mark.parametrize("after", [0.1, 0.2, 0.3, 0.5])
def test_an_interrupt_while_a_party_still_loads_shows_no_traceback(tmp_path, processes, after):
    party = processes.start("party", "examples/average_salary.py", "--config", tmp_path / "none.toml")
    # none of the moments is sure to come before or after anything
    time.sleep(after)
    party.send_signal(signal.SIGINT)
    _, _, said = ended(party)
    assert "Traceback" not in said or "/mpc/cli/" not in said, said


def test_what_all_say_alike_is_said_once(tmp_path):
    done = mpc("run", write(tmp_path, "def main(party):\n    1 / 0\n"), "-n", 3)
    refused(done, "party-0, party-1, party-2: error: ZeroDivisionError")
    assert done.stderr.count("ZeroDivisionError") == 1


@pytest.mark.parametrize(
    ("returned", "printed"),
    [
        ("x", "<Secret int array (), replicated>"),
        ("{'mean': x, 'n': 2}", "{'mean': <Secret int array (), replicated>, 'n': 2}"),
        ("[1, (2, {'deep': [x]})]", "[1, (2, {'deep': [<Secret int array (), replicated>]})]"),
    ],
)
def test_a_secret_that_is_returned_gets_a_hint(tmp_path, returned, printed):
    done = mpc(
        "run",
        write(tmp_path, f"def main(party):\n    x = party.secret(1, owner=0) + 1\n    return {returned}\n"),
        "-n",
        3,
        "--quiet",
    )
    assert done.returncode == 0 and done.stdout == f"{printed}\n"
    assert done.stderr == "main returned a secret: call its .reveal() to see what it is\n"


def test_debug_shows_the_traceback(tmp_path):
    done = mpc("run", write(tmp_path, "def main(party):\n    1 / 0\n"), "-n", 3, "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr


def typed(*args: object) -> subprocess.CompletedProcess[str]:
    """``mpc`` in this process, for what is refused before anything is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpc.cli.write_no_core", lambda: None)  # this process may
        done = CliRunner().invoke(command_line, list(map(str, args)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout, done.stderr)


def test_wrong_options_and_files(tmp_path):
    refused(mpc("run", tmp_path / "none.py"), "none.py is not a file")
    refused(typed("run", write(tmp_path, "x = 1\n"), "-n", 2), "no function main(party)")
    refused(typed("run", "examples/average_salary.py", "--suite", "rot13"), "no suite 'rot13'", "additive")
    refused(typed("run", "examples/average_salary.py", "-n", 1), "2 or more parties")
    refused(typed("run", "examples/average_salary.py", "--ring", 17), "64, 32, 128")
    refused(typed("run", "examples/average_salary.py", "--network", "dsl"), "lan, wan")
    refused(typed("party", "examples/average_salary.py", "--config", tmp_path / "none.toml"), "none.toml")
    with_dealer = deployment(tmp_path, 3, tls=False, suite="replicated")[0]
    refused(typed("party", "examples/average_salary.py", "--config", with_dealer), "needs no dealer")
    for number in ("nan", "inf", "1e9", "0"):
        refused(typed("run", "examples/average_salary.py", "--timeout", number), "--timeout")
    for number in (257, 10**26):
        refused(typed("run", "examples/average_salary.py", "-n", number), "256")
    for days in (0, -1, 10_000_000, 10**30):
        refused(typed("certs", "a", "--days", days, "--out", tmp_path / "none"), "1 to 36500")
    for command in (("certs", "a"), ("aggregate", "keys", "a")):
        refused(typed(*command, "--out", "/proc/x"), "the folder /proc/x cannot be made")
    refused(typed("bench", "sing"), "no benchmark 'sing'")
    refused(typed("certs", "bad name!", "--out", tmp_path), "bad name!")


def test_dealer_and_party_tell_each_others_files_apart(tmp_path):
    configs = deployment(tmp_path)
    refused(mpc("party", "examples/average_salary.py", "--config", configs[-1]), "is the dealer")
    refused(mpc("dealer", "--config", configs[0]), "is a party")


def test_port_in_use(tmp_path):
    configs = deployment(tmp_path)
    port = int(configs[0].read_text().split('address = "127.0.0.1:')[1].split('"')[0])
    with socket.create_server(("127.0.0.1", port)):
        refused(mpc("party", "examples/average_salary.py", "--config", configs[0]), str(port), "in use")


# -- parties that do not agree --------------------------------------------------------------------------


def test_different_programs_are_named(tmp_path, processes):
    one = write(tmp_path, "def main(party):\n    return 1\n", "one.py")
    two = write(tmp_path, "def main(party):\n    return 2\n", "two.py")
    results = [ended(p) for p in processes.session(deployment(tmp_path), one, two)[:2]]
    for code, _, err in results:
        assert code != 0 and "another program" in err and "Traceback" not in err
    assert "hospital-1 runs with another program" in results[0][2]


@pytest.mark.parametrize(("field", "value"), [("ring", 32), ("fraction_bits", 12)])
def test_different_rings_and_encodings_are_named(tmp_path, processes, field, value):
    configs = deployment(tmp_path)
    configs[1].write_text(f"{field} = {value}\n" + configs[1].read_text())
    program = write(tmp_path, "def main(party):\n    return 1\n")
    for code, _, err in [ended(p) for p in processes.session(configs, program)[:2]]:
        assert code != 0 and "runs with another" in err and f"{field} (there" in err and str(value) in err


def test_programs_that_diverge_in_mid_run(tmp_path):
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret([3], owner=0)\n"
        "    return (x * x).reveal() if party.id else x.reveal()\n",
    )
    done = mpc("run", program, "-n", 3)
    refused(done)
    assert "diverged" in done.stderr and "'multiply" in done.stderr and "'reveal'" in done.stderr


def test_a_program_that_ends_early(tmp_path):
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret([3], owner=0)\n    return None if party.id else x.reveal()\n",
    )
    refused(mpc("run", program, "-n", 2), "party-1 has ended its program")


def test_silent_transfers_take_fewer_bytes(tmp_path):
    program = write(
        tmp_path,
        "def main(party):\n    x = party.secret(np.arange(25_000), owner=0)\n    return (x *"
        " x).reveal()[77]\n",
    )
    sent = {}
    for options in ((), ("--silent-transfers",)):
        done = mpc("run", program, "-n", 2, *options)
        assert done.returncode == 0 and done.stdout.strip() in ("5929", "np.int64(5929)"), done.stderr
        sent[options] = float(done.stderr.split("offline")[1].split()[1])  # MB of party 0
    assert 10 < sent[()] < 15 and 5 < sent[("--silent-transfers",)] < 7.5
    refused(mpc("run", program, "-n", 2, "--dealer", "--silent-transfers"), "nothing is transferred")


# -- parties that are lost ------------------------------------------------------------------------------

LOOP = (
    "def main(party):\n    x = party.secret(np.arange(1000), owner=0)\n    y = x * x\n"
    "    if party.id == {who}:\n        {what}\n"
    "    while True:\n        y = x * y\n        party.sync(y)\n"
)


def test_a_killed_party_ends_all_others_within_ten_seconds(tmp_path):
    program = write(tmp_path, LOOP.format(who=1, what="os.kill(os.getpid(), signal.SIGKILL)"))
    start = time.monotonic()
    done = mpc("run", program, "-n", 3)
    assert time.monotonic() - start < 10
    refused(done, "party-1", "'multiply'", "closed the connection", "SIGKILL")
    assert done.stderr.count("party-1 closed the connection") + done.stderr.count("lost party-1") >= 2


def test_a_killed_dealer_is_noticed(tmp_path, processes):
    configs = deployment(tmp_path)
    parties = processes.session(
        configs, write(tmp_path, LOOP.format(who=9, what="pass").replace("1000", "100_000"))
    )
    time.sleep(3)
    parties[-1].send_signal(signal.SIGKILL)
    start = time.monotonic()
    results = [ended(p) for p in parties[:2]]
    assert time.monotonic() - start < 10
    assert all(code != 0 for code, _, _ in results)
    assert "dealer closed the connection" in results[1][2] and "lost dealer" in results[0][2]


def test_a_stalled_party_is_given_up_on(tmp_path):
    program = write(tmp_path, LOOP.format(who=1, what="time.sleep(60)"))
    start = time.monotonic()
    done = mpc("run", program, "-n", 3, "--timeout", 2)
    assert time.monotonic() - start < 25
    refused(done, "party-1", "nothing for 2 s", "'multiply'")


def test_a_failing_party_is_reported_without_its_message(tmp_path):
    """What one party's own error says is for its own eyes: it may quote data."""
    program = write(tmp_path, LOOP.format(who=1, what="raise ValueError('patient 4711')"))
    done = mpc("run", program, "-n", 3)
    refused(done, "party-1 gave up", "ValueError")
    others = [line for line in done.stderr.splitlines() if not line.startswith("party-1:")]
    assert others and not any("4711" in line for line in others)


def test_no_one_comes(tmp_path):
    configs = deployment(tmp_path, timeout=2)
    start = time.monotonic()
    refused(
        mpc("party", "examples/average_salary.py", "--config", configs[0]),
        "hospital-1",
        "did not join within 2 s",
    )
    assert time.monotonic() - start < 8


def test_a_certificate_of_another_is_noticed_before_anybody_is_called(tmp_path):
    configs = deployment(tmp_path, timeout=30)
    configs[0].write_text(
        configs[0]
        .read_text()
        .replace("hospital-0.pem", "hospital-1.pem")
        .replace("hospital-0.key", "hospital-1.key")
    )
    start = time.monotonic()
    refused(
        mpc("party", "examples/average_salary.py", "--config", configs[0]),
        "is for hospital-1",
        'me = "hospital-0"',
    )
    assert time.monotonic() - start < 10


def test_an_ended_launcher_takes_its_parties_with_it(tmp_path):
    """However it ends: nobody computes on for a user who has left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        marks = tmp_path / str(number)
        marks.mkdir()
        program = write(
            tmp_path,
            f"def main(party):\n    open(f'{marks}/{{party.id}}-{{os.getpid()}}', 'w')\n    time.sleep(60)\n",
        )
        launcher = subprocess.Popen(
            [*MPC, "run", str(program), "-n", "2", "--dealer"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        launcher.send_signal(number)
        launcher.wait()
        pids = [int(mark.name.split("-")[1]) for mark in marks.iterdir()]
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(pids) == 2 and not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    except OSError:
        return False


def test_an_async_main_is_refused(tmp_path):
    refused(mpc("run", write(tmp_path, "async def main(party):\n    return 1\n"), "-n", 2), "async")


def test_a_trace_that_cannot_be_written_is_noticed_before_the_run(tmp_path):
    program = write(tmp_path, "def main(party):\n    print('ran')\n")
    done = mpc("run", program, "-n", 2, "--trace", "/nonexistent/trace.json")
    refused(done, "/nonexistent/trace.json")
    assert done.stdout == ""


def test_causes_come_before_consequences(tmp_path):
    done = mpc(
        "run",
        write(
            tmp_path, "def main(party):\n    party.secret([float('nan')] if party.id else [1.0], owner=1)\n"
        ),
        "-n",
        3,
    )
    refused(done, "NaN", "program.py, line 6")
    assert "NaN" in done.stderr.splitlines()[0]
