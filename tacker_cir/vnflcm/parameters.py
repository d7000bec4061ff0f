# SPDX-License-Identifier: Apache-2.0
"""Members of ``additionalParams`` that are not the drivers': UserData, and what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.image_archive import PackageFileError
from tacker_cir.package import VnfPackage
from tacker_cir.params import boot_options, schema
from tacker_cir.templates.flavours import Flavour
from tacker_cir.templates.user_data import CLASS_KEY, PATH_KEY, UserData, file_of, read_user_data
from tacker_cir.vnflcm.kinds import DRIVER_KEYS

_ROOT = "additionalParams"


def find_parameter_faults(
    given: Any, package: VnfPackage | None, flavour: Flavour | None
) -> list[Fault]:
    """Return what is wrong with the members of ``additionalParams`` that Tacker or the package's
    UserData reads.

    :param flavour: that the request names; None where it is not known
    """
    if not isinstance(given, Mapping):
        return []
    faults: list[Fault] = []
    user_data = _user_data(given, package, flavour, faults)
    faults += _unknown(given, package, flavour, user_data)
    faults += boot_options.find_faults(given, package, sorted(flavour.vnfd.vdus) if flavour else ())
    return faults


def _path(name: str) -> str:
    return schema.join(_ROOT, name)


def _user_data(
    given: Mapping[str, Any],
    package: VnfPackage | None,
    flavour: Flavour | None,
    faults: list[Fault],
) -> UserData | None:
    """Return the request's UserData, None where it names none that can be read."""
    names = {PATH_KEY: "the path of the UserData", CLASS_KEY: "the name of the UserData's class"}
    present = [key for key in names if key in given]
    for key in present:
        if not isinstance(given[key], str) or not given[key]:
            faults.append(Fault(_path(key), f"expected {names[key]}, a text"))
            return None
    if len(present) == 1:
        (missing,) = names.keys() - set(present)
        faults.append(Fault(_path(missing), f"is missing; expected {names[missing]} as well"))
    if flavour is not None:
        faults += _missing_user_data(bool(present), flavour)
    if package is None or PATH_KEY not in given:
        return None
    return _read(given, package, faults)


def _missing_user_data(named: bool, flavour: Flavour) -> Iterator[Fault]:
    if flavour.hot is not None and not named:
        yield Fault(
            _path(PATH_KEY),
            f"is missing; the flavour {flavour.id} has a base HOT, which Tacker takes only with it",
        )
    if flavour.hot is None and named:
        yield Fault(_path(PATH_KEY), f"is for a base HOT, and the flavour {flavour.id} has none")


def _read(given: Mapping[str, Any], package: VnfPackage, faults: list[Fault]) -> UserData | None:
    path = given[PATH_KEY]
    if "." in file_of(path).removesuffix(".py"):
        problem = "expected a path without dots in it: Tacker makes a module's name of it"
        faults.append(Fault(_path(PATH_KEY), problem))
        return None
    try:
        found = read_user_data(package.text(file_of(path)))
    except (PackageFileError, ValueError) as error:
        faults.append(Fault(_path(PATH_KEY), f"{schema.shown(path)} {error}"))
        return None
    name = given.get(CLASS_KEY)
    if isinstance(name, str) and name not in found.classes:
        known = sorted(found.classes)
        hint = schema.did_you_mean(name, known) if known else "it has none"
        problem = f"{path} has no class {schema.shown(name)} with a method instantiate; {hint}"
        faults.append(Fault(_path(CLASS_KEY), problem))
    return found


def _unknown(
    given: Mapping[str, Any],
    package: VnfPackage | None,
    flavour: Flavour | None,
    user_data: UserData | None,
) -> Iterator[Fault]:
    """Yield members that nobody reads. Who reads which only the package tells."""
    known = [*boot_options.NAMES, PATH_KEY, CLASS_KEY]
    inputs = flavour.vnfd.inputs if flavour else frozenset()
    for name in map(str, given):
        if name in DRIVER_KEYS or name in (PATH_KEY, CLASS_KEY) or name in inputs:
            continue
        near = schema.nearest(name, known)
        if user_data is not None:
            unread = not user_data.may_read(name) or _is_misspelt(name, user_data)
        elif name in boot_options.NAMES and PATH_KEY not in given:
            # Said of each of them where no UserData is named.
            unread = False
        else:
            # Of TOSCA alone Tacker takes the inputs; without a package only a typo is one.
            unread = flavour is not None and package is not None and flavour.hot is None
            unread = unread or (near is not None and name not in known)
        if unread and not schema.nearest(name, DRIVER_KEYS):
            hint = f"; did you mean {near}?" if near and near != name else ""
            yield Fault(_path(name), f"is read by nobody{hint}")


def _is_misspelt(name: str, user_data: UserData) -> bool:
    """Return whether a script that puts names together would read another name, much alike."""
    if name in user_data.words or name in boot_options.NAMES:
        return False
    near = schema.nearest(name, boot_options.NAMES)
    return near is not None and user_data.may_read(near)
