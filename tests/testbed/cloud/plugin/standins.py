# SPDX-License-Identifier: Apache-2.0
"""Heat resources that STAND IN for Nova, Neutron, Glance and Cinder, loaded by heat-engine.

There are no such services in the lab. A server of this plugin is a real machine with systemd
and sshd (a systemd-nspawn container, see tests.testbed.machines): creating it boots one, deleting
it destroys one. Everything else (ports, networks, flavors, images, volumes ...) is a record in
a file; of a port the address is real, as its server has it.

Properties and attributes are those of Heat's own classes, so a template meets the same checks
as elsewhere, save most of those that ask one of the missing services whether a name exists. Key
pairs and security groups are asked for: among the records, and the security group "default".
What differs from the real services:
- A server has one network interface; addresses of further ports and floating IPs are added to
  it as secondary ones. A floating IP does not survive a reboot inside the machine.
- The machine learns user_data and the public key of key_name from a directory (cloud-init's data
  source NoCloud), not from a metadata service or a config drive.
- flavor, security groups and availability zone have no effect on the machine.
- A volume is a block device of the machine that it is attached to, by the serial number that QEMU
  would give it; one of block_device_mapping_v2 tells the machine's image and is no device.
- A server that Heat replaces loses its machine before the new one is made (the real one would
  lose its ports then), as both have the same address.
"""

import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from heat.common import exception
from heat.engine import constraints, resource
from heat.engine.resources.openstack.cinder import volume as cinder_volume
from heat.engine.resources.openstack.glance import image as glance_image
from heat.engine.resources.openstack.neutron import floatingip, net, port, security_group, subnet
from heat.engine.resources.openstack.nova import flavor, keypair, server, server_group
from heat.objects import stack as stack_objects

from tests.testbed.cloud.records import Records

RECORDS = Records(Path(os.environ["TACKER_CIR_LAB_RECORDS"]))
PREFIX_LENGTH = 24
DEFAULT_IMAGE = "debian-12"


def _without_services(schemas):
    """A copy of property schemas without the constraints that ask a service."""
    found = {}
    for name, schema in schemas.items():
        plain = copy.copy(schema)
        plain.constraints = [
            c for c in schema.constraints
            if not isinstance(c, constraints.CustomConstraint) or c.name in constraint_mapping()
        ]  # fmt: skip
        if isinstance(schema.schema, constraints.AnyIndexDict):
            inner = _without_services({"": schema.schema.value})[""]
            plain.schema = constraints.AnyIndexDict(inner)
        elif schema.schema:
            plain.schema = _without_services(schema.schema)
        found[name] = plain
    return found


class KeypairConstraint(constraints.BaseCustomConstraint):
    """Heat's question whether there is a key pair; like the real one it takes an empty name."""

    expected_exceptions = (exception.EntityNotFound,)

    def validate_with_client(self, client, value):
        if value and RECORDS.get("keypairs", value) is None:
            raise exception.EntityNotFound(entity="Key", name=value)


def constraint_mapping():
    return {"nova.keypair": KeypairConstraint}


class StandIn(resource.Resource):
    """An object that is nothing but a record of its kind."""

    kind = "objects"

    def handle_create(self):
        self._add({})

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        RECORDS.update(self.kind, self.resource_id, **prop_diff)

    def handle_delete(self):
        if self.resource_id is not None:
            RECORDS.delete(self.kind, self.resource_id)

    def handle_check(self):
        if self._show_resource() is None:
            raise exception.EntityNotFound(entity=self.kind, name=self.resource_id)

    def _show_resource(self):
        return RECORDS.get(self.kind, self.resource_id)

    def _resolve_attribute(self, name):
        return (self._show_resource() or {}).get(name)

    def _add(self, record):
        given = {name: value for name, value in self.properties.items() if value is not None}
        record = {
            "id": str(uuid.uuid4()), "name": self.physical_resource_name(), "status": "ACTIVE",
            **given, "type": self.type(), "stack_id": self.stack.id, **record,
        }  # fmt: skip
        RECORDS.put(self.kind, record)
        self.resource_id_set(record["id"])
        return record


def _plain(name, real, kind):
    """A class for records of one type, with the properties and attributes of Heat's own class."""
    return type(name, (StandIn,), {
        "kind": kind,
        "properties_schema": _without_services(real.properties_schema),
        "attributes_schema": real.attributes_schema,
    })  # fmt: skip


Flavor = _plain("Flavor", flavor.NovaFlavor, "flavors")
ServerGroup = _plain("ServerGroup", server_group.ServerGroup, "server_groups")
Net = _plain("Net", net.Net, "networks")
WebImage = _plain("WebImage", glance_image.GlanceWebImage, "images")
SecurityGroup = _plain("SecurityGroup", security_group.SecurityGroup, "security_groups")


class KeyPair(_plain("KeyPair", keypair.KeyPair, "keypairs")):
    """A key pair that is not put into machines; its id is its name, as in Nova."""

    def handle_create(self):
        self._add({"id": self.properties["name"], "public_key": self.properties["public_key"]})


class Volume(_plain("Volume", cinder_volume.CinderVolume, "volumes")):
    """A volume that outlives the machines to which it is attached."""

    def handle_create(self):
        made = self._add({})
        gigabytes = str(self.properties["size"] or 1)
        _Command("create-volume", made["id"], "--gigabytes", gigabytes).wait()

    def handle_delete(self):
        if self.resource_id is not None:
            _Command("delete-volume", self.resource_id).wait()
        super().handle_delete()


class VolumeAttachment(
    _plain("VolumeAttachment", cinder_volume.CinderVolumeAttachment, "attachments")
):
    """A volume's being a device of a server; its id is the volume's, as in Nova."""

    def handle_create(self):
        volume = self.properties["volume_id"]
        if RECORDS.get("volumes", volume) is None:
            raise exception.EntityNotFound(entity="VolumeID", name=volume)
        self._attach(self.properties["instance_uuid"], volume)
        self._add({"id": volume})

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        self._detach()
        known = {**self.properties, **prop_diff}
        self._attach(known["instance_uuid"], known["volume_id"])
        super().handle_update(json_snippet, tmpl_diff, prop_diff)

    def handle_delete(self):
        if self.resource_id is not None and self._show_resource() is not None:
            self._detach()
        super().handle_delete()

    def _attach(self, server_id, volume):
        _Command("attach", RECORDS.get("servers", server_id)["machine"], volume).wait()

    def _detach(self):
        owner = RECORDS.get("servers", self._show_resource()["instance_uuid"])
        # With its server a volume is detached, too.
        if owner is not None:
            _Command("detach", owner["machine"], self.resource_id).wait()


class Subnet(_plain("Subnet", subnet.Subnet, "subnets")):
    """A subnet; machines always get addresses of the lab's one network."""

    def handle_create(self):
        self._add({"cidr": self.properties["cidr"],
                   "network_id": self.properties["network"]})  # fmt: skip


class Port(_plain("Port", port.Port, "ports")):
    """A port; its address is that of the machine to which it belongs."""

    def handle_create(self):
        groups = _security_groups(self.properties["security_groups"])
        wanted = self.properties["fixed_ips"] or []
        subnet_id = next((ip["subnet"] for ip in wanted if ip.get("subnet")), None)
        record = _add_port(
            self.properties["name"] or self.physical_resource_name(),
            self.properties["network"] or self.properties["network_id"],
            next((ip["ip_address"] for ip in wanted if ip.get("ip_address")), None),
            subnet_id,
        )
        self.resource_id_set(record["id"])
        pairs = self.properties["allowed_address_pairs"] or []
        RECORDS.update(self.kind, record["id"], allowed_address_pairs=pairs, security_groups=groups)


class FloatingIP(_plain("FloatingIP", floatingip.FloatingIP, "floating_ips")):
    """A floating IP: a second address of the machine that its port belongs to."""

    def handle_create(self):
        port_id = self.properties["port_id"]
        record = {"id": str(uuid.uuid4()), "port_id": port_id,
                  "floating_network_id": self.properties["floating_network"]}  # fmt: skip
        address = RECORDS.add_with_address(
            self.kind, record, self.properties["floating_ip_address"]
        )
        self.resource_id_set(record["id"])
        RECORDS.update(self.kind, record["id"], floating_ip_address=address)
        if port_id:
            _attach_floating_ip(record["id"], port_id)


class FloatingIPAssociation(
    _plain("FloatingIPAssociation", floatingip.FloatingIPAssociation, "associations")
):
    """Gives a floating IP to a port."""

    def handle_create(self):
        self._add({})
        _attach_floating_ip(self.properties["floatingip_id"], self.properties["port_id"])


def _root_stack_name(stack):
    return stack_objects.Stack.get_by_id(stack.context, stack.root_stack_id()).name


def _attach_floating_ip(name, port_id):
    owner = RECORDS.get("ports", port_id)
    RECORDS.update("floating_ips", name, port_id=port_id, fixed_ip_address=owner["address"])
    machine = RECORDS.get("servers", owner["device_id"] or "")
    if machine is not None and machine["status"] == "ACTIVE":
        _add_address(machine["machine"], RECORDS.get("floating_ips", name)["address"])


def _security_groups(wanted):
    """The names as they are, as Neutron's client plugin finds their ids; without any, Neutron's."""
    known = {"default"}.union(*((r["id"], r["name"]) for r in RECORDS.all("security_groups")))
    for name in wanted or ():
        if name not in known:
            raise exception.EntityNotFound(entity="Resource", name=name)
    return ["default"] if wanted is None else wanted


def _add_port(name, network, address, subnet_id):
    record = {
        "id": str(uuid.uuid4()), "name": name, "network_id": network, "device_id": "",
        "status": "ACTIVE", "admin_state_up": True, "security_groups": [],
        "allowed_address_pairs": [], "port_security_enabled": False,
    }  # fmt: skip
    address = RECORDS.add_with_address("ports", record, address)
    known = {
        "fixed_ips": [{"subnet_id": subnet_id or f"subnet-of-{network}", "ip_address": address}],
        # That of the machine, which derives it from the address.
        "mac_address": f"02:00:c6:33:64:{int(address.rpartition('.')[2]):02x}",
    }
    RECORDS.update("ports", record["id"], **known)
    return {**record, **known, "address": address}


class Server(_plain("Server", server.Server, "servers")):
    """A server, that is, a real machine."""

    def handle_create(self):
        ports = [self._port(spec) for spec in self.properties["networks"] or [{}]]
        name = self.properties["name"] or self.physical_resource_name()
        number = str(uuid.uuid4())
        # Part of the id: a host name that no other machine has, and that tells whose it is.
        machine = f"{re.sub('[^a-z0-9]+', '-', name.lower())[:50].strip('-')}-{number[:8]}"
        record = self._add({
            "id": number, "status": "BUILD", "machine": machine, "image": self._image(),
            "resource": self.name, "root_stack": _root_stack_name(self.stack),
            "ports": [p["id"] for p in ports], "metadata": self.properties["metadata"] or {},
            "implicit_ports": [p["id"] for p in ports if p.get("implicit")],
        })  # fmt: skip
        for owned in ports:
            RECORDS.update("ports", owned["id"], device_id=number)
        return _Command("create", machine, "--address", ports[0]["address"],
                        "--image", record["image"], "--boot", stdin=self._boot())  # fmt: skip

    def _boot(self):
        pair = RECORDS.get("keypairs", self.properties["key_name"] or "")
        keys = [pair["public_key"]] if pair else []
        return {"user_data": self.properties["user_data"] or "", "public_keys": keys}

    def check_create_complete(self, command):
        if not command.done():
            return False
        record = self._show_resource()
        for address in self._addresses(record)[1:]:
            _add_address(record["machine"], address)
        RECORDS.update(self.kind, self.resource_id, status="ACTIVE")
        return True

    def handle_delete(self):
        record = self.resource_id and self._show_resource()
        return _Command("delete", record["machine"]) if record else None

    def check_delete_complete(self, command):
        if command is None:
            return True
        if not command.done():
            return False
        record = self._show_resource()
        self._release(record)
        for name in record["implicit_ports"]:
            RECORDS.delete("ports", name)
        RECORDS.delete(self.kind, self.resource_id)
        return True

    def prepare_for_replace(self):
        record = self.resource_id and self._show_resource()
        if record:
            _Command("delete", record["machine"]).wait()
            self._release(record)
            RECORDS.update(self.kind, self.resource_id, status="DELETED")

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        if {"image", "networks", "block_device_mapping_v2"} & set(prop_diff):
            raise resource.UpdateReplace(self.name)
        super().handle_update(json_snippet, tmpl_diff, prop_diff)

    def handle_check(self):
        super().handle_check()
        state = _Command("state", self._show_resource()["machine"]).wait()
        if state["state"] != "running":
            raise exception.Error(f"the server's machine is {state['state']}")

    def _show_resource(self):
        record = super()._show_resource()
        if record is None:
            return None
        addresses: dict[str, list[dict[str, Any]]] = {}
        for name in record["ports"]:
            owned = RECORDS.get("ports", name)
            if owned is not None:
                addresses.setdefault(owned["network_id"], []).append({
                    "addr": owned["address"], "version": 4, "port": name,
                    "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": owned["mac_address"],
                })  # fmt: skip
        return {**record, "addresses": addresses}

    def _resolve_attribute(self, name):
        record = self._show_resource() or {}
        addresses = record.get("addresses", {})
        plain = {key: [item["addr"] for item in items] for key, items in addresses.items()}
        first = next((items[0] for items in plain.values()), "")
        return {
            "name": record.get("name"), "instance_name": record.get("machine"),
            "addresses": addresses, "networks": plain, "first_address": first,
            "accessIPv4": first, "tags": [],
        }.get(name)  # fmt: skip

    def _port(self, spec):
        if spec.get("port"):
            return RECORDS.get("ports", spec["port"])
        network = spec.get("network") or spec.get("uuid") or "net0"
        made = _add_port(f"port-of-{self.name}", network, spec.get("fixed_ip"), spec.get("subnet"))
        return {**made, "implicit": True}

    def _addresses(self, record):
        owned = [RECORDS.get("ports", name)["address"] for name in record["ports"]]
        floating = RECORDS.all("floating_ips")
        return owned + [ip["address"] for ip in floating if ip["port_id"] in record["ports"]]

    def _release(self, record):
        for name in record["ports"]:
            RECORDS.update("ports", name, device_id="")

    def _image(self):
        """Name of the guest image: of the server's image, or of the volume that it boots from."""
        wanted = [self.properties["image"]]
        for mapping in self.properties["block_device_mapping_v2"] or []:
            volume = RECORDS.get("volumes", mapping.get("volume_id") or "") or {}
            wanted += [mapping.get("image"), volume.get("image")]
        name = next((image for image in wanted if image), DEFAULT_IMAGE)
        image = RECORDS.get("images", name)
        return image["name"] if image else name


class _Command:
    """A command of the machine lab that runs as a process, so that heat-engine can go on."""

    def __init__(self, *argv, stdin=None):
        self._name = " ".join(argv[:2])
        self._output = tempfile.TemporaryFile("w+")
        with tempfile.TemporaryFile("w+") as given:
            json.dump(stdin, given)
            given.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.testbed.machines", *argv],
                stdin=given, stdout=self._output,
            )  # fmt: skip

    def done(self):
        """Whether it ended; raises heat's exception for a resource when it failed."""
        if self._process.poll() is None:
            return False
        self._answer()
        return True

    def wait(self):
        """Wait for its end and return its answer."""
        self._process.wait()
        return self._answer()

    def _answer(self):
        self._output.seek(0)
        text = self._output.read()
        if self._process.returncode != 0:
            reason = json.loads(text)["error"] if text.startswith("{") else text
            # Not ResourceInError: Heat would try that five times.
            raise exception.Error(f"machine {self._name}: {reason}")
        return json.loads(text)


def _add_address(machine, address):
    subprocess.run(
        [sys.executable, "-m", "tests.testbed.machines", "shell", machine, "ip", "address", "add",
         f"{address}/{PREFIX_LENGTH}", "dev", "host0"],
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def resource_mapping():
    return {
        "OS::Nova::Server": Server,
        "OS::Nova::Flavor": Flavor,
        "OS::Nova::ServerGroup": ServerGroup,
        "OS::Nova::KeyPair": KeyPair,
        "OS::Neutron::Port": Port,
        "OS::Neutron::Net": Net,
        "OS::Neutron::Subnet": Subnet,
        "OS::Neutron::SecurityGroup": SecurityGroup,
        "OS::Neutron::FloatingIP": FloatingIP,
        "OS::Neutron::FloatingIPAssociation": FloatingIPAssociation,
        "OS::Glance::WebImage": WebImage,
        "OS::Cinder::Volume": Volume,
        "OS::Cinder::VolumeAttachment": VolumeAttachment,
    }
