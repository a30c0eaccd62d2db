"""The command line: ``mpc run``, ``party``, ``offline``, ``dealer``, ``certs``, ``aggregate``, ``suites``,
``bench``.

With ``mpc/__init__.py`` and ``mpc/conformance.py`` the one place in ``mpc`` that knows ``protocols``: this is
the front door.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # An interrupt while all this loads ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click

from mpc.cli import aggregation, sessions, tools
from mpc.process import have_standard_files, write_no_core


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mpc-engine")
def main() -> None:
    """Secure multi-party computation for NumPy programs.

    Several parties, each with private data, compute a joint result and see nothing else.
    """
    have_standard_files()
    write_no_core()


for command in (
    sessions.run,
    sessions.party,
    sessions.offline,
    sessions.dealer,
    tools.certs,
    aggregation.aggregate,
    tools.suites,
    tools.bench,
):
    main.add_command(command)
