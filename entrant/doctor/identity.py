"""Who the deployer is, and what its tokens say it may do in the directory."""

from collections.abc import Iterable, Iterator

from entrant import config
from entrant.access.deployer import Deployer
from entrant.doctor.findings import Finding
from entrant.facts.directory_roles import find_directory_role

APPLICATION_ROLES = ("Application Administrator", "Cloud Application Administrator", "Global Administrator")
"""Directory roles that manage every registration and service principal, and have no quota of their own."""
READS_POLICY = "the Graph permission Policy.Read.All"


def who(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    """Who the deployer is, and whether in the tenant that the file names."""
    claims = deployer.claims("arm")
    tenant = str(claims.get("tid"))
    name = claims.get("upn") or claims.get("app_displayname") or claims.get("appid")
    described = f"{deployer.name}: {name}, object id {claims.get('oid')}, tenant {tenant}"
    wanted = environment.tenant
    if wanted and wanted.lower() != tenant.lower():
        yield Finding(
            "deployer", "problem", f"{described}; the environment wants tenant {wanted}", "log in to that tenant"
        )
    else:
        yield Finding("deployer", "ok", described)


def held(deployer: Deployer) -> tuple[set[str], set[str]]:
    """The Graph application permissions and the directory roles in the deployer's token."""
    claims = deployer.claims("graph")
    roles, wids = claims.get("roles") or (), claims.get("wids") or ()
    assert isinstance(roles, list | tuple) and isinstance(wids, list | tuple)
    return set(map(str, roles)), {role.name for wid in wids if (role := find_directory_role(str(wid)))}


def held_of(deployer: Deployer, permissions: Iterable[str], roles: Iterable[str]) -> str:
    """Which of these the deployer has, in words; empty when it has none."""
    held_permissions, held_roles = held(deployer)
    return ", ".join([*sorted(held_permissions & set(permissions)), *sorted(held_roles & set(roles))])
