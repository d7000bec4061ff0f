# SPDX-License-Identifier: Apache-2.0
"""The patches of samples/examples: built, onboarded, and their templates given what the requests
of the guide's page make, which ``validate`` finds right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tacker_cir import cli, csar
from tests.unit.csar.common import request_object
from tests.unit.vnflcm.conftest import sample

SAMPLES = csar.samples_dir()
PATCHES = {path.stem: path for path in (SAMPLES / "examples").glob("*.patch")}
PAGE = Path(__file__).parents[3] / "doc/source/user/worked-examples.rst"
CLUSTER = "kubernetes_vnf_package"
#: Each example's package, flavour and the sample request that its changes are for.
KINDS = {
    "anti_affinity": (CLUSTER, "simple", "instantiate_kubernetes_simple"),
    "five_masters": (CLUSTER, "complex", "instantiate_kubernetes_complex"),
    "floating_ips": (CLUSTER, "complex", "instantiate_kubernetes_complex"),
    "two_networks": (CLUSTER, "simple", "instantiate_kubernetes_simple"),
}
PARAMETERS = ("k8s_cluster_installation_param",)
NAMES = sorted(KINDS)


@pytest.fixture
def patched(tmp_path):
    """Returns a copy of an example's sample package with its patch applied."""

    def apply(name: str) -> Path:
        package = tmp_path / name
        shutil.copytree(SAMPLES / KINDS[name][0], package)
        words = ["patch", "-d", str(package), "-p1", "--fuzz=0", "-i", str(PATCHES[name])]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0 and "offset" not in done.stdout, done.stdout + done.stderr
        return package

    return apply


@pytest.fixture
def build(tmp_path, key_file):
    """Builds an example's package."""

    def make(name: str, package: Path) -> csar.Csar:
        return csar.build_kubernetes(tmp_path / f"{name}.zip", package=package, files=key_file)

    return make


def request(name: str) -> dict:
    """The sample request with what the page says of the example."""
    body = sample(KINDS[name][2])
    section = PAGE.read_text().split(f"``{name}.patch``", 1)[1].split(".patch``", 1)[0]
    blocks = re.findall(r"code-block:: json\n\n((?: .*\n|\n)+)", section)
    params = body["additionalParams"]
    for block in blocks:
        changes = json.loads(block)
        (key,) = params.keys() & set(PARAMETERS)
        inside = params[key] if "master_node" in changes else params
        for member, value in changes.items():
            if isinstance(value, dict):
                inside[member] |= value
            else:
                inside[member] = value
    if name == "two_networks":
        _add_cluster_network(body)
    return body


def _add_cluster_network(body: dict) -> None:
    (link,) = body["extVirtualLinks"]
    second = json.loads(json.dumps(link).replace("_CP1", "_CP3").replace("_CP2", "_CP4"))
    body["extVirtualLinks"].append(second | {"id": "net1", "resourceId": "net1"})


def test_the_page_has_every_example_and_only_these():
    assert sorted(PATCHES) == NAMES
    assert sorted(re.findall(r"^``(\w+)\.patch``", PAGE.read_text(), re.M)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tacker_onboards_the_package_and_validate_takes_the_request(
    name, patched, build, conductor, tmp_path, registry_image, capsys
):
    built = build(name, patched(name))
    assert csar.verify(built.path) == []
    flavours = [flavour["flavour_id"] for flavour in conductor(built.path)[1]]
    assert KINDS[name][1] in flavours
    (tmp_path / "request.json").write_text(json.dumps(request(name)))
    status = cli.main(["validate", str(tmp_path / "request.json"), "--csar", str(built.path)])
    assert status == cli.OK, capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_templates_get_what_they_ask_for(name, patched, build, conductor, registry_image):
    root = conductor(build(name, patched(name)).path)[3]
    directory = root / "BaseHOT" / KINDS[name][1]
    (top_path,) = directory.glob("*.yaml")
    top = yaml.safe_load(top_path.read_text())
    nested = {p.name: yaml.safe_load(p.read_text()) for p in (directory / "nested").iterdir()}

    given = hot_parameters(root, request(name), nested | {"heat_template": top})

    assert set(given) <= set(top["parameters"])
    for parameter, declared in top["parameters"].items():
        given.setdefault(parameter, declared.get("default"))
    assert_refers_to_what_is_there(top, given)
    for member in members(top):
        template = nested[member["type"]]
        assert set(member["properties"]) == set(template["parameters"])
        passed = {key: resolved(value, given) for key, value in member["properties"].items()}
        assert_refers_to_what_is_there(template, passed)


def hot_parameters(root: Path, body: dict, base_hot: dict) -> dict:
    """What the package's UserData return, run as Tacker does."""
    params = body["additionalParams"]
    path = root / params["lcm-operation-user-data"]
    namespace = {"__file__": str(path)}
    exec(path.read_text(), namespace)
    klass = namespace[params["lcm-operation-user-data-class"]]
    return klass.instantiate(base_hot, {}, request_object(body), {})


def members(top: dict):
    """The nested templates' types and properties."""
    for resource in top["resources"].values():
        inside = resource.get("properties", {}).get("resource", resource)
        if inside["type"].endswith(".yaml"):
            yield inside


def resolved(value, given):
    """A property's value where it is a parameter; anything else is a text."""
    if not (isinstance(value, dict) and "get_param" in value):
        return "any"
    words = value["get_param"]
    for word in [words] if isinstance(words, str) else words:
        given = given[word]
    return given


def assert_refers_to_what_is_there(template: dict, given: dict) -> None:
    for key, value in references(template):
        if key == "get_param":
            resolved({key: value}, given)
        else:
            assert (value if isinstance(value, str) else value[0]) in template["resources"]


def references(value):
    """Every reference of a template to a parameter or a resource."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key in ("get_param", "get_resource", "get_attr"):
                yield key, member
            else:
                yield from references(member)


def test_masters_are_counted_in_every_place(patched, build):
    """A package in which one of the numbers was forgotten is refused, but for the lower bounds:
    those allow fewer, and nothing makes them."""
    package = patched("five_masters")
    files = [*package.glob("Definitions/*complex.yaml"), *package.glob("BaseHOT/complex/*.yaml")]
    places = [
        (path, found)
        for path in files
        for found in re.finditer(r"(\w+): 5$", path.read_text(), re.MULTILINE)
    ]
    assert len(places) == 8
    assert sum(found[1].startswith("min_") for _, found in places) == 2
    for path, found in places:
        if found[1].startswith("min_"):
            continue
        whole = path.read_text()
        path.write_text(f"{whole[: found.end() - 1]}3{whole[found.end() :]}")
        with pytest.raises(csar.CsarError, match="5|3"):
            build("five_masters", package)
        path.write_text(whole)


@pytest.mark.parametrize("half", ["Definitions", "BaseHOT"])
def test_a_package_of_which_half_is_edited_is_refused(half, patched, build):
    package = patched("five_masters")
    shutil.rmtree(package / half)
    shutil.copytree(SAMPLES / CLUSTER / half, package / half)
    with pytest.raises(csar.CsarError, match="master_instance|masterNode"):
        build("five_masters", package)
