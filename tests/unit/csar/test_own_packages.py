# SPDX-License-Identifier: Apache-2.0
"""Package directories of one's own: what is broken or contradicts itself is not built."""

import shutil
import time

import pytest

from tacker_cir import cli, csar
from tacker_cir.csar import translation
from tacker_cir.templates.user_data import read_user_data
from tests.unit.csar.common import OTHER_ID, rewrite

TOP = "BaseHOT/complex/kubernetes_cluster_hot_top.yaml"
MASTER = "BaseHOT/complex/nested/kubernetes_cluster_hot_nested_master.yaml"
FLAVOUR = "Definitions/kubernetes_cluster_df_complex.yaml"
USER_DATA = "UserData/k8s_cluster_user_data.py"
SCRIPT = "Scripts/install_k8s_cluster.sh"
TOSCA = "Definitions/private_registry_df_simple.yaml"
TYPES = "Definitions/private_registry_types.yaml"


@pytest.fixture
def own(tmp_path):
    """Copies a sample to change it."""
    return lambda name: shutil.copytree(csar.samples_dir() / name, tmp_path / "own")


@pytest.fixture
def found(own, tmp_path):
    """Builds a changed sample of a cluster and returns what is wrong, by file."""

    def build(change, name="kubernetes_vnf_package", **options):
        package = own(name)
        change(package)
        cluster = name.startswith("kubernetes")
        make = csar.build_kubernetes if cluster else csar.build_private_registry
        with pytest.raises(csar.PackageFaults) as caught:
            make(tmp_path / "a.zip", package=package, **options)
        assert not (tmp_path / "a.zip").exists()
        return [(finding.where, finding.message) for finding in caught.value.findings]

    return build


def rewritten(file, old, new):
    """Returns a change of a package's file."""

    def change(package):
        text = (package / file).read_text()
        assert old in text
        (package / file).write_text(text.replace(old, new))

    return change


def removed(file):
    """Returns a change that takes a file or a directory away."""

    def change(package):
        path = package / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (rewritten(TOP, "resources:", "resources: ["), TOP, "is not YAML"),
        (rewritten(TOP, "heat_template_version", "version"), TOP, "no heat_template_version"),
        (rewritten(TOP, "resources:", "resourcen:"), TOP, "has no resources"),
        (rewritten(TOP, "type: OS::Neutron::Port", "typ: x"), TOP, "vip_CP has no type"),
        (removed(TOP), "BaseHOT/complex", "has no top template"),
        (removed("BaseHOT/complex"), FLAVOUR, "the flavour complex has no base HOT"),
        (removed(MASTER), TOP, f"but {MASTER} is not in the package"),
        (rewritten(TOP, "nested_master.yaml", "master.yaml"), TOP, "hot_master.yaml is not in the"),
        (rewritten(TOP, "[ nfv, VDU, masterNode ]", "[ vnf, VDU ]"), TOP, "'vnf', which is none"),
        (
            rewritten(TOP, "get_resource: masters_apart", "get_resource: apart"),
            TOP,
            "'apart', which",
        ),
        (rewritten(TOP, "get_attr: [ vip_CP", "get_attr: [ vip"), TOP, "the resource 'vip'"),
        (rewritten(TOP, "server_group: {", "group: {"), TOP, "sets group, which"),
        (rewritten(TOP, "server_group: {", "group: {"), TOP, "does not set server_group"),
        (
            rewritten(MASTER, "masterNode_CP1", "CP1"),
            "BaseHOT/complex",
            "masterNode_CP1, as",
        ),
        (
            rewritten(MASTER, "  masterNode:", "  master:"),
            "BaseHOT/complex",
            "server named",
        ),
        (
            rewritten(MASTER, "  masterNode:", "  master:"),
            "BaseHOT/complex",
            "server master",
        ),
        (
            rewritten(TOP, "master_instance:", "masters:"),
            "BaseHOT/complex",
            "of the aspect",
        ),
        (
            rewritten(TOP, "master_instance:", "masters:"),
            "BaseHOT/complex",
            "group masters",
        ),
        (
            rewritten(TOP, "min_size: 3", "min_size: { get_param: x }"),
            "BaseHOT/complex",
            "plain",
        ),
        (
            rewritten(FLAVOUR, "virtual_binding: masterNode", "virtual_binding: master"),
            FLAVOUR,
            "bound",
        ),
        (
            rewritten(FLAVOUR, "targets: [ masterNode ]", "targets: [ m ]"),
            FLAVOUR,
            "target m, which is",
        ),
        (
            rewritten(FLAVOUR, "default_level: two", "default_level: ten"),
            FLAVOUR,
            "default_level ten_w",
        ),
        (removed("UserData"), "BaseHOT", "class with a method instantiate"),
        (rewritten(USER_DATA, "class Kube", "klass Kube"), USER_DATA, "is not Python"),
        (rewritten(USER_DATA, "def instantiate", "def make"), "BaseHOT", "method instantiate"),
        (removed(SCRIPT), "Scripts", "has no install script"),
        (
            rewritten(SCRIPT, "NODE_SCRIPT_PROTOCOL=", "X="),
            SCRIPT,
            "not an install script",
        ),
    ],
)
def test_a_cluster_of_ones_own(change, where, message, found):
    findings = found(change)
    assert any(where == w and message in m for w, m in findings), findings


#: Where the number of masters stands, each of which may be forgotten.
MASTERS = {
    "min_number_of_instances": (FLAVOUR, "min_number_of_instances: "),
    "max_number_of_instances": (FLAVOUR, "max_number_of_instances: "),
    "number_of_instances": (FLAVOUR, " number_of_instances: "),
    "min_size": (TOP, "min_size: "),
    "max_size": (TOP, "max_size: "),
    "capacity": (TOP, "    default: "),
}


@pytest.mark.parametrize("forgotten", [*MASTERS, None])
def test_five_masters_but_one_number(forgotten, own, tmp_path):
    package = own("kubernetes_vnf_package")
    for name, (file, before) in MASTERS.items():
        if name != forgotten:
            rewritten(file, f"{before}3", f"{before}5")(package)
    output = tmp_path / "a.zip"
    # A lower bound that stays lower keeps nothing from working.
    if forgotten in (None, "min_number_of_instances", "min_size"):
        assert csar.verify(csar.build_kubernetes(output, package=package).path) == []
    else:
        with pytest.raises(csar.PackageFaults, match="master"):
            csar.build_kubernetes(output, package=package)


RESOURCE_GROUP = """  more:
    type: OS::Heat::ResourceGroup
    properties:
      count: 2
      resource_def:
        type: kubernetes_cluster_hot_nested_more.yaml
"""


def test_members_of_a_resource_group_are_in_the_package(found):
    change = rewritten(TOP, "resources:\n", f"resources:\n{RESOURCE_GROUP}")
    ((where, message),) = found(change)
    assert where == TOP and "kubernetes_cluster_hot_nested_more.yaml is not in the" in message


def test_the_initial_number_alone_is_found(found):
    initial = "initial_delta:\n            number_of_instances: 3"
    findings = found(rewritten(FLAVOUR, initial, initial.replace("3", "2")))
    said = " ".join(message for _, message in findings)
    assert "vdu_profile of masterNode allows 3 to 3 instances, but there are 2" in said
    assert "the group master_instance has 3 to 3 members" in said
    assert "has 3 of masterNode (VduInstantiationLevels), but the scale level makes them 2" in said


def upstream_like(package):
    """Our driver's file, but the install script that the package had before."""
    (package / SCRIPT).write_text("#!/bin/bash\napt-get install -y docker-ce kubeadm\n")
    for flavour in ("simple", "complex"):
        path = package / f"Definitions/kubernetes_cluster_df_{flavour}.yaml"
        text = path.read_text()
        for hook in ("instantiate_start", "terminate_start", "modify_information_end"):
            line = f"          {hook}:\n            implementation: mgmt-drivers-kubernetes\n"
            text = text.replace(line, "")
        path.write_text(text)


def test_a_package_of_upstream_with_our_driver(found):
    ((where, message),) = found(upstream_like)
    assert where == SCRIPT and "take the one of its sample package" in message


def test_doctor_says_the_same(tmp_path, capsys):
    built = csar.build_kubernetes(tmp_path / "a.zip").path
    rewrite(built, SCRIPT, lambda _old: b"#!/bin/bash\n")
    rewrite(built, TOP, lambda old: old.replace(b"min_size: 3", b"min_size: 4"))
    conf = tmp_path / "tacker.conf"
    conf.write_text("")
    words = ["doctor", "--config-file", str(conf), "--csar", str(built)]
    assert cli.main(words) == cli.FAULTS
    out = capsys.readouterr().out
    assert f"FAULT  {built}: {SCRIPT}: is not an install script" in out
    assert f"FAULT  {built}: BaseHOT/complex: the group master_instance has 4 to 3" in out


# Of TOSCA alone, as Tacker's own code judges it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            rewritten(TYPES, "          occurrences: [ 0, UNBOUNDED ]\n", ""),
            "virtual_link_external",
        ),
        (rewritten(TOSCA, "  inputs:\n", "  inputs:\n    colour:\n      type: string\n"), "colour"),
        (rewritten(TOSCA, "layer_protocols: [ ipv4 ]", "layer_protocols: [ ipx ]"), "ipx"),
        (rewritten(TOSCA, "tosca.nodes.nfv.VduCp", "tosca.nodes.nfv.VduCap"), "VduCap"),
    ],
)
def test_what_tackers_translator_refuses(change, message, found, disk_image):
    findings = found(change, "private_registry_vnf_package", vm_image_file=disk_image)
    ((where, said),) = findings
    assert where == TOSCA
    assert "cannot make a Heat template of the flavour simple" in said and message in said


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (rewritten(FLAVOUR, "tosca.nodes.nfv.VduCp", "tosca.nodes.nfv.VduCap"), FLAVOUR, "VduCap"),
        (
            rewritten(
                "Definitions/kubernetes_cluster_top.vnfd.yaml",
                "provider: tacker_cir",
                "provider: somebody",
            ),
            "Definitions/kubernetes_cluster_top.vnfd.yaml",
            "Tacker cannot read the VNFD",
        ),
    ],
)
def test_what_tackers_parser_refuses_with_a_base_hot(change, where, message, found):
    findings = found(change)
    assert any(where == w and message in m for w, m in findings), findings


def test_the_translator_is_quiet(variants, capfd):
    variants("tosca")
    assert capfd.readouterr() == ("", "")


def test_a_type_that_derives_from_itself_keeps_nobody_waiting(found, disk_image, monkeypatch):
    monkeypatch.setattr(translation, "TIMEOUT", 5)
    change = rewritten(TYPES, "derived_from: tosca.nodes.nfv.VNF", "derived_from: loop")

    def looped(package):
        change(package)
        path = package / TYPES
        text = path.read_text()
        path.write_text(
            text.replace("node_types:\n", "node_types:\n  loop:\n    derived_from: loop\n")
        )

    ((_, said),) = found(looped, "private_registry_vnf_package", vm_image_file=disk_image)
    assert "no end after 5 seconds" in said


# Of others, and large


def test_many_parts_keep_nobody_waiting(own, tmp_path):
    """Each of many VDUs would be looked for in each of many policies, levels and groups."""
    package = own("kubernetes_vnf_package")
    text = (package / FLAVOUR).read_text()
    nodes = "".join(f"    v{n}: {{type: tosca.nodes.nfv.Vdu.Compute}}\n" for n in range(12_000))
    policies = "".join(
        f"    - p{n}: {{type: tosca.policies.nfv.VduInitialDelta, targets: [v{n}]}}\n"
        for n in range(6_000)
    )
    text = text.replace("  node_templates:\n", f"  node_templates:\n{nodes}", 1)
    (package / FLAVOUR).write_text(text.replace("  policies:\n", f"  policies:\n{policies}", 1))
    begin = time.process_time()
    with pytest.raises(csar.PackageFaults) as caught:
        csar.build_kubernetes(tmp_path / "a.zip", package=package)
    assert time.process_time() - begin < 20
    assert len(caught.value.findings) <= 200


@pytest.mark.parametrize(
    ("expression", "name", "read"),
    [
        ('f"vm_{a}"', "vm_image", True),
        ('f"vm_{a}"', "image", False),
        ('f"{a}_id"', "x_id", True),
        ('f"{a}_x_{b}"', "1_x_2", True),
        ('f"{a}_x_{b}"', "1_y_2", False),
        ('f"no {a} of"', "no x of", False),
        ('f"{a}"', "x", False),
        ('"-".join("{x}a" * 9)', "x", False),
        (f'f"{"{a}b" * 200}"', "b" * 128, False),
    ],
)
def test_names_that_user_data_puts_together(expression, name, read):
    assert read_user_data(f"x = {expression}").may_read(name) is read


# Files beside


def test_a_manifest_that_tacker_would_stumble_over(own, tmp_path):
    manifest = tmp_path / "calico.yaml"
    manifest.write_text("a: 1\n---\nb: 2\n")
    build = csar.build_kubernetes
    with pytest.raises(csar.PackageFaults, match="Files/calico.yaml: Tacker reads each YAML file"):
        build(tmp_path / "a.zip", files={"Files/calico.yaml": manifest})
    build(tmp_path / "a.zip", files={"Files/cni/calico.yaml": manifest})


@pytest.mark.parametrize(
    ("kind", "sample", "other"),
    [
        ("kubernetes", "private_registry_vnf_package_basehot", "private-registry"),
        ("private-registry", "kubernetes_vnf_package", "kubernetes"),
    ],
)
def test_a_package_of_the_other_kind(kind, sample, other, own, tmp_path, capsys):
    words = ["csar", "build", kind, "--output", str(tmp_path / "a.zip")]
    assert cli.main([*words, "--package", str(own(sample))]) == cli.FAULTS
    assert f"build it with tacker-cir csar build {other}" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "warned"), [([], True), (["--vnfd-id", OTHER_ID], False)])
def test_the_identifier_of_a_sample_is_warned_of(options, warned, own, tmp_path, capsys):
    words = ["csar", "build", "kubernetes", "--output", str(tmp_path / "a.zip")]
    assert cli.main([*words, "--package", str(own("kubernetes_vnf_package")), *options]) == cli.OK
    assert ("has the identifier of a sample" in capsys.readouterr().err) is warned


def test_faults_of_a_package_are_lines(own, tmp_path, capsys):
    package = own("kubernetes_vnf_package")
    removed(SCRIPT)(package)
    rewritten(TOP, "min_size: 3", "min_size: 4")(package)
    words = ["csar", "build", "kubernetes", "--output", str(tmp_path / "a.zip")]
    words += ["--vnfd-id", OTHER_ID, "--package", str(package)]
    assert cli.main(words) == cli.FAULTS
    out, err = capsys.readouterr()
    assert err == "" and all(line.startswith("FAULT  ") for line in out.splitlines())
    assert len(out.splitlines()) >= 2
