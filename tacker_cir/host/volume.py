# SPDX-License-Identifier: Apache-2.0
"""A volume of the machine: its device, its file system and where that is mounted.

Only a device that is proven blank is formatted; one with anything on it is either ours, or a
registry's, or refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.host import volume_scripts as scripts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.reading import answer_of, reader
from tacker_cir.render import volume as render
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

UNIT = "tacker-cir-registry-volume.service"
SCRIPT = "/etc/tacker-cir/registry-volume.sh"
_UNIT_PATH = f"/etc/systemd/system/{UNIT}"
_DROP_IN = "/etc/systemd/system/docker.service.d/tacker-cir-registry-volume.conf"

#: Every path whose state :func:`ensure_volume` must know.
PATHS = (SCRIPT, _UNIT_PATH, _DROP_IN)

#: Seconds that a boot waits for a volume that is attached late.
BOOT_TIMEOUT = 90
#: File systems that are taken; only ext4 is made.
_KINDS = ("ext4", "xfs")

_NUMBER = re.compile(r"[0-9]{1,7}:[0-9]{1,7}", re.ASCII)
_PATH = re.compile(r"/dev/[!-~]{1,250}", re.ASCII)
_UUID = re.compile(r"[0-9A-Fa-f-]{8,40}", re.ASCII)

_FIND, _LOOK = "find the volume's device", "look at the volume"
_FORMAT, _MOUNT = "format the volume", "mount the volume"
_ATTACH = "see in Nova whether the volume is attached to the server"


@dataclass(frozen=True)
class Volume:
    """A volume as the machine shall have it.

    :param id: in Cinder
    :param where: directory of the machine where it shall be mounted
    :param device: its device where the machine tells no serial numbers, else None
    """

    id: str
    where: str
    device: str | None = None


@dataclass(frozen=True)
class Device:
    """A block device.

    :param number: major and minor, as the kernel has them
    """

    path: str
    number: str


@dataclass
class State:
    """What a device holds and where it is.

    :param tags: what a low-level probe says, by its names
    :param probe: exit statuses of both probes, and how many bytes of the first 1024 could be read,
        and how many are not zero
    :param signatures: of anything known, in words
    :param users: other devices that are on it
    :param mounts: where it is mounted
    :param there: number of the device that is mounted where it shall be
    :param writable: whether that can be written
    :param hidden: names that a mount there would hide
    :param unit: whether its unit is active, and whether it is enabled
    """

    tags: dict[str, str] = field(default_factory=dict)
    probe: tuple[str, ...] = ()
    signatures: str = ""
    users: str = ""
    mounts: list[str] = field(default_factory=list)
    there: str = ""
    writable: bool = False
    hidden: str = ""
    unit: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.tags.get("TYPE", "")

    @property
    def label(self) -> str:
        return self.tags.get("LABEL", "")

    @property
    def is_blank(self) -> bool:
        """Whether both probes ended well and found nothing."""
        return self.probe == ("2", "0", "1024", "0") and not self.signatures

    @property
    def is_unfinished(self) -> bool:
        """Whether a format was begun and not ended."""
        return self.kind == "ext4" and self.label == scripts.UNFINISHED_LABEL

    @property
    def is_ours(self) -> bool:
        return self.kind in _KINDS and self.label == scripts.LABEL

    @property
    def content(self) -> str:
        """What it holds, in words."""
        if self.probe[:2] not in (("0", "0"), ("2", "0")):
            return "something that cannot be probed"
        if self.kind:
            label = f" with the label {shown(self.label, 40)!r}" if self.label else ""
            return f"a file system or part of one ({shown(self.kind, 40)}){label}"
        if self.tags.get("PTTYPE"):
            return f"a partition table ({shown(self.tags['PTTYPE'], 40)})"
        return shown(self.signatures, 80) or "data of an unknown kind"


def ensure_volume(machine: Machine, volume: Volume) -> list[str]:
    """Have a volume mounted, now and after each boot, and Docker wait for it.

    :param machine: read with :data:`PATHS`
    :return: what was changed, one line each
    :raises HostError: it is not attached, holds something else or is damaged; nothing on it was
        changed then
    """
    device = _find(machine, volume)
    state = _look(machine, device, volume)
    changes = []
    if state.there != device.number:
        _check_place(machine.node, device, state, volume)
        if _prepare(machine, device, state):
            changes.append(f"volume {volume.id} formatted")
            state = _look(machine, device, volume)
    elif not state.writable:
        raise _read_only(machine.node, device, volume)
    written = machine.ensure(*_files(machine.node, state, volume))
    if state.there != device.number:
        _mount(machine, state, volume)
        changes.append(f"volume {volume.id} mounted at {volume.where}")
    if written or state.unit != ("active", "enabled"):
        _enable(machine)
    return changes


def _find(machine: Machine, volume: Volume) -> Device:
    """Wait until the machine has the volume's device, and return it."""
    command = Command.script(_FIND, scripts.FIND, volume.id, volume.device or "")

    def attempt() -> Device:
        output = machine.connection.run(command, remedy=_ATTACH).stdout
        with answer_of(machine.node, _FIND):
            found, there = _devices(output, volume.device is not None)
        if not found:
            raise NotYet(f"the VM has {there or 'no block device'}")
        if len(found) > 1:
            raise _ambiguous(machine.node, volume, found)
        return found[0]

    def otherwise(last: NotYet) -> HostError:
        return HostError(
            machine.node,
            _FIND,
            f"no block device of the VM has the serial number of volume {volume.id} ({last})",
            f"{_ATTACH}; where the hypervisor tells no serial numbers, name the volume's device in "
            "data_volume.device",
        )

    return wait_until(attempt, Deadline(machine.limits.service_timeout), otherwise)


@reader("a list of block devices")
def _devices(output: str, is_given: bool) -> tuple[list[Device], str]:
    """Return the devices that may be the volume, and the names of all.

    :param is_given: whether the request names one, which is right where no serial number tells
    """
    lines = [line.split("\t") for line in _whole(output)]
    found = [_device(line) for line in lines if line[0] == "found"]
    by_number = {device.number: device for device in found}
    serials = [line[1] for line in lines if line[0] == "serial" and line[1]]
    if not by_number and is_given and not serials:
        by_number = {d.number: d for d in (_device(ln) for ln in lines if ln[0] == "given")}
    (there,) = [line[1] for line in lines if line[0] == "there"]
    return list(by_number.values()), shown(there.strip(), 200)


def _device(line: list[str]) -> Device:
    _, number, path = line
    if not (_NUMBER.fullmatch(number) and _PATH.fullmatch(path)):
        raise ValueError
    return Device(path, number)


def _whole(output: str) -> list[str]:
    """Return the lines before the last one, which says that there are no more.

    :raises ValueError: it is not there
    """
    *lines, end, rest = output.split("\n")
    if end != "end" or rest:
        raise ValueError
    return lines


def _ambiguous(node: str, volume: Volume, found: list[Device]) -> HostError:
    names = ", ".join(device.path for device in found)
    return HostError(
        node,
        _FIND,
        f"several devices have the serial number of volume {volume.id}: {names}",
        "see 'lsblk -o NAME,SERIAL' of the VM; a volume must be attached once only",
    )


def _look(machine: Machine, device: Device, volume: Volume) -> State:
    command = Command.script(
        _LOOK, scripts.LOOK, device.path, device.number, volume.where, UNIT, confidential=True
    )
    output = machine.connection.run(command).stdout
    with answer_of(machine.node, _LOOK):
        return _parse(output)


@reader("the state of a volume")
def _parse(output: str) -> State:
    state = State()
    for line in _whole(output):
        kind, *values = line.split("\t")
        match kind, values:
            case "tag", [name, value]:
                state.tags[name] = value
            case "probe", [numbers]:
                state.probe = tuple(numbers.split())
            case "mount", [path]:
                state.mounts.append(path)
            case "unit", [active, enabled]:
                state.unit = (active, enabled)
            case "writable", _:
                state.writable = True
            case (("signatures" | "users" | "there" | "hidden"), [value]):
                setattr(state, kind, value.strip())
            case _:
                raise ValueError
    if len(state.probe) != 4:
        raise ValueError
    return state


def _check_place(node: str, device: Device, state: State, volume: Volume) -> None:
    """Refuse a device that somebody else uses, and a directory that is somebody else's."""
    if state.users or state.mounts:
        used = shown(state.users or f"mounted at {', '.join(state.mounts)}", 200)
        cause = f"{device.path} is in use already ({used})"
        remedy = "end that use on the VM, or in its image and cloud-init"
        raise HostError(node, _LOOK, cause, remedy)
    if state.there:
        cause = f"another device is mounted at {volume.where}"
        raise HostError(node, _MOUNT, cause, "unmount it, or name another directory in data_path")
    if state.hidden:
        cause = f"{volume.where} is not empty, and a mount would hide it: {shown(state.hidden)}"
        raise HostError(node, _MOUNT, cause, "name another directory in data_path")


def _prepare(machine: Machine, device: Device, state: State) -> bool:
    """Bring the device to a file system that is ours, and return whether it was made now."""
    if state.is_blank or state.is_unfinished:
        _format(machine, device)
        return True
    if state.is_ours or (state.kind in _KINDS and _holds_registry(machine, device, state)):
        return False
    raise _foreign(machine.node, device, state.content)


def _format(machine: Machine, device: Device) -> None:
    LOG.info("%s: formatting %s, which is blank", machine.node, device.path)
    try:
        machine.connection.run(
            Command.script(_FORMAT, scripts.FORMAT, device.path, device.number),
            timeout=machine.limits.image_timeout,
            remedy=f"see why mkfs.ext4 fails; {_ATTACH}",
        )
    except CommandFailed as error:
        if error.exit_status != scripts.NOT_BLANK:
            raise
        raise _foreign(machine.node, device, "a file system that was in use before") from None


def _holds_registry(machine: Machine, device: Device, state: State) -> bool:
    step = "look for a registry on the volume"
    found = machine.connection.run(
        Command.script(step, scripts.HOLDS_REGISTRY, device.path, state.kind),
        remedy=f"see whether 'mount -o ro {device.path}' of the VM works",
    )
    return found.stdout.strip() == "registry"


def _foreign(node: str, device: Device, content: str) -> HostError:
    return HostError(
        node,
        _LOOK,
        f"{device.path} holds {content}, which is not the registry's; nothing on it was changed",
        f"give another volume; if nothing on this one is needed, run 'wipefs --all {device.path}' "
        "and clear its first MiB, and retry; an ext4 that the registry shall have gets the label "
        f"{scripts.LABEL} with e2label",
    )


def _read_only(node: str, device: Device, volume: Volume) -> HostError:
    return HostError(
        node,
        _LOOK,
        f"the file system of {device.path} at {volume.where} takes no writes, as after errors",
        "see 'dmesg' of the VM; a reboot of the VM checks the file system",
    )


def _files(node: str, state: State, volume: Volume) -> tuple[ManagedFile, ...]:
    """Return what mounts the volume at each boot.

    :raises HostError: its file system has no name to find it by
    """
    uuid, kind = state.tags.get("UUID", ""), state.kind
    if not _UUID.fullmatch(uuid) or kind not in _KINDS:
        cause = f"the file system {shown(kind, 40)!r} has no UUID: {shown(uuid, 40)!r}"
        raise HostError(node, _LOOK, cause, "give another volume")
    unit = render.mount_unit(SCRIPT, uuid, kind, volume.where, BOOT_TIMEOUT)
    return (
        ManagedFile(SCRIPT, scripts.MOUNT.encode(), 0o755),
        ManagedFile(_UNIT_PATH, unit.encode()),
        ManagedFile(_DROP_IN, render.required_drop_in(UNIT, volume.where).encode()),
    )


def _mount(machine: Machine, state: State, volume: Volume) -> None:
    uuid = state.tags["UUID"]
    words = ("sh", SCRIPT, uuid, state.kind, volume.where, "0")
    try:
        machine.connection.run(
            Command(words, _MOUNT),
            timeout=machine.limits.image_timeout,
            remedy="see 'dmesg' of the VM",
        )
    except CommandFailed as error:
        if error.exit_status != scripts.DAMAGED:
            raise
        remedy = (
            "make a snapshot of the volume, then repair its file system on the VM with "
            f"'e2fsck -f UUID={uuid}' and retry, or give another volume"
        )
        raise HostError(machine.node, _MOUNT, error.cause, remedy) from None


def _enable(machine: Machine) -> None:
    script = 'systemctl daemon-reload && systemctl enable "$1" && systemctl start "$1"'
    machine.connection.run(
        Command.script(f"start {UNIT}", script, UNIT),
        timeout=machine.limits.image_timeout,
        remedy=f"look at 'journalctl -u {UNIT}' of the VM",
    )
