# SPDX-License-Identifier: Apache-2.0
"""Play the demo through Nova's own objects, without and with the plugin.

    .nova/34.0.0/bin/python tools/nova_demo.py [--mariadb] [--races NUMBER] ...

Run by the Python of a virtualenv that ``tools/nova_venvs.py`` made. The races
are those of ``nova-db-states demo``; what a side writes goes through
``nova.objects.Instance`` of the Nova that is installed there, into a cell
database that Nova's own migrations made. Processes with the plugin differ
from the others in nothing but that it is active.
"""

import argparse
from collections.abc import Iterator
import contextlib
import functools
import pathlib
import subprocess
import sys
import tempfile
from typing import Final

import sqlalchemy as sa

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from nova_db_states import exceptions  # noqa: E402 - only now found
from nova_db_states.cmd import demo as demo_command  # noqa: E402
from nova_db_states.cmd import demo_tables  # noqa: E402
from nova_db_states.demo import runner  # noqa: E402
from tests.resources import mariadb  # noqa: E402
from tools import nova_ways  # noqa: E402

_WORDING: Final = demo_tables.Wording(
    "{races} races through nova.objects.Instance: two processes write the row "
    "of the same server, first with Nova alone, then with Nova and the "
    "plugin. A delete waits until the build is over; in {restarts} of the "
    "races nova-compute is restarted meanwhile, and goes by what the row "
    "says.",
    {
        "direct": "Nova, plugin off",
        "guarded": "Nova, plugin on",
    },
    ("off", "on"),
    ("Nova alone", "Nova with the plugin"),
)


@contextlib.contextmanager
def sqlite(url: str | None) -> Iterator[str]:
    """Let Nova make a cell database in a temporary file.

    :param url: is none
    :returns: yields its URL
    """
    assert url is None
    with tempfile.TemporaryDirectory(prefix="nova-db-states-") as folder:
        made = f"sqlite:///{pathlib.Path(folder) / 'cell.sqlite'}"
        _migrate(made)
        engine = sa.create_engine(made)
        # Readers and the one writer then do not stop each other.
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        engine.dispose()
        yield made


@contextlib.contextmanager
def on_mariadb(url: str | None) -> Iterator[str]:
    """Let Nova make a cell database on a private server.

    :param url: is none
    :returns: yields its URL
    """
    assert url is None
    with mariadb.MariaDBServer() as server:
        made = server.url(server.create_database("cell"))
        _migrate(made)
        yield made


def _migrate(url: str) -> None:
    script = ROOT / "tests" / "resources" / "nova_db_sync.py"
    done = subprocess.run(
        [sys.executable, str(script), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise runner.DemoFailed(
            f"Nova could not make its database:\n{done.stdout}"
        )


def main() -> int:
    """Play, and print the table.

    :returns: the exit code, as that of ``nova-db-states demo``
    """
    parser = argparse.ArgumentParser(
        prog="make demo-nova", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--mariadb",
        action="store_true",
        help="on a private MariaDB server (default: a temporary SQLite file)",
    )
    demo_command.add_options(parser)
    options = parser.parse_args()
    settings = runner.Settings(
        None, options.races, options.workers, options.seed
    )
    play = functools.partial(
        runner.play,
        settings,
        modes=(nova_ways.PlainNova, nova_ways.PluginNova),
        opened=on_mariadb if options.mariadb else sqlite,
        apart=True,
    )
    try:
        return demo_command.show(
            play, settings, options.format, sys.stdout, sys.stderr, _WORDING
        )
    except exceptions.NovaDBStatesError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
