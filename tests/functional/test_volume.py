# SPDX-License-Identifier: Apache-2.0
"""Volumes with all that may be on them, against the real programs and real block devices."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tacker_cir import exceptions as exc
from tacker_cir.command import Command
from tacker_cir.facts import gather
from tacker_cir.host import volume as host_volume
from tacker_cir.host.volume import PATHS, Volume, ensure_volume
from tacker_cir.registry.running import _COPY_DATA
from tacker_cir.ssh import Connection
from tests.functional import program
from tests.functional.conftest import connect
from tests.functional.server import wait_for
from tests.functional.volumes import LoopVolume, VolumeMachine, run, why_not
from tests.machine import machine

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "volumes")

WHERE = "/srv/registry"
#: The smallest that mkfs.xfs makes.
XFS_BYTES = 300 * 1024 * 1024


@pytest.fixture
def vm(sshd_program, tmp_path) -> Iterator[VolumeMachine]:
    started = VolumeMachine(sshd_program, tmp_path / "vm")
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture
def new_volume(tmp_path) -> Iterator[Callable[..., LoopVolume]]:
    """Make volumes; they end before the machine does, as soon as nothing is mounted any more."""
    made: list[LoopVolume] = []

    def make(size: int = 64 * 1024 * 1024) -> LoopVolume:
        made.append(LoopVolume(tmp_path, size))
        return made[-1]

    yield make
    for volume in made:
        volume.remove()


@pytest.fixture
def volume(vm, new_volume) -> LoopVolume:
    """A blank volume that is attached."""
    made = new_volume()
    vm.attach(made)
    return made


def ensure(vm: VolumeMachine, volume: LoopVolume, device: str | None = None) -> list[str]:
    with connect(vm) as connection:
        facts = gather(connection, files=PATHS)
        wanted = Volume(volume.id, WHERE, device)
        return ensure_volume(machine(connection, facts, service_timeout=2), wanted)


def refused(vm: VolumeMachine, volume: LoopVolume, device: str | None = None) -> exc.HostError:
    with pytest.raises(exc.HostError) as caught:
        ensure(vm, volume, device)
    assert caught.value.remedy
    return caught.value


def digest(volume: LoopVolume) -> str:
    return hashlib.sha256(volume.file.read_bytes()).hexdigest()


def changes(volume: LoopVolume, *what: str) -> list[str]:
    return [f"volume {volume.id} {each}" for each in what]


FORMATTED, MOUNTED = "formatted", f"mounted at {WHERE}"


def test_a_blank_volume_is_formatted_once(vm, volume):
    assert ensure(vm, volume) == changes(volume, FORMATTED, MOUNTED)
    assert run("blkid", "--probe", "-o", "value", "-s", "LABEL", volume.loop) == "tacker-cir"
    vm.sh(f"echo kept >{WHERE}/data/file")
    asked = vm.directory / "programs" / "asked"
    before = asked.read_text().replace("is-active", "").count("start")
    assert ensure(vm, volume) == []
    assert asked.read_text().replace("is-active", "").count("start") == before
    vm.reboot()
    assert ensure(vm, volume) == changes(volume, MOUNTED)
    assert vm.sh(f"cat {WHERE}/data/file") == "kept"


def test_the_unit_mounts_the_volume_at_a_boot(vm, volume):
    ensure(vm, volume)
    vm.sh(f"echo kept >{WHERE}/data/file")
    vm.reboot()
    start = vm.sh(f"sed -n s/^ExecStart=//p /etc/systemd/system/{host_volume.UNIT}")
    vm.sh(start)
    assert vm.sh(f"cat {WHERE}/data/file") == "kept"
    options = vm.sh(f"findmnt --noheadings --output OPTIONS {WHERE}").split(",")
    assert {"nodev", "nosuid", "noexec", "errors=remount-ro"} <= set(options)
    assert ensure(vm, volume) == []


def test_a_boot_without_the_volume_fails_and_one_with_it_late_does_not(vm, volume):
    ensure(vm, volume)
    start = vm.sh(f"sed -n s/^ExecStart=//p /etc/systemd/system/{host_volume.UNIT}")
    vm.reboot()
    vm.detach()
    *words, seconds = start.split()
    assert seconds == "90"
    assert "66" in vm.sh(f"{' '.join(words)} 1 2>&1 || echo $?")
    number = run("lsblk", "--nodeps", "--noheadings", "--output", "MAJ:MIN", volume.loop)
    major, minor = number.strip().split(":")
    vm.sh(f"(sleep 1; mknod /dev/vdc b {major} {minor}) & {' '.join(words)} 20")
    assert vm.sh(f"mountpoint {WHERE}")


@pytest.mark.parametrize("link", ["virtio-{short}", "scsi-0QEMU_QEMU_HARDDISK_{whole}",
                                  "nvme-QEMU_NVMe_Ctrl_{short}", "nvme-QEMU_NVMe_Ctrl_{short}_1",
                                  "wwn-0x5-{whole}"])  # fmt: skip
def test_the_device_is_known_by_its_serial_number(vm, new_volume, link):
    other, volume = new_volume(), new_volume()
    vm.attach(other, "vdb")
    vm.attach(volume, "vdc", tells_serial=False)
    name = link.format(short=volume.id[:20], whole=volume.id)
    vm.sh(f"ln -s ../../vdc /dev/disk/by-id/{name}; ln -s ../../vdb /dev/disk/by-id/{name}-part1")
    ensure(vm, volume)
    assert run("blkid", "--probe", "-o", "value", "-s", "LABEL", volume.loop) == "tacker-cir"
    assert not any(other.file.read_bytes())


def test_a_volume_that_is_attached_late(vm, new_volume):
    volume = new_volume()
    link, looked = f"/dev/disk/by-id/virtio-{volume.id[:20]}", f"{vm.directory}/looked"
    attach = f"cp -a {vm.directory}/node /dev/vdb; ln -s ../../vdb {link}"
    look = f'touch {looked}; exec /usr/bin/lsblk "$@"'
    # It comes when it was looked for in vain.
    vm.program_file(
        "lsblk", f"#!/bin/sh\nif [ -e {looked} ] && [ ! -e {link} ]; then {attach}; fi\n{look}\n"
    )
    run("cp", "-a", volume.loop, str(vm.directory / "node"))
    assert ensure(vm, volume) == changes(volume, FORMATTED, MOUNTED)


def test_a_volume_that_is_not_attached(vm, new_volume):
    volume = new_volume()
    error = refused(vm, volume)
    assert f"no block device of the VM has the serial number of volume {volume.id}" in error.cause
    assert "attached" in error.remedy and "data_volume.device" in error.remedy


def test_a_device_that_is_named_where_no_serial_number_is_told(vm, new_volume):
    volume = new_volume()
    vm.attach(volume, "sda", tells_serial=False)
    assert "no block device" in refused(vm, volume).cause
    assert ensure(vm, volume, "/dev/sda") == changes(volume, FORMATTED, MOUNTED)


def test_a_device_that_is_named_and_is_another_volume_s(vm, new_volume):
    volume = new_volume()
    vm.attach(volume, "sda", tells_serial=False)
    vm.program_file("lsblk", "#!/bin/sh\ncase $* in *SERIAL*/dev/sda) echo 0123; exit ;; esac\n"
                    'exec /usr/bin/lsblk "$@"\n')  # fmt: skip
    assert "no block device" in refused(vm, volume, "/dev/sda").cause


def test_two_devices_with_one_serial_number(vm, new_volume, volume):
    other = new_volume()
    vm.attach(other, "vdc", tells_serial=False)
    vm.sh(f"ln -s ../../vdc /dev/disk/by-id/scsi-SQEMU_{volume.id}")
    error = refused(vm, volume)
    assert "several devices" in error.cause and "/dev/vdb, /dev/vdc" in error.cause


def write(volume: LoopVolume, offset: int, data: bytes) -> None:
    with Path(volume.loop).open("r+b") as device:
        device.seek(offset)
        device.write(data)


def mkfs(kind: str, *options: str) -> Callable[[LoopVolume], object]:
    return lambda volume: run(f"mkfs.{kind}", "-q", *options, volume.loop)


def partition_table(volume: LoopVolume) -> None:
    """A master boot record with one partition (type 83)."""
    entry = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little")
    write(volume, 446, entry + (4096).to_bytes(4, "little"))
    write(volume, 510, b"\x55\xaa")


def lvm(volume: LoopVolume) -> None:
    """A physical volume of LVM2 (label in the second sector; its checksum is not looked at)."""
    label = b"LABELONE" + (1).to_bytes(8, "little") + bytes(4) + (32).to_bytes(4, "little")
    write(volume, 512, label + b"LVM2 001" + b"A" * 32 + SIZE_BYTES)


SIZE_BYTES = (64 * 1024 * 1024).to_bytes(8, "little")


def luks(volume: LoopVolume) -> None:
    write(volume, 0, b"LUKS\xba\xbe" + (1).to_bytes(2, "big") + b"aes\0".ljust(32, b"\0"))


FOREIGN = {
    "ext4": (mkfs("ext4", "-L", "others"), "ext4) with the label 'others'"),
    "ext4 without a label": (mkfs("ext4"), "ext4)"),
    "ext2 with our label": (mkfs("ext2", "-L", "tacker-cir"), "ext2)"),
    "partition table": (partition_table, "a partition table (dos)"),
    "LVM": (lvm, "LVM2_member"),
    "LUKS": (luks, "crypto_LUKS"),
    "swap": (lambda volume: run("mkswap", volume.loop), "swap"),
    "unknown data": (lambda volume: write(volume, 100, b"cipher"), "data of an unknown kind"),
}


@pytest.mark.parametrize(("make", "told"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_is_refused_and_not_changed(vm, volume, make, told):
    make(volume)
    run("sync")
    before = digest(volume)
    error = refused(vm, volume)
    assert told in error.cause and "nothing on it was changed" in error.cause
    assert "wipefs --all /dev/vdb" in error.remedy
    assert "another volume" in error.remedy
    run("sync")
    assert digest(volume) == before
    assert vm.sh("ls /srv") == ""


@pytest.mark.parametrize("top", ["docker", "data/docker"])
def test_a_volume_of_an_earlier_registry_is_taken(vm, volume, top, tmp_path):
    tree = tmp_path / "tree"
    (tree / top / "registry/v2/blobs").mkdir(parents=True)
    (tree / top / "registry/v2/blobs/one").write_text("blob")
    run("mkfs.ext4", "-q", "-L", "registry", "-d", str(tree), volume.loop)
    assert ensure(vm, volume) == changes(volume, MOUNTED)
    assert vm.sh(f"cat {WHERE}/data/docker/registry/v2/blobs/one") == "blob"
    assert vm.sh(f"ls {WHERE}").split() == ["data", "lost+found"]
    assert ensure(vm, volume) == []
    vm.reboot()
    assert ensure(vm, volume) == changes(volume, MOUNTED)


@pytest.fixture
def xfs(new_volume) -> LoopVolume:
    """A volume with an xfs, which is never made by us."""
    if "\txfs\n" not in Path("/proc/filesystems").read_text():
        pytest.skip("this machine's kernel has no xfs")
    # The program is below /sbin or /usr/sbin, as the package's age is.
    tree = program.unpacked("xfsprogs", "usr/share/doc/xfsprogs/copyright", "xfsprogs")
    (path,) = tree.glob("**/sbin/mkfs.xfs")
    made = new_volume(XFS_BYTES)
    environment = program.Program(path, tree).environment
    subprocess.run([path, "-q", made.loop], check=True, env=environment)
    return made


@pytest.mark.parametrize("top", ["docker", "data/docker"])
def test_an_xfs_of_an_earlier_registry_is_taken(vm, xfs, top):
    vm.attach(xfs)
    vm.sh("mkdir /srv/other; mount /dev/vdb /srv/other; "
          f"mkdir -p /srv/other/{top}/registry/v2/blobs; "
          f"echo blob >/srv/other/{top}/registry/v2/blobs/one; umount /srv/other")  # fmt: skip
    assert ensure(vm, xfs) == changes(xfs, MOUNTED)
    assert vm.sh(f"findmnt --noheadings --output FSTYPE {WHERE}") == "xfs"
    assert vm.sh(f"cat {WHERE}/data/docker/registry/v2/blobs/one") == "blob"
    assert ensure(vm, xfs) == []
    vm.reboot()
    assert ensure(vm, xfs) == changes(xfs, MOUNTED)
    assert vm.sh(f"cat {WHERE}/data/docker/registry/v2/blobs/one") == "blob"


def test_an_xfs_of_others_is_refused_and_not_changed(vm, xfs):
    vm.attach(xfs)
    vm.sh("mkdir /srv/other; mount /dev/vdb /srv/other; touch /srv/other/file; umount /srv/other")
    run("sync")
    before = digest(xfs)
    error = refused(vm, xfs)
    assert "xfs)" in error.cause and "nothing on it was changed" in error.cause
    run("sync")
    assert digest(xfs) == before


@pytest.mark.parametrize("exit_status", [1, 4, 8])
@pytest.mark.parametrize("program", ["blkid", "wipefs"])
def test_a_probe_that_fails_is_not_a_blank_volume(vm, volume, program, exit_status):
    script = f"#!/bin/sh\necho 'error: Input/output error' >&2\nexit {exit_status}\n"
    vm.program_file(program, script)
    before = digest(volume)
    assert "cannot be probed" in refused(vm, volume).cause
    assert digest(volume) == before


def test_a_device_that_cannot_be_read_is_not_a_blank_volume(vm, volume):
    """blkid's exit status is the same for a device that cannot be read as for a blank one."""
    vm.program_file("head", "#!/bin/sh\necho 'head: Input/output error' >&2\nexit 1\n")
    assert "nothing on it was changed" in refused(vm, volume).cause
    assert not any(volume.file.read_bytes())


def cut(vm: VolumeMachine, program: str, script: str) -> Path:
    """Have one run of a program of the format end as when the machine loses its power."""
    real = run("which", program)
    return vm.program_file(
        program, f"#!/bin/sh\n{script.format(real=real)}\nkill -9 $PPID\nexit 1\n"
    )


CUTS = {
    "before mkfs begins": ("mkfs.ext4", ""),
    "all but the superblock is written": (
        "mkfs.ext4",
        '{real} "$@"; dd if=/dev/zero of=/dev/vdb bs=1024 seek=1 count=1 conv=notrunc 2>/dev/null',
    ),
    "only the superblock is written": (
        "mkfs.ext4",
        '{real} "$@"; dd if=/dev/zero of=/dev/vdb bs=1024 seek=2 count=9000 conv=notrunc'
        " 2>/dev/null",
    ),
    "mkfs ends": ("mkfs.ext4", '{real} "$@"'),
    "the label is about to be set": ("e2label", ""),
    "the label is set": ("e2label", '{real} "$@"'),
}


@pytest.mark.parametrize(("program", "script"), CUTS.values(), ids=CUTS)
def test_a_format_that_was_cut_is_made_again(vm, volume, program, script):
    stopped = cut(vm, program, script)
    with pytest.raises(exc.HostError, match="format the volume"):
        ensure(vm, volume)
    stopped.unlink()
    assert MOUNTED in ensure(vm, volume)[-1]
    vm.sh(f"umount {WHERE}")
    assert run("e2fsck", "-fn", volume.loop)


def test_a_used_file_system_with_the_label_of_an_unfinished_one_is_kept(vm, volume, tmp_path):
    ensure(vm, volume)
    vm.sh(f"echo kept >{WHERE}/data/file; umount {WHERE}")
    run("e2label", volume.loop, "tacker-cir-new")
    vm.reboot()
    run("sync")
    before = digest(volume)
    assert "in use before" in refused(vm, volume).cause
    run("sync")
    assert digest(volume) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_connection_is_cut_at_each_command(vm, volume, when):
    number, done = 0, False
    while not done:
        number += 1
        assert number < 20
        vm.cut_at(number, when)
        try:
            ensure(vm, volume)
        except exc.ConnectionLost:
            continue
        done = True
    assert number > 3
    vm.cut_at(0, "never")
    assert ensure(vm, volume) == []
    assert vm.sh(f"mountpoint {WHERE}")


def test_errors_that_can_be_corrected_are_before_the_mount(vm, volume):
    ensure(vm, volume)
    vm.sh(f"echo kept >{WHERE}/data/file; umount {WHERE}")
    run("debugfs", "-w", "-R", "set_super_value free_blocks_count 17", volume.loop)
    run("debugfs", "-w", "-R", "set_super_value state 2", volume.loop)
    vm.reboot()
    assert ensure(vm, volume) == changes(volume, MOUNTED)
    assert vm.sh(f"cat {WHERE}/data/file") == "kept"
    vm.sh(f"umount {WHERE}")
    assert run("e2fsck", "-fn", volume.loop)


def test_errors_that_a_person_must_judge_are_told(vm, volume):
    ensure(vm, volume)
    vm.sh(f"for n in 1 2 3; do echo $n >{WHERE}/data/file$n; done; umount {WHERE}")
    # Two files with the same blocks.
    run("debugfs", "-w", "-R", "set_inode_field data/file2 block[2] 1", volume.loop)
    run("debugfs", "-w", "-R", "set_inode_field <2> mode 0100644", volume.loop)
    run("debugfs", "-w", "-R", "set_super_value state 2", volume.loop)
    vm.reboot()
    error = refused(vm, volume)
    assert error.step == "mount the volume" and "e2fsck ended with status 4" in error.cause
    assert "snapshot" in error.remedy and "e2fsck -f UUID=" in error.remedy
    assert "not a mountpoint" in vm.sh(f"mountpoint {WHERE} 2>&1 || :")


def test_a_file_system_that_went_read_only_is_told(vm, volume):
    ensure(vm, volume)
    vm.sh(f"mount -o remount,ro {WHERE}")
    error = refused(vm, volume)
    assert "takes no writes" in error.cause and "dmesg" in error.remedy


def test_a_volume_that_went_away_while_it_was_mounted(vm, volume):
    ensure(vm, volume)
    vm.detach()
    assert "no block device" in refused(vm, volume).cause
    vm.attach(volume)
    assert ensure(vm, volume) == []


def test_a_device_that_others_use_is_refused(vm, volume):
    run("mkfs.ext4", "-q", volume.loop)
    vm.sh("mkdir /srv/other && mount /dev/vdb /srv/other")
    assert "in use already (mounted at /srv/other)" in refused(vm, volume).cause
    vm.sh("umount /srv/other")


def test_a_directory_that_is_not_empty_is_not_hidden(vm, volume):
    vm.sh(f"mkdir -p {WHERE}; touch {WHERE}/important")
    error = refused(vm, volume)
    assert f"{WHERE} is not empty" in error.cause and "important" in error.cause
    assert "data_path" in error.remedy
    assert not any(volume.file.read_bytes())


def test_a_directory_with_another_device_is_refused(vm, volume):
    vm.sh(f"mkdir -p {WHERE}; mount -t tmpfs tmpfs {WHERE}")
    assert "another device is mounted" in refused(vm, volume).cause
    assert not any(volume.file.read_bytes())


def copy(vm: VolumeMachine) -> None:
    with connect(vm) as connection:
        copy_through(connection)


def copy_through(connection: Connection) -> None:
    connection.run(Command.script("copy", _COPY_DATA, "/home/old", f"{WHERE}/data"))


def test_a_volume_that_is_full_loses_nothing(vm, new_volume):
    volume = new_volume(16 * 1024 * 1024)
    vm.attach(volume)
    ensure(vm, volume)
    vm.sh("mkdir -p /home/old/docker/registry/v2")
    vm.sh("head -c 30000000 /dev/urandom >/home/old/docker/registry/v2/blob")
    before = vm.sh("sha256sum </home/old/docker/registry/v2/blob")
    with pytest.raises(exc.CommandFailed, match="No space left on device"):
        copy(vm)
    assert vm.sh("sha256sum </home/old/docker/registry/v2/blob") == before
    assert vm.sh(f"ls -A {WHERE}/data") == ""

    vm.sh("head -c 3000000 /home/old/docker/registry/v2/blob >/home/old/part")
    vm.sh("mv /home/old/part /home/old/docker/registry/v2/blob")
    copy(vm)
    before = vm.sh("sha256sum </home/old/docker/registry/v2/blob")
    assert vm.sh(f"sha256sum <{WHERE}/data/docker/registry/v2/blob") == before


def test_a_copy_goes_on_when_its_connection_broke(vm, volume, tmp_path):
    """The next operation waits for it, and neither takes away what the other has copied."""
    ensure(vm, volume)
    vm.sh("mkdir -p /home/old/docker; head -c 3000000 /dev/urandom >/home/old/docker/blob")
    begun, go = tmp_path / "begun", tmp_path / "go"
    cp = f'#!/bin/sh\n{shutil.which("cp")} "$@" && echo copied >>{begun}\n'
    vm.program_file("cp", f"{cp}until [ -e {go} ]; do sleep 0.05; done\n")
    with ThreadPoolExecutor() as pool:
        with connect(vm) as connection:
            first = pool.submit(copy_through, connection)
            wait_for(begun.exists, "the copy")
        with pytest.raises(exc.ConnectionLost):
            first.result()
        second = pool.submit(copy, vm)
        waits = "pgrep --full --exact 'flock 9' || :"
        wait_for(lambda: vm.sh(waits) or second.done(), "the second copy waits")
        go.touch()
        second.result()
    assert begun.read_text().split() == ["copied"]
    digests = vm.sh(f"sha256sum </home/old/docker/blob; sha256sum <{WHERE}/data/docker/blob")
    assert len(set(digests.split("\n"))) == 1
    assert vm.sh(f"ls -A {WHERE}/data") == "docker"
