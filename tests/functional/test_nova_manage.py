# SPDX-License-Identifier: Apache-2.0
"""Beside a real Nova: its cells are found, its commands go on working."""

from collections.abc import Callable, Iterator
import concurrent.futures
import dataclasses
import datetime
import json
import pathlib
import re
import subprocess
from urllib import parse

import pytest
import sqlalchemy as sa

from nova_db_states import migrations
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from tests import conftest
from tests.resources import rows
from tests.resources import schema
from tests.resources import servers
from tools import nova_venvs

# Every character that means something in a URL or to str.format.
PASSWORD = "p:a/s@s%w{0}rd?"
ENCODED = parse.quote(PASSWORD, safe="")

_LONG_AGO = datetime.datetime(2020, 1, 1)


@dataclasses.dataclass(frozen=True)
class Deployment:
    """An API database that a real Nova made, with its cells mapped.

    :ivar config: the path of ``nova.conf``
    :ivar cells: URL of each cell's database by name
    """

    config: pathlib.Path
    cells: dict[str, str]


# nova-manage spends four seconds on its imports: they are done once, and a
# child is forked for each command.
_NOVA_MANAGE = """
import json, os, sys
sys.argv = ["nova-manage"]
from nova.cmd import manage
for command in json.loads(sys.stdin.read()):
    child = os.fork()
    if not child:
        sys.argv = ["nova-manage", *command]
        sys.exit(manage.main())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(f"<exit code {code}>", flush=True)
"""


def _nova_manage(
    config: pathlib.Path, *commands: str
) -> list[tuple[int, str]]:
    """Run commands of a real Nova, and give exit code and output of each.

    What differs from run to run, times and process ids, is taken away.
    """
    arguments = [
        [f"--config-file={config}", *command.split()] for command in commands
    ]
    done = subprocess.run(
        [str(nova_venvs.python(schema.NEWEST)), "-c", _NOVA_MANAGE],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    found = re.findall(
        r"(.*?)<exit code (\d+)>\n", done.stdout, flags=re.DOTALL
    )
    assert len(found) == len(commands), done.stdout + done.stderr
    moment = re.compile(r"^\d{4}-\d\d-\d\d \S+ \d+", flags=re.MULTILINE)
    return [(int(code), moment.sub("", output)) for output, code in found]


def _write_config(path: pathlib.Path, cell: str, api: str) -> pathlib.Path:
    path.write_text(
        f"[DEFAULT]\ntransport_url = fake://\n"
        f"[database]\nconnection = {cell}\n"
        f"[api_database]\nconnection = {api}\n"
    )
    return path


@pytest.fixture(scope="module")
def user(mariadb_server: servers.Server) -> Iterator[str]:
    """Make a database user as Nova has it, grants only by database."""
    mariadb_server.execute(
        "CREATE USER 'walker'@'%%' IDENTIFIED BY %s", PASSWORD
    )
    yield "walker"
    mariadb_server.execute("DROP USER 'walker'@'%'")


def _grant(server: servers.Server, user: str, database: str) -> str:
    """Let the user into one database more, and give its URL to it."""
    server.execute(f"GRANT ALL ON `{database}`.* TO {user}@'%'")
    return (
        sa.make_url(server.url(database))
        .set(username=user, password=PASSWORD, query={"charset": "utf8mb4"})
        .render_as_string(hide_password=False)
    )


@pytest.fixture(scope="module")
def deployment(
    mariadb_server: servers.Server,
    hold: Callable[..., schema.MariaDBSchema],
    user: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Let Nova make an API database and map three cells, one a template."""
    made = hold(schema.nova_mariadb(schema.NEWEST))
    databases = {name: made.create() for name in ("cell0", "cell1", "cell2")}
    databases["api"] = mariadb_server.create_database("api")
    urls = {
        name: _grant(mariadb_server, user, database)
        for name, database in databases.items()
    }
    config = _write_config(
        tmp_path_factory.mktemp("nova") / "nova.conf",
        urls["cell1"],
        urls["api"],
    )
    template = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
    answers = _nova_manage(
        config,
        "api_db sync",
        f"cell_v2 map_cell0 --database_connection {urls['cell0']}",
        f"cell_v2 create_cell --name cell1 --transport-url fake://one"
        f" --database_connection {template}?{{query}}",
        f"cell_v2 create_cell --name cell2 --transport-url fake://two"
        f" --database_connection {urls['cell2']} --disabled",
    )
    assert [code for code, _ in answers] == [0, 0, 0, 0], answers
    yield Deployment(config, {name: urls[name] for name in databases})
    for database in databases.values():
        mariadb_server.drop_database(database)


def _cli(
    capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    code = shell.main(arguments)
    captured = capfd.readouterr()
    for text in (captured.out, captured.err):
        for secret in (PASSWORD, ENCODED, "s%40s"):
            assert secret not in text
    return code, captured.out, captured.err


def _run_script(url: str, script: str) -> None:
    """Run what was printed on one connection, as the server's client does."""
    engine = sa.create_engine(sa.make_url(url).set(database=""))
    with engine.connect() as connection:
        for statement in script.splitlines():
            if not statement.startswith("--"):
                connection.exec_driver_sql(statement)
    engine.dispose()


def test_every_cell_is_walked(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    """From nova.conf to each cell: cell0, the template, the disabled one."""
    config = f"--config-file={deployment.config}"
    code, out, err = _cli(capfd, "db", "check", "-f", "json", config)
    assert code == 1
    assert [row["State"] for row in json.loads(out)] == ["missing"] * 3
    assert err.count("Run nova-db-states db upgrade") == 3

    code, out, err = _cli(capfd, "db", "sql", config)
    assert code == 0
    assert out.count("ALTER TABLE instances ADD INDEX") == 3
    _run_script(deployment.cells["cell0"], out)
    code, again, err = _cli(capfd, "db", "sql", config)
    assert again.count("-- nothing to do") == 3
    _, down, _ = _cli(capfd, "db", "sql", "--down", config)
    _run_script(deployment.cells["cell0"], down)

    code, out, err = _cli(capfd, "db", "upgrade", "-f", "json", config)
    assert (code, err) == (0, "")
    assert [
        (row["Cell"], sa.make_url(row["Database"]).database, row["Result"])
        for row in json.loads(out)
    ] == [
        (name, sa.make_url(deployment.cells[name]).database, "created")
        for name in ("cell0", "cell1", "cell2")
    ]
    for name in ("cell0", "cell1", "cell2"):
        engine = sa.create_engine(deployment.cells[name])
        assert migrations.missing(engine) == ()
        engine.dispose()

    code, out, err = _cli(capfd, "db", "check", config)
    assert (code, err) == (0, "")
    code, out, err = _cli(capfd, "db", "downgrade", "-f", "csv", config)
    assert (code, err) == (0, "")
    assert out.count('"dropped"') == 3


def test_one_cell_that_fails_stops_no_other(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of the worst; the other cells are done."""
    engine = sa.create_engine(deployment.cells["cell0"])
    with engine.begin() as connection:
        connection.exec_driver_sql("RENAME TABLE instances TO elsewhere")
    config = f"--config-file={deployment.config}"
    code, out, err = _cli(capfd, "db", "upgrade", "-f", "json", config)
    with engine.begin() as connection:
        connection.exec_driver_sql("RENAME TABLE elsewhere TO instances")
    engine.dispose()
    assert code == 2
    assert [row["Result"] for row in json.loads(out)] == [
        "failed",
        "created",
        "created",
    ]
    assert "Cell cell0" in err
    assert "there is no table instances" in err
    assert _cli(capfd, "db", "downgrade", config)[0] == 0


def test_the_api_database_is_no_cell(
    deployment: Deployment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given by mistake, it is refused with the way to the cells."""
    monkeypatch.setenv(targets.DB_URL_VARIABLE, deployment.cells["api"])
    code, _, err = _cli(capfd, "db", "upgrade")
    assert code == 2
    assert "This is Nova's API database: give --config-file" in err


def test_templates_as_nova_fills_them_in() -> None:
    """The same URL as Nova's own function, for every template it knows."""
    defaults = [
        f"mysql+pymysql://nova:{ENCODED}@db1:3307/nova?charset=utf8#top",
        "mysql+pymysql://nova@db1/nova",
        "mysql+pymysql://u:p@[::1]:3306/nova?a=b&c=d",
        "mysql+pymysql://u1:p1@h1:1,u2:p2@h2:2/nova",
        "mysql+pymysql://u1:p1@h1,h2:2/nova",
    ]
    templates = [
        "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}",
        "{scheme}://{username}@{hostname}/{path}_cell2?{query}#{fragment}",
        "mysql+pymysql://{username1}:{password1}@{hostname1}:{port1}/c",
        "mysql+pymysql://{username2}:{password2}@{hostname2}:{port2}/c",
        "mysql+pymysql://fixed:{unknown}@h/c",
        "mysql+pymysql://fixed:bra{ce@h/c",
        "mysql+pymysql://fixed:{}@h/c",
        "mysql+pymysql://plain:p@h/c",
    ]
    script = (
        "import json, logging, sys; logging.disable()\n"
        "import nova.conf; from nova.objects import cell_mapping as c\n"
        "nova.conf.CONF([], project='nova', default_config_files=[])\n"
        "def fill(default, template):\n"
        "    nova.conf.CONF.set_override('connection', default, 'database')\n"
        "    return c.CellMapping.format_db_url(template)\n"
        "defaults, templates = json.loads(sys.argv[1])\n"
        "print(json.dumps([[fill(d, t) for t in templates]"
        " for d in defaults]))\n"
    )
    done = subprocess.run(
        [
            str(nova_venvs.python(schema.NEWEST)),
            "-c",
            script,
            json.dumps([defaults, templates]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout.splitlines()[-1])
    found = [
        [
            targets.fill_in(template, default) or template
            for template in templates
        ]
        for default in defaults
    ]
    assert found == expected


def _fill(url: str, version: str) -> None:
    """Add instances, some of them deleted, that Nova's commands act on."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO alembic_version VALUES (:version)"),
            {"version": version},
        )
    common = {"availability_zone": "nova", "compute_id": 1, "locked": False}
    for number in range(10):
        rows.insert_instance(
            engine,
            uuid=f"00000000-0000-0000-0000-{number:012}",
            deleted=number if number % 2 else 0,
            deleted_at=_LONG_AGO if number % 2 else None,
            vm_state="deleted" if number % 2 else "active",
            **common,
        )
    engine.dispose()


def _count(engine: sa.Engine, table: str) -> int:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
        return int(found.scalar_one())


def _version(sqlite_url: str) -> str:
    """Read where Nova's migrations stand; copies on MariaDB lack the row."""
    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT * FROM alembic_version")
        version = str(found.scalar_one())
    engine.dispose()
    return version


def test_commands_of_nova(
    deployment: Deployment,
    mariadb_server: servers.Server,
    user: str,
    make_nova_mariadb: conftest.MakeCell,
    make_nova_sqlite: conftest.MakeCell,
    tmp_path: pathlib.Path,
) -> None:
    """Sync, data migrations, archive and purge answer as without us.

    On two cells alike of the oldest release, one with our indexes; and a
    table of ours in a third, which shows that archive would notice.
    """
    version = _version(make_nova_sqlite(schema.RELEASES[0]))
    api = deployment.cells["api"]
    configs = {}
    for name in ("without", "with", "table"):
        url = make_nova_mariadb(schema.RELEASES[0])
        _fill(url, version)
        # One of the cells that online_data_migrations walks is a template.
        database = str(sa.make_url(url).database)
        granted = _grant(mariadb_server, user, database)
        configs[name] = (
            url,
            _write_config(tmp_path / f"{name}.conf", granted, api),
        )
    engine = sa.create_engine(configs["with"][0])
    assert migrations.upgrade(engine)[0].action == "created"
    other = sa.create_engine(configs["table"][0])
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version_ours (i int)")

    commands = [
        "db sync --local_cell",
        "db online_data_migrations",
        "db archive_deleted_rows --verbose --max_rows 100",
        "db purge --all --verbose",
    ]
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        without, with_ours, with_table = workers.map(
            lambda name, wanted: _nova_manage(configs[name][1], *wanted),
            ("without", "with", "table"),
            (commands, commands, commands[2:3]),
        )
    assert with_ours == without
    # 1: archive has archived something.
    assert [code for code, _ in with_ours] == [0, 0, 1, 0]
    assert re.search(r"\| instances +\| 5 ", with_ours[2][1])
    assert "Deleted 5 rows from shadow_instances" in with_ours[3][1]
    assert _count(engine, "instances") == 5
    assert _count(engine, "shadow_instances") == 0
    # The newest Nova's migrations have left the index where it was.
    assert migrations.missing(engine) == ()
    [(code, output)] = with_table
    assert code not in {0, 1}
    assert "KeyError" in output
    engine.dispose()
    other.dispose()
