# SPDX-License-Identifier: Apache-2.0
"""Options of group [tacker_cir]."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from oslo_config import cfg

from tacker_cir import config


def test_the_options_are_found_through_their_entry_point():
    (found,) = entry_points(group="oslo.config.opts", name="tacker_cir")
    assert found.load()() == [("tacker_cir", config.OPTS)]


def test_a_sample_file_is_generated_and_read_back(tmp_path):
    sample = tmp_path / "sample.conf"
    program = "import sys; from oslo_config.generator import main; sys.exit(main())"
    arguments = ["--namespace", "tacker_cir", "--output-file", str(sample)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    text = sample.read_text()
    assert "[tacker_cir]" in text
    for option in config.OPTS:
        assert f"#{option.name} = " in text, option.name
        assert option.help
    sample.write_text(text.replace("#ssh_wait_timeout = 600", "ssh_wait_timeout = 5"))
    conf = config.register_opts(cfg.ConfigOpts())
    conf([], default_config_files=[str(sample)])
    assert conf.tacker_cir.ssh_wait_timeout == 5
    assert conf.tacker_cir.host_key_policy == "tofu"


def test_registering_twice_does_no_harm():
    conf = cfg.ConfigOpts()
    assert config.register_opts(config.register_opts(conf)) is conf


@pytest.mark.parametrize(
    ("name", "value"),
    [("host_key_policy", "ask"), ("ssh_wait_timeout", "0"), ("command_timeout", "soon")],
)
def test_wrong_values_are_refused(tmp_path, name, value):
    file = tmp_path / "tacker.conf"
    file.write_text(f"[tacker_cir]\n{name} = {value}\n")
    conf = config.register_opts(cfg.ConfigOpts())
    conf([], default_config_files=[str(file)])
    with pytest.raises(cfg.ConfigFileValueError):
        conf.tacker_cir[name]
