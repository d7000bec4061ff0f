# SPDX-License-Identifier: Apache-2.0
"""A small client of Tacker's VNF package and VNF LCM v1 APIs, for the lab's tests and demo.

python-tackerclient prints and waits for a human; here every call returns what a test asserts
on, and an error carries Tacker's ProblemDetails.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.testbed.machines.host import say

VIMS = "/v1.0/vims"
PACKAGES = "/vnfpkgm/v1/vnf_packages"
INSTANCES = "/vnflcm/v1/vnf_instances"
OPERATIONS = "/vnflcm/v1/vnf_lcm_op_occs"
#: States in which an operation stays until someone asks for something.
RESTING = ("COMPLETED", "FAILED_TEMP", "FAILED", "ROLLED_BACK")
#: States of a package that Tacker works on.
ONBOARDING = ("UPLOADING", "PROCESSING")
POLL_SECONDS = 0.5
RESUME_SECONDS = 15

Json = dict[str, Any]


class TackerError(Exception):
    """Tacker refused a request, or an operation or upload failed.

    :param problem: Tacker's ProblemDetails, {} where there are none.
    """

    def __init__(self, message: str, problem: Mapping[str, Any] | None = None) -> None:
        self.problem = dict(problem or {})
        detail = self.problem.get("detail")
        super().__init__(f"{message}: {detail}" if detail else message)


class Tacker:
    """Tacker as one user of it.

    :param credentials: arguments of keystoneauth1's v3.Password.
    :param conductor_log: file with the reason of a failed upload, which the API does not tell.
    """

    def __init__(self, credentials: Mapping[str, Any], conductor_log: Path | None = None) -> None:
        self._session = keystone_session.Session(v3.Password(**credentials))
        self._conductor_log = conductor_log

    # --- VIMs

    def register_vim(self, name: str, credentials: Mapping[str, str]) -> str:
        """Register an OpenStack as the default VIM; its id is returned."""
        user = {
            "username": credentials["username"], "password": credentials["password"],
            "user_domain_name": "Default", "cert_verify": "True",
        }  # fmt: skip
        return self.create_vim({
            "name": name, "type": "openstack", "is_default": True,
            "auth_url": credentials["auth_url"], "auth_cred": user,
            "vim_project": {"name": credentials["project_name"],
                            "project_domain_name": "Default"},
        })  # fmt: skip

    def create_vim(self, vim: Json) -> str:
        """Register a VIM of any type; its id is returned."""
        return self._request("POST", VIMS, {"vim": vim}).json()["vim"]["id"]

    def vim_id(self) -> str:
        """Id of the default VIM."""
        return next(vim["id"] for vim in self.vims() if vim["is_default"])

    def vims(self) -> list[Json]:
        """All VIMs, secrets left out."""
        return self._request("GET", VIMS).json()["vims"]

    def delete_vim(self, vim: str) -> None:
        """Delete a VIM that no VNF uses."""
        self._request("DELETE", f"{VIMS}/{vim}")

    # --- packages

    def onboard(self, csar: Path, seconds: float = 120) -> str:
        """Create, upload and wait for a VNF package; its id is returned.

        :raises TackerError: when Tacker does not take it; with its reason from the conductor's
            log. The package is left as it is.
        """
        package = self._request("POST", PACKAGES, {"userDefinedData": {}}).json()["id"]
        log_begin = self._log_size()
        content = f"{PACKAGES}/{package}/package_content"
        with open(csar, "rb") as data:
            self._request("PUT", content, data=data, headers={"Content-Type": "application/zip"})
        deadline = time.monotonic() + seconds
        while True:
            state = self.package(package)["onboardingState"]
            if state == "ONBOARDED":
                return package
            # Tacker sets it back to CREATED when it cannot use the content, and tells nobody.
            if state == "CREATED":
                raise TackerError(f"{csar} was not onboarded: {self._logged_error(log_begin)}")
            if time.monotonic() > deadline:
                raise TackerError(f"package {package} is {state} after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def package(self, package: str) -> Json:
        """A VNF package's data; "vnfdId" is there once it is onboarded."""
        return self._request("GET", f"{PACKAGES}/{package}").json()

    def delete_package(self, package: str) -> None:
        """Disable and delete a VNF package."""
        if self.package(package)["operationalState"] == "ENABLED":
            self._request("PATCH", f"{PACKAGES}/{package}", {"operationalState": "DISABLED"})
        self._request("DELETE", f"{PACKAGES}/{package}")

    # --- VNF instances

    def create_instance(self, vnfd_id: str, name: str) -> str:
        """Create a VNF instance (its name must be new); its id is returned."""
        body = {"vnfdId": vnfd_id, "vnfInstanceName": name}
        return self._request("POST", INSTANCES, body).json()["id"]

    def show(self, instance: str) -> Json:
        """A VNF instance's data."""
        return self._request("GET", f"{INSTANCES}/{instance}").json()

    def delete_instance(self, instance: str) -> None:
        """Delete a VNF instance that is not instantiated."""
        self._request("DELETE", f"{INSTANCES}/{instance}")

    def instantiate(self, instance: str, body: Json) -> str:
        """Begin to instantiate; the id of the operation is returned."""
        return self._operate(instance, "instantiate", body)

    def heal(self, instance: str, body: Json) -> str:
        """Begin to heal: the VNFCs in "vnfcInstanceId", else the whole VNF; operation id."""
        return self._operate(instance, "heal", body)

    def scale(self, instance: str, body: Json) -> str:
        """Begin to scale; the id of the operation is returned."""
        return self._operate(instance, "scale", body)

    def terminate(self, instance: str, body: Json) -> str:
        """Begin to terminate; the id of the operation is returned."""
        return self._operate(instance, "terminate", body)

    def modify(self, instance: str, body: Json) -> str:
        """Begin to modify an instance's information; the id of the operation is returned."""
        before = {operation["id"] for operation in self.operations(instance)}
        self._request("PATCH", f"{INSTANCES}/{instance}", body)
        # The answer does not name the operation, which the conductor makes later.
        deadline = time.monotonic() + RESUME_SECONDS
        while time.monotonic() < deadline:
            for operation in self.operations(instance):
                if operation["id"] not in before:
                    return operation["id"]
            time.sleep(POLL_SECONDS)
        raise TackerError(f"no operation of PATCH {INSTANCES}/{instance}")

    # --- operations

    def operation(self, operation: str) -> Json:
        """An LCM operation occurrence's data."""
        return self._request("GET", f"{OPERATIONS}/{operation}").json()

    def wait_modified(self, instance: str, operation: str, seconds: float) -> Json:
        """Wait until a modification rests; its data are returned, with "error" from the log.

        Tacker 16.0.0 shows a modification in the list only: asked for it alone, it answers 500,
        and it takes neither a retry nor a rollback of one.

        :raises TackerError: when the deadline passes first.
        """
        begin, deadline = self._log_size(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            (found,) = (o for o in self.operations(instance) if o["id"] == operation)
            if found["operationState"] in RESTING:
                say(f"{found['operation']}: {found['operationState']}")
                if found["operationState"] != "COMPLETED":
                    found["error"] = {"detail": self._logged_error(begin)}
                return found
            time.sleep(POLL_SECONDS)
        raise TackerError(f"MODIFY_INFO rests not after {seconds:g} s")

    def operations(self, instance: str) -> list[Json]:
        """All operations of an instance, the newest first."""
        found = self._request("GET", f"{OPERATIONS}?filter=(eq,vnfInstanceId,{instance})").json()
        return sorted(found, key=lambda operation: operation["startTime"], reverse=True)

    def all_operations(self) -> list[Json]:
        """All operations of all instances."""
        return self._request("GET", OPERATIONS).json()

    def busy(self) -> list[str]:
        """Ids of the packages that are being taken in and of the operations that go on."""
        packages = self._request("GET", PACKAGES).json()
        taken_in = [p["id"] for p in packages if p["onboardingState"] in ONBOARDING]
        return taken_in + [o["id"] for o in self.all_operations() if not self.rests(o)]

    @staticmethod
    def rests(operation: Json) -> bool:
        """Whether an operation waits for somebody, or is over."""
        return operation["operationState"] in RESTING

    def wait(self, operation: str, seconds: float = 300) -> Json:
        """Wait until an operation rests, saying its states; its data are returned.

        An operation that failed is returned too: its "error" is what a test looks at.

        :raises TackerError: when the deadline passes first.
        """
        begun = time.monotonic()
        said = None
        while True:
            found = self.operation(operation)
            state, passed = found["operationState"], time.monotonic() - begun
            if state != said:
                say(f"{found['operation']}: {state} after {passed:.1f} s")
                said = state
            if state in RESTING:
                return found
            if passed > seconds:
                raise TackerError(f"{found['operation']} is {state} after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def complete(self, operation: str, seconds: float = 300) -> Json:
        """Wait for an operation that has to succeed; its data are returned.

        :raises TackerError: when it fails, with its ProblemDetails, or the deadline passes.
        """
        found = self.wait(operation, seconds)
        if found["operationState"] != "COMPLETED":
            what = f"{found['operation']} is {found['operationState']}"
            raise TackerError(what, found.get("error"))
        return found

    def retry(self, operation: str) -> None:
        """Ask Tacker to go on with an operation that failed; returns when it does."""
        self._resume(operation, "retry")

    def rollback(self, operation: str) -> None:
        """Ask Tacker to undo a failed instantiate or scale-out; returns when it does."""
        self._resume(operation, "rollback")

    def fail(self, operation: str) -> None:
        """Give a failed operation up for good. What it has made in Heat and Glance stays."""
        self._request("POST", f"{OPERATIONS}/{operation}/fail")

    def _resume(self, operation: str, name: str) -> None:
        before = self.operation(operation)
        self._request("POST", f"{OPERATIONS}/{operation}/{name}")
        # Tacker answers before it changes the state. Its times have whole seconds, so that one
        # that fails again within the same second is only seen by not changing any more.
        deadline = time.monotonic() + RESUME_SECONDS
        while time.monotonic() < deadline:
            now = self.operation(operation)
            if any(now[key] != before[key] for key in ("operationState", "stateEnteredTime")):
                return
            time.sleep(POLL_SECONDS)

    def _operate(self, instance: str, name: str, body: Json) -> str:
        answer = self._request("POST", f"{INSTANCES}/{instance}/{name}", body)
        return answer.headers["Location"].rpartition("/")[2]

    def _request(self, method: str, path: str, body: Json | None = None, **arguments: Any):
        answer = self._session.request(
            path, method, json=body, raise_exc=False, **arguments,
            endpoint_filter={"service_type": "nfv-orchestration", "interface": "public"},
        )  # fmt: skip
        if answer.status_code >= 400:
            raise TackerError(f"{method} {path}: HTTP {answer.status_code}", _problem(answer))
        return answer

    def _log_size(self) -> int:
        return self._conductor_log.stat().st_size if self._conductor_log else 0

    def _logged_error(self, begin: int) -> str:
        if self._conductor_log is None:
            return "see tacker-conductor's log"
        with open(self._conductor_log, errors="replace") as log:
            log.seek(begin)
            lines = log.read().splitlines()
        errors = [line for line in lines if re.search(r" (ERROR|CRITICAL) ", line)]
        return "\n".join(errors[-10:]) or f"no error in {self._conductor_log}"


def _problem(answer) -> Json:
    try:
        content = answer.json()
    except ValueError:
        return {"status": answer.status_code, "detail": answer.text}
    if isinstance(content, dict) and "detail" in content:
        return content
    return {"status": answer.status_code, "detail": str(content)}
