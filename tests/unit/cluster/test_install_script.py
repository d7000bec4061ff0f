# SPDX-License-Identifier: Apache-2.0
"""The install script at work: the script itself, under a root directory of its own. Programs that
would change the machine only note how they were called; what they would answer is in files."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacker_cir.cluster import install
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, FileFact
from tests.unit.cluster.test_install import TEXT

NOTE = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n'
#: What each program does beside noting it.
PROGRAMS = {
    "systemd-detect-virt": "exit 1",
    "hostname": "echo node",
    "swapoff": 'head -n 1 "$ROOT/proc/swaps" >"$ROOT/s"; mv "$ROOT/s" "$ROOT/proc/swaps"',
    "kubeadm": 'case $1 in version) echo v1.34.8 ;; *) [ -z "$FAIL" ] ;; esac',
    "kubectl": "exit 1",
    "hostnamectl": "", "modprobe": "", "sysctl": "", "apt-get": "", "dpkg": "", "ip": "",
    "dpkg-query": "", "apt-mark": "", "apt-cache": "", "docker": "", "crictl": "",
    # One file a unit: its load state, and its state as a file.
    "systemctl": r"""
cd "$ROOT/units" || exit 9
for word; do unit=$word; done
case $1 in
  list-unit-files) for file in *; do [ "$file" = swap.target ] || echo "$file x"; done ;;
  show) read -r load file <"$unit" || exit 1
        case $* in *LoadState*) echo "$load" ;; *) echo "$file" ;; esac ;;
  mask) grep -q ' etc' "$unit" && exit 1; echo 'masked masked' >"$unit" ;;
  disable) echo 'loaded disabled' >"$unit" ;;
esac""",
}  # fmt: skip
SWAPS = "Filename Type Size Used Priority\n"


class Machine:
    """A root directory, and the script changed to work on it."""

    def __init__(self, root: Path):
        self.root, self.calls = root, root / "calls"
        for directory in ("bin", "units", "proc", "run/lock", "var/log", "var/lib", "etc"):
            (root / directory).mkdir(parents=True)
        for name, text in PROGRAMS.items():
            program = root / "bin" / name
            program.write_text(NOTE + text)
            program.chmod(0o755)
        self.write("proc/swaps", SWAPS)
        self.write("etc/fstab", "")
        self.write("units/swap.target", "masked masked\n")
        moved = re.sub(r"(?<![\w}$])/(etc|var|run|proc/swaps)\b", rf"{root}/\1", TEXT)
        self.script = moved.replace("((EUID == 0))", "((1))")
        self.calls.touch()

    def write(self, path: str, text: str = "x\n") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *words: str, script: str | None = None, fail: str = "", stdin: str = "x\n"):
        environment = {
            **os.environ,
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "ROOT": str(self.root), "CALLS": str(self.calls), "FAIL": fail,
        }  # fmt: skip
        command = ["bash", "-c", script or self.script, "script", *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, timeout=60
        )

    def function(self, body: str):
        """Run functions of the script."""
        text = self.script.removesuffix('main "$@"\n')
        assert text != self.script
        return self.run(script=f"{text}\ncontainer=false step=install\n{body}")

    def took(self, *programs: str) -> list[str]:
        """How some programs were called."""
        return [c for c in self.calls.read_text().splitlines() if c.split()[0] in programs]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


WORDS = {
    "install": ("--kubernetes-version", "1.34.8", "--container-runtime", "containerd",
                "--packages", "repository", "--hostname", "other"),
    "pull": ("--config", "-", "--container-runtime", "containerd"),
    "init": ("--config", "-", "--container-runtime", "containerd"),
    "join": ("--config", "-", "--container-runtime", "containerd"),
    "reset": ("--container-runtime", "containerd"),
}  # fmt: skip
TRACES = (*install.TRACES, "/etc/kubernetes/manifests/kube-apiserver.yaml")


@pytest.mark.parametrize("step", WORDS)
@pytest.mark.parametrize("trace", TRACES)
def test_a_node_of_another_cluster_is_not_touched(machine, step, trace):
    machine.write(trace.lstrip("/"))
    done = machine.run(step, *WORDS[step])
    assert done.returncode == 1 and done.stdout == ""
    assert "of a cluster that was not made by this script" in done.stderr and trace in done.stderr
    assert machine.calls.read_text() == ""


def test_the_driver_looks_for_the_same_traces():
    told = re.search(r"readonly TRACES=\((.*?)\)", TEXT, re.DOTALL)[1]
    names = {"$KUBELET_CONF": "kubelet.conf", "$ADMIN_CONF": "admin.conf"}
    for name, file in names.items():
        told = told.replace(f'"{name}"', f"/etc/kubernetes/{file}")
    assert set(told.split()) - {"/etc/kubernetes/manifests/*.yaml"} == set(install.TRACES)
    for path in (install.MARKER, install.BEGUN):
        assert f"={path}\n" in TEXT


@pytest.mark.parametrize("step", ["init", "join"])
def test_what_kubeadm_left_where_it_was_cut_off_is_undone(machine, step):
    first = machine.run(step, *WORDS[step], fail="kubeadm fails")
    assert first.returncode != 0 and (machine.root / "etc/kubernetes/tacker-cir-begun").exists()
    machine.write("etc/kubernetes/kubelet.conf")
    machine.write("etc/kubernetes/bootstrap-kubelet.conf")
    done = machine.run(step, *WORDS[step])
    assert done.stdout == f'{{"step": "{step}", "changed": true}}\n', done.stderr
    kubeadm = [call.split()[1] for call in machine.took("kubeadm") if "version" not in call]
    assert kubeadm == [step, "reset", step]
    left = sorted(p.name for p in (machine.root / "etc/kubernetes").glob("tacker-cir*"))
    assert left == ["tacker-cir-node"]
    machine.calls.write_text("")
    again = machine.run(step, *WORDS[step])
    assert again.stdout == f'{{"step": "{step}", "changed": false}}\n'
    assert machine.took("kubeadm") == []


def test_a_reset_that_was_cut_off_is_still_ours(machine):
    machine.write("etc/kubernetes/tacker-cir-node", "join\n")
    machine.write("etc/kubernetes/kubelet.conf")
    assert machine.run("reset", *WORDS["reset"], fail="kubeadm fails").returncode != 0
    assert machine.run("reset", *WORDS["reset"]).returncode == 0
    assert not list((machine.root / "etc/kubernetes").glob("tacker-cir*"))


def facts_with(paths=(), files=()) -> Facts:
    fact = FileFact(0o644, "root", "root", "")
    return Facts(paths=set(paths), files={path: fact for path in files})


@pytest.mark.parametrize("trace", install.TRACES)
def test_the_driver_refuses_such_a_machine_first(trace):
    with pytest.raises(HostError, match="not made by this driver") as caught:
        install.refuse_foreign_cluster("node", facts_with([trace]))
    assert trace in str(caught.value) and "Nothing was changed" in str(caught.value)
    for ours in (install.MARKER, install.BEGUN, install.SCRIPT):
        install.refuse_foreign_cluster("node", facts_with([trace], [ours]))
    install.refuse_foreign_cluster("node", Facts())


FSTAB = {
    "/swapfile none swap": True,
    "/swapfile none swap sw 0 0": True,
    "  /swap.img\tnone\tswap\tsw,nofail\t0\t0": True,
    "UUID=1 swap swap defaults": True,
    "/dev/zram0 none swap defaults,pri=100": True,
    "# /swapfile none swap": False,
    "  #/swapfile none swap sw": False,
    "UUID=2 / ext4 errors=remount-ro 0 1": False,
    "UUID=3 /swap ext4 defaults 0 2": False,
    "tmpfs /tmp swapfs": False,
    "": False,
}


def test_each_form_of_swap_in_fstab(machine):
    lines = list(FSTAB)
    fstab = machine.write("etc/fstab", "\n".join(lines) + "\n")
    assert machine.function("ensure_no_swap; echo $changed").stdout == "true\n"
    after = fstab.read_text().splitlines()
    assert after == [f"#{line}" if FSTAB[line] else line for line in lines]
    assert machine.function("ensure_no_swap; echo $changed").stdout == "false\n"


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["", " ", "\t", "#", "swap", "none", "/x", "0"]), max_size=9))
def test_fstab_as_mount_reads_it(tmp_path_factory, words):
    """25 lines by a fixed seed: what getmntent(3) calls swap is commented out, and nothing else."""
    machine = Machine(tmp_path_factory.mktemp("machine") / "root")
    line = " ".join(words)
    fstab = machine.write("etc/fstab", f"{line}\n")
    machine.function("ensure_no_swap")
    fields = line.split()
    is_swap = len(fields) > 2 and not fields[0].startswith("#") and fields[2] == "swap"
    assert fstab.read_text() == (f"#{line}\n" if is_swap else f"{line}\n")


def test_swap_is_off_now_and_after_the_next_boot(machine):
    machine.write("proc/swaps", SWAPS + "/dev/zram0 partition 1 0 100\n")
    machine.write("units/swap.target", "loaded static\n")
    units = {
        "dev-zram0.swap": "loaded generated", r"dev-disk-by\x2duuid-1.swap": "loaded generated",
        "mnt-swap.swap": "loaded enabled etc", "zramswap.service": "loaded enabled",
        "zram-config.service": "loaded disabled", "old.swap": "masked masked",
    }  # fmt: skip
    for name, state in units.items():
        machine.write(f"units/{name}", f"{state}\n")
    done = machine.function("ensure_no_swap; echo $changed")
    assert (done.stdout, done.returncode) == ("true\n", 0), done.stderr
    assert (machine.root / "proc/swaps").read_text() == SWAPS
    states = {f.name: f.read_text().strip() for f in (machine.root / "units").iterdir()}
    assert states == {
        "swap.target": "masked masked", "dev-zram0.swap": "masked masked",
        r"dev-disk-by\x2duuid-1.swap": "masked masked", "mnt-swap.swap": "loaded disabled",
        "zramswap.service": "masked masked", "zram-config.service": "loaded disabled",
        "old.swap": "masked masked",
    }  # fmt: skip
    machine.calls.write_text("")
    assert machine.function("ensure_no_swap; echo $changed").stdout == "false\n"
    assert machine.took("swapoff") == []


def test_swap_that_stays_on_is_told(machine):
    machine.write("proc/swaps", SWAPS + "/dev/sda2 partition 1 0 -2\n")
    machine.write("bin/swapoff", "#!/bin/sh\n")
    done = machine.function("ensure_no_swap")
    assert done.returncode == 1 and "swap stays on: /dev/sda2" in done.stderr


def test_programs_of_an_image_are_judged_before_anything_is_changed(machine):
    words = [w if w != "repository" else "image" for w in WORDS["install"]]
    done = machine.run("install", *words)
    assert done.returncode == 1 and "the machine's image has no kubelet" in done.stderr
    assert machine.took("hostnamectl", "swapoff", "apt-get", "sysctl") == []
    assert not (machine.root / "etc/modules-load.d").exists()


def test_nobody_else_can_hold_the_lock(machine):
    lock = machine.root / "run/tacker-cir-node"
    assert "readonly LOCK=/run/tacker-cir-node\n" in TEXT
    assert machine.run("join", *WORDS["join"]).returncode == 0
    assert lock.stat().st_mode & 0o777 == 0o600
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        busy = machine.run("join", *WORDS["join"])
    assert busy.returncode == 75 and "an earlier run of this script is still at work" in busy.stderr


SECRET_INPUT = "token: MARK\n" * 3000


def files_with_the_secret(root: Path) -> list[str]:
    return [str(p) for p in root.rglob("*") if p.is_file() and b"MARK" in p.read_bytes()]


@pytest.mark.parametrize("number", ["TERM", "HUP", "INT", "KILL"])
def test_no_secret_stays_whatever_ends_the_script(machine, number):
    """kubeadm is at work with the input that holds the token when the script and it are ended."""
    (machine.root / "bin/kubeadm").write_text(
        NOTE
        + 'case $1 in version) echo v1.34.8 ;; *) wc -c <"$3" >"$ROOT/read"; exec sleep 60 ;; esac'
    )
    environment = {
        **os.environ,
        "PATH": f"{machine.root}/bin:/usr/bin:/bin",
        "ROOT": str(machine.root), "CALLS": str(machine.calls), "FAIL": "",
    }  # fmt: skip
    # Whoever runs the tests may ignore signals, as nohup(1) does, and bash then does so for good.
    process = subprocess.Popen(
        ["env", "--default-signal", "bash", "-c", machine.script, "script", "join", *WORDS["join"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
        text=True,
    )
    process.stdin.write(SECRET_INPUT)
    process.stdin.close()
    read = machine.root / "read"
    end = time.monotonic() + 20
    while not (read.exists() and read.read_text()):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    assert int(read.read_text()) == len(SECRET_INPUT)
    assert files_with_the_secret(machine.root) == []
    os.killpg(process.pid, getattr(signal, f"SIG{number}"))
    assert process.wait(timeout=20) != 0
    assert files_with_the_secret(machine.root) == []
    left = list((machine.root / "run").glob("tacker-cir-scratch.*"))
    assert bool(left) == (number == "KILL")
    (machine.root / "bin/kubeadm").write_text(NOTE + PROGRAMS["kubeadm"])
    assert machine.run("join", *WORDS["join"]).returncode == 0
    assert list((machine.root / "run").glob("tacker-cir-scratch.*")) == []
