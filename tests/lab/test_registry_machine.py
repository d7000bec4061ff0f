# SPDX-License-Identifier: Apache-2.0
"""The driver's work on real machines, without Tacker: every parameter, every guest, twice."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

import paramiko
import pytest

from tacker_cir.exceptions import AuthenticationFailed, CommandFailed, HostError, HostKeyError
from tests.lab.driving import registry_status, tags
from tests.testbed.machines import mirror

IMAGE = {"image_path": "Files/images/registry.tar"}


def push(target, image, reference, port=5000):
    """Push an image archive to the machine's registry."""
    mirror.push(image, reference, target.lab.netns, f"{target.address}:{port}")


@pytest.mark.parametrize("image", ["debian-12", "ubuntu-20.04", "ubuntu-22.04", "ubuntu-24.04"])
def test_supported_guest_serves_and_second_run_changes_nothing(machine, image):
    target = machine(image)
    first = target.deploy(IMAGE)
    assert first.changes
    assert registry_status(target.address) == 200
    started = target.container()["State"]["StartedAt"]

    second = target.deploy(IMAGE)
    assert second.changes == []
    assert second.commands <= 3
    assert target.container()["State"]["StartedAt"] == started


def test_container_is_run_as_in_the_spec(machine):
    target = machine("debian-12")
    target.deploy(IMAGE)
    container = target.container()
    assert container["Config"]["Image"] == "registry:latest"
    assert container["HostConfig"]["Binds"] == ["/home/ubuntu/registry:/var/lib/registry"]
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert container["HostConfig"]["PortBindings"] == {
        "5000/tcp": [{"HostIp": "", "HostPort": "5000"}]
    }


def test_drifted_container_is_replaced_and_its_data_stay(machine, small_image):
    target = machine("debian-12")
    target.deploy(IMAGE)
    push(target, small_image, "test/kept:1")

    assert "registry container replaced" in target.deploy({**IMAGE, "port_no": "5001"}).changes
    assert tags(target.address, "test/kept", 5001) == ["1"]

    moved = {**IMAGE, "port_no": 5001, "data_path": "/srv/registry/data"}
    assert "registry container replaced" in target.deploy(moved).changes
    assert tags(target.address, "test/kept", 5001) == ["1"]
    assert target.deploy(moved).changes == []

    # Somebody's hand-made container of another image, in the place of ours.
    target.run("docker", "tag", "registry:latest", "other:1")
    target.run("docker", "rm", "-f", "private_registry")
    target.run("docker", "create", "--name", "private_registry", "-p", "5001:5000",
               "-v", "/srv/registry/data:/var/lib/registry", "other:1")  # fmt: skip
    assert "registry container replaced" in target.deploy(moved).changes
    assert tags(target.address, "test/kept", 5001) == ["1"]

    target.run("docker", "stop", "private_registry")
    assert target.deploy(moved).changes == ["registry container started"]


def test_registry_comes_back_after_a_reboot_of_the_vm(machine, small_image):
    target = machine("debian-12")
    target.deploy(IMAGE)
    push(target, small_image, "test/rebooted:1")
    target.lab.reboot(target.name)
    assert target.deploy(IMAGE).changes == []
    assert tags(target.address, "test/rebooted") == ["1"]


def test_pull_from_the_mirror_that_the_image_knows(machine):
    target = machine("debian-12-mirror")
    assert "image registry:latest pulled" in target.deploy({}).changes
    assert registry_status(target.address) == 200
    assert target.deploy({}).changes == []


def test_proxy_serves_apt_and_the_daemon_and_its_password_stays_secret(machine, lab, proxy_url):
    target = machine("debian-12-mirror")
    proxy_password = urlsplit(proxy_url).password
    proxy = {"http_proxy": proxy_url, "https_proxy": proxy_url, "no_proxy": "127.0.0.1,10.0.0.0/8"}
    before = len(lab.proxy_log())
    target.deploy({"proxy": proxy})
    used = "\n".join(lab.proxy_log()[before:])
    assert "docker.io" in used, "apt did not go through the proxy"
    assert "/v2/library/registry/" in used, "the Docker daemon did not go through the proxy"
    assert target.deploy({"proxy": proxy}).changes == []
    assert_unreadable(target, proxy_password)
    shown = target.run("systemctl", "show", "docker", "--property=Environment,EnvironmentFiles")
    assert proxy_password not in shown

    # A proxy that is no longer given leaves nothing behind.
    assert target.deploy({}).changes == ["Docker set up"]
    assert target.run("sh", "-c", "ls /etc/apt/apt.conf.d /etc/docker").count("tacker-cir") == 0
    assert registry_status(target.address) == 200


def test_docker_ce_from_a_signed_repository(machine, lab):
    target = machine("debian-12")
    (target.package / "Files" / "docker.asc").write_bytes(lab.docker_ce_key.read_bytes())
    package = {
        "name": "docker-ce",
        "apt_repository": {
            "uri": "http://198.51.100.1/docker-ce", "keyring_path": "Files/docker.asc",
        },
    }  # fmt: skip
    target.deploy({**IMAGE, "docker_package": package})
    assert "install ok installed" in target.run("dpkg-query", "-W", "-f=${Status}", "docker-ce")
    trusted_for_all = target.run(
        "sh", "-c", "ls /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d || true"
    )
    assert "docker" not in trusted_for_all
    assert target.deploy({**IMAGE, "docker_package": package}).changes == []


def test_repository_signed_by_another_key_is_refused(machine, other_key):
    target = machine("debian-12")
    (target.package / "Files" / "other.asc").write_bytes(other_key)
    package = {
        "name": "docker-ce",
        "apt_repository": {
            "uri": "http://198.51.100.1/docker-ce", "keyring_path": "Files/other.asc",
        },
    }  # fmt: skip
    # The lists are read in one round trip with the installation: not what is tried again.
    with pytest.raises(HostError, match="read the package lists.*NO_PUBKEY") as caught:
        target.deploy({**IMAGE, "docker_package": package})
    assert target.name in str(caught.value) or target.address in str(caught.value)


def test_first_boot_with_late_sshd_and_held_apt_lock(machine, caplog):
    caplog.set_level(logging.INFO)
    target = machine("debian-12-late")
    target.deploy(IMAGE)
    assert registry_status(target.address) == 200
    assert "no SSH yet" in caplog.text
    assert "apt is busy" in caplog.text


def test_user_that_sudo_asks_for_a_password(machine):
    target = machine("debian-12-sudo-password")
    target.deploy(IMAGE)
    assert registry_status(target.address) == 200
    assert target.deploy(IMAGE).changes == []


def test_login_with_a_key(machine, private_key):
    target = machine("debian-12")
    text, public = private_key
    authorized = f"mkdir -p ~ubuntu/.ssh && echo '{public}' > ~ubuntu/.ssh/authorized_keys && " \
        "chown -R ubuntu ~ubuntu/.ssh && chmod 700 ~ubuntu/.ssh"  # fmt: skip
    target.run("sh", "-c", authorized)
    (target.package / "Files" / "id").write_text(text)
    by_key = {**IMAGE, "ssh_password": None}
    target.deploy({**by_key, "ssh_private_key": "Files/id"})
    assert target.deploy({**by_key, "ssh_private_key": text}).changes == []


@pytest.mark.parametrize(
    ("image", "name"), [("debian-11", "Debian GNU/Linux 11"), ("fedora-40", "Fedora Linux 40")]
)
def test_unsupported_system_is_refused_untouched(machine, image, name):
    target = machine(image)
    with pytest.raises(HostError, match=f"{name}.*use an image of Debian 12, Ubuntu 20.04"):
        target.deploy(IMAGE)
    assert target.run("sh", "-c", "command -v dockerd || true") == ""


def test_wrong_password_is_told_without_it(machine):
    target = machine("debian-12")
    with pytest.raises(AuthenticationFailed) as caught:
        target.deploy({**IMAGE, "ssh_password": "wrong-S3cret"}, ssh_auth_timeout=1)
    message = str(caught.value)
    assert target.address in message and "ubuntu" in message
    assert "wrong-S3cret" not in message


def test_same_server_with_another_host_key_is_refused(machine):
    target = machine("debian-12")
    target.deploy(IMAGE)
    target.run("sh", "-c", "rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh")
    with pytest.raises(HostKeyError, match="another key than at the first connection"):
        target.deploy(IMAGE)


def test_given_host_key_is_demanded(machine):
    target = machine("debian-12")
    shown = target.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").strip()
    target.deploy({**IMAGE, "ssh_host_keys": [shown]})


def test_port_that_is_taken_is_told(machine):
    target = machine("debian-12")
    with pytest.raises(CommandFailed, match="docker run private_registry.*(in use|allocated)"):
        target.deploy({**IMAGE, "port_no": 22})


def test_broken_connection_while_packages_install_is_retried_to_the_end(machine):
    target = machine("debian-12")
    broken = threading.Thread(target=_cut_when_installing, args=(target,))
    broken.start()
    with pytest.raises(HostError, match="SSH connection broke"):
        target.deploy(IMAGE)
    broken.join()
    target.deploy(IMAGE)
    assert registry_status(target.address) == 200
    assert target.deploy(IMAGE).changes == []


def _cut_when_installing(target):
    """End every SSH session of the machine as soon as apt installs."""
    # The brackets keep the pattern from matching the shell that holds it.
    wait = "until pgrep -f '[a]pt-get .*install' >/dev/null; do sleep 0.05; done; "
    wait += "pkill -f '[s]shd: ubuntu'"
    target.run("sh", "-c", wait)


def test_power_cut_while_packages_install_is_retried_to_the_end(machine):
    target = machine("debian-12")
    cut = threading.Thread(target=_power_cut_when_unpacking, args=(target,))
    cut.start()
    with pytest.raises(HostError):
        target.deploy(IMAGE)
    cut.join()
    target.deploy(IMAGE)
    assert registry_status(target.address) == 200
    assert target.deploy(IMAGE).changes == []


def _power_cut_when_unpacking(target):
    """Reboot the machine at once when Docker's daemon is unpacked and not set up yet."""
    wait = "until [ -e /usr/sbin/dockerd ]; do sleep 0.02; done; sync; reboot --force --force"
    target.lab.run(target.name, ["sh", "-c", wait], check=False)


def test_restart_of_the_daemon_is_not_lost_with_the_connection(machine, proxy_url):
    """Cut between the proxy's files and the restart: the retry restarts the daemon."""
    target = machine("debian-12")
    target.deploy(IMAGE)
    pid = target.run("systemctl", "show", "docker", "--property=MainPID")
    proxy = {"proxy": {"http_proxy": proxy_url, "no_proxy": "10.0.0.1"}}
    target.run("sh", "-c", "mv /usr/bin/systemctl /usr/bin/systemctl.real; ln -s /bin/false "
               "/usr/bin/systemctl")  # fmt: skip
    with pytest.raises(CommandFailed, match="restart docker.service"):
        target.deploy({**IMAGE, **proxy})
    target.run("mv", "/usr/bin/systemctl.real", "/usr/bin/systemctl")
    assert target.deploy({**IMAGE, **proxy}).changes == ["Docker set up"]
    assert target.run("systemctl", "show", "docker", "--property=MainPID") != pid
    assert target.deploy({**IMAGE, **proxy}).changes == []


def test_secrets_appear_nowhere(machine, lab, caplog, proxy_url):
    """At debug level: not in logs, not in the guest's process list, not in its readable files."""
    caplog.set_level(logging.DEBUG)
    target = machine("debian-12-sudo-password")
    marked = "S3cr3t-m4rk $x 'q'"
    target.lab.run(target.name, ["sh", "-c", 'printf "ubuntu:%s\n" "$1" | chpasswd', "sh", marked])
    proxy_password = urlsplit(proxy_url).password
    proxy = {"http_proxy": proxy_url, "https_proxy": proxy_url}
    seen = ProcessWatch(target)
    with seen:
        target.deploy({**IMAGE, "ssh_password": marked, "proxy": proxy})
    assert seen.samples > 5
    for secret in (marked, proxy_password):
        assert secret not in seen.text
        assert secret not in caplog.text
        assert_unreadable(target, secret)
    assert paramiko.__name__ in {record.name.split(".")[0] for record in caplog.records}

    # A failure with the secrets in play: the proxy refuses, apt prints its URL.
    wrong = proxy_url.replace(proxy_password, "Wr0ng-m4rk")
    other = machine("debian-12")
    with pytest.raises(HostError) as caught:
        other.deploy({**IMAGE, "proxy": {"http_proxy": wrong}}, package_timeout=60)
    assert "Wr0ng-m4rk" not in str(caught.value) + repr(caught.value) + caplog.text


class ProcessWatch:
    """Samples the command lines and environments that any user of the guest can see."""

    def __init__(self, target):
        self._target, self._stop = target, threading.Event()
        self.samples, self.text = 0, ""

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.1):
            self.text += self._target.run("ps", "-eo", "args", "--no-headers", "-ww")
            self.samples += 1


def assert_unreadable(target, secret):
    """Assert that user nobody can read no file of the guest that holds the secret."""
    search = (
        "find / -xdev -type f -size -2M -newer /etc/hostname -print0 2>/dev/null "
        '| xargs -0 grep -lsF -e "$1" || true'
    )
    found = target.run(
        "setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", search, "sh", secret
    )
    assert found == ""
