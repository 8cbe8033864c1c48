"""Runs a piece of a Pulumi program against mocks and keeps what it registered and returned."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.rpc import deserialize_properties

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"

APPLICATION = "azuread:index/application:Application"
PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
CERTIFICATE = "azuread:index/applicationCertificate:ApplicationCertificate"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
DEFINITION = "azure-native:authorization:RoleDefinition"
COMPONENT = "entrant:index:AppIdentity"
_LOOP = asyncio.new_event_loop()
"""`asyncio.run` of an earlier test leaves the thread without one."""


@dataclass
class Registered:
    """One registered resource: its type, name, inputs, the URN of its parent, and the raw request with its options."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    request: Any


@dataclass
class Deployment:
    """What a program did under mocks."""

    resources: list[Registered] = field(default_factory=list)
    completed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """URN and outputs of each `register_outputs`, in order."""
    result: Any = None

    def all(self, type: str) -> list[Registered]:
        """The resources of one type."""
        return [resource for resource in self.resources if resource.type == type]

    def one(self, type: str, name: str | None = None) -> Registered:
        """The only resource of a type (and name)."""
        [found] = [resource for resource in self.all(type) if name in (None, resource.name)]
        return found


class _Cloud(Mocks):
    """Answers as Microsoft Graph and ARM would. `generation` stands for a directory in which everything was made
    anew.
    """

    def __init__(
        self, generation: int, preview: bool, state: dict[str, Any], vault_secrets: dict[str, dict[str, str]]
    ) -> None:
        self.vault_secrets = vault_secrets
        self.generation = generation
        self.preview = preview
        self.state = state

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom or self.preview:
            return "", args.inputs

        def guid(what: str) -> str:
            return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{args.typ} {args.name} {what} {self.generation}"))

        outputs = dict(args.inputs)
        if args.typ == APPLICATION:
            outputs |= {"clientId": guid("client"), "objectId": guid("object")}
            return f"/applications/{guid('object')}", outputs
        if args.typ == PRINCIPAL:
            outputs |= {"objectId": guid("object")}
            return f"/servicePrincipals/{guid('object')}", outputs
        if args.typ == PASSWORD:
            outputs |= {"keyId": guid("key"), "value": f"value-of-{args.name}", "startDate": "2026-11-01T09:30:00Z"}
            return f"{args.inputs['applicationId']}/password/{guid('key')}", outputs
        if args.typ == CERTIFICATE:
            outputs |= {"keyId": guid("key"), "startDate": "2026-11-01T09:30:00Z"}
            return f"{args.inputs['applicationId']}/certificate/{guid('key')}", outputs
        if args.typ == ASSIGNMENT:
            kind = "providers/Microsoft.Authorization/roleAssignments"
            return f"{args.inputs['scope']}/{kind}/{args.inputs['roleAssignmentName']}", outputs
        if args.typ == DEFINITION:
            kind = "providers/Microsoft.Authorization/roleDefinitions"
            return f"{args.inputs['scope']}/{kind}/{args.inputs['roleDefinitionId']}", outputs
        return guid("id"), outputs

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        if args.token == "pulumi:pulumi:readStackResourceOutputs":
            return {"name": args.args["stackName"], "outputs": self.state}, []
        if args.token == "azuread:index/getClientConfig:getClientConfig":
            return {"tenantId": TENANT, "clientId": TENANT, "objectId": TENANT, "id": "x"}, []
        if args.token == "azure-native:authorization:getClientConfig":
            own = {"clientId": TENANT, "objectId": TENANT, "subscriptionId": SUBSCRIPTION, "tenantId": TENANT}
            return own, []
        if args.token == "azure-native:keyvault:getSecret":
            found = self.vault_secrets.get(args.args["secretName"])
            return ({"tags": found}, []) if found is not None else ({}, [("secretName", "404: SecretNotFound")])
        if args.token == "azuread:index/getUser:getUser":
            return {"objectId": f"user-{args.args['userPrincipalName']}"}, []
        if args.token == "azuread:index/getServicePrincipal:getServicePrincipal":
            return self._service_principal(args.args["clientId"])
        raise AssertionError(f"unexpected call of {args.token}")

    def _service_principal(self, client_id: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """An API of the tenant, which offers three app roles and two scopes; one of all f is in no tenant."""
        if set(client_id) == {"f", "-"}:
            return {}, [("clientId", "no service principal was found")]
        roles = {name: f"role-{name}-{client_id}" for name in ("Things.Read", "Data.Read")}
        roles["Things.All"] = "1b1b1b1b-1111-4222-8333-444444444444"
        scopes = {"user_impersonation": "scope", "Things.Use": "2b2b2b2b-1111-4222-8333-444444444444"}
        return {"objectId": f"sp-{client_id}", "appRoleIds": roles, "oauth2PermissionScopeIds": scopes}, []


class _Monitor(MockMonitor):
    def __init__(self, mocks: Mocks, deployment: Deployment) -> None:
        super().__init__(mocks)
        self.deployment = deployment

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = deserialize_properties(request.object)
        self.deployment.resources.append(Registered(request.type, request.name, dict(inputs), request.parent, request))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.deployment.completed.append((request.urn, dict(deserialize_properties(request.outputs))))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def deploy(
    program: Callable[[], Any],
    *,
    preview: bool = False,
    generation: int = 0,
    state: dict[str, Any] | None = None,
    vault_secrets: dict[str, dict[str, str]] | None = None,
) -> Deployment:
    """Run `program` and wait for everything it registered; `state` is what the stack holds before, by URN, and `vault_secrets` what
    every vault holds, tags by name.

    `result` is what it returned, each Output in it as `Seen`.
    """
    deployment = Deployment()
    cloud = _Cloud(generation, preview, state or {}, vault_secrets or {})
    asyncio.set_event_loop(_LOOP)
    pulumi.runtime.set_mocks(
        cloud, project="entrant", stack="dev", preview=preview, monitor=_Monitor(cloud, deployment)
    )

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> Any:
        deployment.result = program()
        return [seen for seen in _watch(deployment)]

    run()
    deployment.resources = [resource for resource in deployment.resources if resource.type != "pulumi:pulumi:Stack"]
    return deployment


@dataclass
class Seen:
    """An Output's value after the run, whether it was known and whether it was a secret."""

    value: Any = None
    known: bool = False
    secret: bool = False


def _watch(deployment: Deployment) -> Iterator[Any]:
    if isinstance(deployment.result, dict):
        for key, value in deployment.result.items():
            if isinstance(value, pulumi.Output):
                seen = Seen()
                deployment.result[key] = seen
                yield _see(value, seen)


async def _see(output: pulumi.Output[Any], seen: Seen) -> None:
    seen.value = await output.future()
    seen.known = await output.is_known()
    seen.secret = await output.is_secret()
