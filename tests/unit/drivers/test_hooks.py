# SPDX-License-Identifier: Apache-2.0
"""The driver as Tacker sees it."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from types import SimpleNamespace

import paramiko
import pytest
from oslo_config import cfg
from stevedore import named
from tacker.common import exceptions as tacker_exceptions
from tacker.vnfm.mgmt_drivers import vnflcm_abstract_driver

from tacker_cir import config
from tacker_cir.command import Secret
from tacker_cir.drivers.kubernetes_mgmt import (
    KubernetesMgmtDriver,
    PrivateRegistryKubernetesMgmtDriver,
)
from tacker_cir.drivers.private_registry_mgmt import PrivateRegistryMgmtDriver
from tacker_cir.exceptions import HostError
from tacker_cir.hostkeys import PinStore
from tacker_cir.tacker_bridge import V1Instance, hook

ABSTRACT = vnflcm_abstract_driver.VnflcmMgmtAbstractDriver
DRIVERS = {
    "mgmt-drivers-private-registry": PrivateRegistryMgmtDriver,
    "mgmt-drivers-kubernetes": PrivateRegistryKubernetesMgmtDriver,
}
HOOKS = sorted(
    f"{operation}_{when}"
    for operation in ("instantiate", "terminate", "scale", "heal", "change_external_connectivity",
                      "modify_information")
    for when in ("start", "end")
)  # fmt: skip
HARMLESS = ["terminate_start", "change_external_connectivity_start",
            "change_external_connectivity_end", "modify_information_start"]  # fmt: skip


@pytest.fixture
def vnf_instance():
    return SimpleNamespace(
        id="11111111-2222-3333-4444-555555555555", vnfd_id="vnfd", vnf_metadata={}
    )


@pytest.fixture
def state_path(tmp_path):
    config.register_opts(cfg.CONF)
    cfg.CONF.set_override("state_path", str(tmp_path), group=config.GROUP)
    yield tmp_path
    cfg.CONF.clear_override("state_path", group=config.GROUP)


def call(name, vnf_instance, **given):
    """Call a hook as Tacker does: by keywords only, with more of them than the interface says."""
    method = getattr(PrivateRegistryMgmtDriver(), name)
    wanted = [p for p in inspect.signature(getattr(ABSTRACT, name)).parameters.values()
              if p.name not in ("self", "kwargs")]  # fmt: skip
    arguments = {parameter.name: None for parameter in wanted}
    arguments.update(context=object(), vnf_instance=vnf_instance, **given)
    return method(**arguments, future_keyword=1)


@pytest.mark.parametrize("driver_name", DRIVERS)
def test_tacker_finds_the_driver_by_its_name(driver_name):
    manager = named.NamedExtensionManager(
        "tacker.tacker.mgmt.drivers",
        [driver_name],
        invoke_on_load=True,
        warn_on_missing_entrypoint=True,
    )
    driver = manager[driver_name].obj
    assert type(driver) is DRIVERS[driver_name]
    assert isinstance(driver, ABSTRACT)
    assert driver.get_type() == driver.get_name() == driver_name
    assert driver.get_description()


@pytest.mark.parametrize("driver", [*DRIVERS.values(), KubernetesMgmtDriver])
def test_every_hook_of_the_interface_is_there(driver):
    assert not driver.__abstractmethods__
    abstract = {n for n in ABSTRACT.__abstractmethods__ if n.endswith(("_start", "_end"))}
    assert abstract == set(HOOKS)
    for name in HOOKS:
        theirs = list(inspect.signature(getattr(ABSTRACT, name)).parameters)
        ours = list(inspect.signature(getattr(driver, name)).parameters)
        assert ours == theirs, name


def test_a_driver_has_no_state(vnf_instance, state_path):
    driver = PrivateRegistryMgmtDriver()
    driver.terminate_end(context=None, vnf_instance=vnf_instance, terminate_vnf_request=None,
                         grant=None, grant_request=None)  # fmt: skip
    assert vars(driver) == {}


@pytest.mark.parametrize("name", HARMLESS)
def test_hooks_that_do_nothing(name, vnf_instance):
    assert call(name, vnf_instance) is None


def test_scaling_in_is_refused_before_anything_is_changed(vnf_instance):
    request = SimpleNamespace(type="SCALE_IN", aspect_id="a", number_of_steps=1)
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError) as caught:
        call("scale_start", vnf_instance, scale_vnf_request=request, scale_name_list=["x"])
    assert "scaling the Docker private registry VNF is not supported" in str(caught.value)


def test_the_rollback_of_a_scale_out_is_not_hindered(vnf_instance):
    request = SimpleNamespace(type="SCALE_OUT", aspect_id="a", number_of_steps=1)
    assert call("scale_start", vnf_instance, scale_vnf_request=request) is None


def test_scaling_out_is_refused(vnf_instance):
    request = SimpleNamespace(type="SCALE_OUT", aspect_id="a", number_of_steps=1)
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError, match="is not supported"):
        call("scale_end", vnf_instance, scale_vnf_request=request)


def test_terminate_forgets_the_pinned_host_keys(vnf_instance, state_path):
    directory = state_path / "host_keys" / vnf_instance.id
    pins = PinStore(directory)
    pins.key_of("server-1").check(paramiko.ECDSAKey.generate())
    assert directory.exists()
    call("terminate_end", vnf_instance)
    assert not directory.exists()
    call("terminate_end", vnf_instance)


@pytest.mark.parametrize("name", ["instantiate_start", "instantiate_end"])
def test_a_faulty_request_is_refused_with_every_fault(
    name, vnf_instance, package, monkeypatch, caplog
):
    caplog.set_level("DEBUG")
    monkeypatch.setattr(V1Instance, "package", lambda _self: package)
    given = {"ssh_username": "a b", "ssh_password": "MARK", "port_no": 0}
    request = SimpleNamespace(
        flavour_id="simple", additional_params={"private_registry_installation_param": given}
    )
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError) as caught:
        call(name, vnf_instance, instantiate_vnf_request=request)
    text = str(caught.value)
    assert "the request has 3 faults, nothing was changed" in text
    for key in ("ssh_cp_name", "ssh_username", "port_no"):
        assert f"private_registry_installation_param.{key}" in text
    assert "MARK" not in text + caplog.text


@pytest.mark.parametrize("name", ["heal_start", "heal_end"])
def test_heal_checks_the_parameters_that_tacker_kept(name, vnf_instance, package, monkeypatch):
    monkeypatch.setattr(V1Instance, "package", lambda _self: package)
    vnf_instance.instantiated_vnf_info = SimpleNamespace(
        flavour_id="simple", additional_params={}, instance_id="stack"
    )
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError, match="is missing; expected an obj"):
        call(name, vnf_instance)


class Driver:
    """A driver whose hook does what the test says."""

    def __init__(self, action):
        self._action = action

    def get_type(self):
        return "test-driver"

    @hook
    def heal_end(self, context, vnf_instance, heal_vnf_request, **kwargs):
        return self._action(heal_vnf_request, kwargs)


def run_hook(action, vnf_instance):
    return Driver(action).heal_end(
        context=None, vnf_instance=vnf_instance, heal_vnf_request="request", extra=Secret("MARK")
    )


def raising(error):
    def action(*_args):
        raise error

    return action


def test_a_hook_gets_what_tacker_gives(vnf_instance, caplog):
    caplog.set_level("INFO")
    result = run_hook(lambda request, kwargs: (request, list(kwargs)), vnf_instance)
    assert result == ("request", ["extra"])
    name = f"test-driver: heal_end of VNF instance {vnf_instance.id}"
    assert f"{name}: start" in caplog.text and f"{name}: done in" in caplog.text
    assert "MARK" not in caplog.text


def test_our_own_errors_keep_their_text(vnf_instance):
    error = HostError("CP1 (198.51.100.5)", "install docker.io", "no space.", "make room")
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError) as caught:
        run_hook(raising(error), vnf_instance)
    assert "node CP1 (198.51.100.5), step 'install docker.io': no space. To do: make room" in str(
        caught.value
    )
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_an_unforeseen_error_shows_its_kind_only(vnf_instance, caplog):
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError) as caught:
        run_hook(raising(KeyError("MARK")), vnf_instance)
    assert "unforeseen KeyError in heal_end" in str(caught.value)
    assert "MARK" not in str(caught.value) + repr(caught.value)
    assert "Traceback" in caplog.text
    assert "in action" in caplog.text and "KeyError" in caplog.text
    # What an unforeseen error says may be a secret, such as the header that http.client refused.
    assert "MARK" not in caplog.text


def test_tackers_own_errors_pass(vnf_instance):
    error = tacker_exceptions.VnfInstanceNotFound(id="x")
    with pytest.raises(tacker_exceptions.VnfInstanceNotFound) as caught:
        run_hook(raising(error), vnf_instance)
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_ends_the_process_passes(vnf_instance, error):
    with pytest.raises(type(error)):
        run_hook(raising(error), vnf_instance)


def test_the_driver_file_holds_hooks_only():
    """Tacker compares the file's hash with the one in the CSAR: logic belongs elsewhere."""
    source = inspect.getsource(inspect.getmodule(PrivateRegistryMgmtDriver))
    assert len(source.splitlines()) < 120


@pytest.mark.parametrize("driver_name", DRIVERS)
def test_the_entry_point_names_the_class(driver_name):
    (found,) = entry_points(group="tacker.tacker.mgmt.drivers", name=driver_name)
    assert found.load() is DRIVERS[driver_name]
