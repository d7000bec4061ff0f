# SPDX-License-Identifier: Apache-2.0
"""tacker-conductor's configuration as its files have it, read for the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from tacker_cir import config
from tacker_cir.params.schema import nearest, shown

_TACKERS: dict[str, list[cfg.Opt]] = {
    "tacker": [cfg.ListOpt("vnflcm_mgmt_driver", default=["vnflcm_noop"])],
    "nfvo_vim": [cfg.ListOpt("vim_drivers", default=["openstack", "kubernetes"])],
    "k8s_vim": [cfg.BoolOpt("use_barbican", default=True)],
    "keystone_authtoken": [cfg.StrOpt("user_domain_name"), cfg.StrOpt("project_domain_name")],
}

#: Letters in which a misspelt name differs.
_SLIPS = 2


class ConductorConf:
    """What the configuration files say.

    :param files: as given to tacker-conductor with ``--config-file``
    :raises cfg.Error: one cannot be read
    """

    def __init__(self, files: Sequence[Path]):
        self._conf = cfg.ConfigOpts()
        for group, options in _TACKERS.items():
            self._conf.register_opts(options, group=group)
        config.register_opts(self._conf)
        names = [str(file) for file in files]
        self._conf([], project="tacker", default_config_files=names)
        self._sections: dict[str, dict[str, list[str]]] = {}
        for name in names:
            sections: dict[str, dict[str, list[str]]] = {}
            cfg.ConfigParser(name, sections).parse()
            for section, given in sections.items():
                self._sections.setdefault(section, {}).update(given)

    def get(self, group: str, option: str) -> Any:
        """Return an option's value, None where the one that is there is not valid."""
        try:
            return self._conf[group][option]
        except (cfg.Error, ValueError):
            return None

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield subject and problem of each option whose value is not valid, of each unknown name
        in our group, and of what is probably meant for one of the options."""
        for group, options in (*_TACKERS.items(), (config.GROUP, config.OPTS)):
            for option in options:
                yield from self._value_fault(group, option)
        for section in self._sections:
            yield from self._section_faults(section)

    def _value_fault(self, group: str, option: cfg.Opt) -> Iterator[tuple[str, str]]:
        try:
            self._conf[group][option.name]
        except (cfg.Error, ValueError):
            given = self._sections.get(group, {}).get(option.name, [""])[-1]
            yield f"[{group}] {option.name}", f"expected {_expected(option)}; got {shown(given)}"

    def _section_faults(self, section: str) -> Iterator[tuple[str, str]]:
        given = self._sections[section]
        if section == config.GROUP:
            yield from _unknown(section, given, [option.name for option in config.OPTS], True)
        elif section in _TACKERS:
            # Of Tacker's options only these are known here.
            yield from _unknown(section, given, [o.name for o in _TACKERS[section]], False)
        elif nearest(section, [config.GROUP]):
            yield f"[{section}]", f"is no group of options; did you mean [{config.GROUP}]?"


def _unknown(
    section: str, given: dict[str, list[str]], known: list[str], every: bool
) -> Iterator[tuple[str, str]]:
    """Yield names in a section that are not known.

    :param every: False for those only that are a known one but for a letter or two
    """
    for name in given:
        near = nearest(name, known)
        if name in known or not (every or (near and _distance(name, near) <= _SLIPS)):
            continue
        hint = f"did you mean {near}?" if near else f"known: {', '.join(sorted(known))}"
        yield f"[{section}] {name}", f"is no option; {hint}"


def _distance(one: str, other: str) -> int:
    """Return how many letters have to be changed, added or taken away."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != wanted))
    return row[-1]


def _expected(option: cfg.Opt) -> str:
    if isinstance(option, cfg.BoolOpt):
        return "true or false"
    if isinstance(option, cfg.IntOpt):
        return f"a whole number from {getattr(option.type, 'min', 0)} on"
    choices = getattr(option.type, "choices", None)
    return f"one of {', '.join(choices)}" if choices else "a text"
