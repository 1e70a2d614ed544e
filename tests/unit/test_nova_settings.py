# SPDX-License-Identifier: Apache-2.0
"""The plugin's options: found, explained, readable and changeable always."""

from collections.abc import Callable, Iterator
import logging
import pathlib
import subprocess
import sys

from oslo_config import cfg
from oslo_config import generator
import pytest

from nova_db_states import conf
from nova_db_states.nova import settings

Configure = Callable[[str], pathlib.Path]


@pytest.fixture
def configure(tmp_path: pathlib.Path) -> Iterator[Configure]:
    """Let the global configuration of oslo.config be read from a file."""
    settings.register()

    def read(text: str) -> pathlib.Path:
        file = tmp_path / "nova.conf"
        file.write_text(f"[nova_db_states]\n{text}\n")
        cfg.CONF([], project="nova", default_config_files=[str(file)])
        return file

    yield read
    cfg.CONF.reset()


def test_sample_generator_finds_the_options() -> None:
    """The namespace gives each option with effect, default and unit."""
    done = subprocess.run(
        [
            pathlib.Path(sys.executable).parent / "oslo-config-generator",
            "--namespace",
            "nova_db_states",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    sample = done.stdout
    assert "[nova_db_states]" in sample
    for option in conf.OPTIONS:
        assert f"#{option.name} = {option.default}\n" in sample
        assert option.mutable
    assert sample.count("# Note: This option can be changed without") == 3
    assert "No description" not in sample
    for value in (*conf.MODES, "in seconds", "Minimum value: 1"):
        assert value in sample


def test_entry_point_of_the_generator() -> None:
    """What is listed there is what the plugin registers."""
    [(group, options)] = conf.list_opts()
    assert (group.name, tuple(options)) == (conf.GROUP, conf.OPTIONS)
    listed = generator._list_opts(["nova_db_states"])
    assert [name for name, _ in listed] == ["nova_db_states"]


def test_before_the_configuration_is_read() -> None:
    """The options have their defaults, registered or not."""
    settings.register()
    cfg.CONF.reset()
    cfg.CONF.unregister_opts(conf.OPTIONS, group=conf.GROUP)
    with pytest.raises(cfg.NoSuchOptError):
        cfg.CONF[conf.GROUP].mode  # noqa: B018
    assert not settings.are_read()
    assert not settings.is_required()
    assert settings.mode() == conf.ENFORCE
    assert not settings.is_off()
    assert not settings.observes()
    assert settings.conflict_log_level() == logging.INFO
    assert settings.watch_interval_s() == 10.0


@pytest.mark.parametrize(
    ("text", "mode", "is_required"),
    [
        ("", "enforce", False),
        ("mode = enforce", "enforce", True),
        ("mode = observe", "observe", False),
        ("mode = off", "off", False),
    ],
)
def test_modes(
    configure: Configure, text: str, mode: str, *, is_required: bool
) -> None:
    """Guards are a must only for who wrote so himself."""
    configure(text)
    assert settings.are_read()
    assert settings.mode() == mode
    assert settings.is_off() == (mode == "off")
    assert settings.observes() == (mode == "observe")
    assert settings.is_required() == is_required


def test_mode_changes_at_run_time(configure: Configure) -> None:
    """What a SIGHUP does in Nova is enough to change any option."""
    file = configure("mode = enforce")
    file.write_text(
        "[nova_db_states]\nmode = observe\nconflict_log_level = error\n"
        "watch_interval = 2.5\n"
    )
    assert settings.mode() == "enforce"
    cfg.CONF.mutate_config_files()
    assert settings.observes()
    assert not settings.is_required()
    assert settings.conflict_log_level() == logging.ERROR
    assert settings.watch_interval_s() == 2.5
    file.write_text("[nova_db_states]\nmode = off\n")
    cfg.CONF.mutate_config_files()
    assert settings.is_off()
    assert settings.watch_interval_s() == 10.0


@pytest.mark.parametrize("at_run_time", [False, True])
def test_value_that_is_none(
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
    *,
    at_run_time: bool,
) -> None:
    """A mistake in the file fails no save: the default counts, and is told."""
    settings._complain.cache_clear()
    mistakes = "mode = enforced\nwatch_interval = 0\nconflict_log_level = x\n"
    if at_run_time:
        configure("mode = off").write_text(f"[nova_db_states]\n{mistakes}")
        cfg.CONF.mutate_config_files()
    else:
        configure(mistakes)
    for _ in range(2):
        assert settings.mode() == "enforce"
        assert settings.watch_interval_s() == 10.0
        assert settings.conflict_log_level() == logging.INFO
    assert not settings.is_required()
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == settings.__name__
    ]
    assert len(told) == len({*told}) == 3
    assert "[nova_db_states] mode" in told[0]
    assert told[0].endswith("It counts as enforce.")
