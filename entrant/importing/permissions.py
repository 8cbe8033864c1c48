"""API permissions in the vocabulary: what a registration asks for, and what has consent."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from entrant.config.access import known_permissions
from entrant.facts import risks
from entrant.facts.apis import FIRST_PARTY, GRAPH
from entrant.words import counted

from .entries import Entry, References, words
from .properties import stated
from .reading import Apis, Found

Doc = dict[str, Any]

NO_ROLE: Final = "00000000-0000-0000-0000-000000000000"
"""The role id of default access, for an API that has no roles."""


class Permissions:
    """The permissions of apps, where `apis` are those that offer them."""

    def __init__(self, apis: Apis, references: References) -> None:
        self.apis, self.references = apis, references

    def of(self, entry: Entry, each: Found) -> Iterator[Doc]:
        """The entries of `permissions` of an app."""
        requested: dict[str, dict[str, list[str]]] = {}
        for wanted in each.registration.get("requiredResourceAccess") or ():
            kinds = requested.setdefault(str(wanted["resourceAppId"]).lower(), {"application": [], "delegated": []})
            for access in wanted.get("resourceAccess") or ():
                kinds["application" if access.get("type") == "Role" else "delegated"].append(str(access["id"]).lower())
        roles: dict[str, dict[str, str]] = {}
        for held in each.app_permissions:
            api = self._api(held)
            if api is not None and held["appRoleId"] != NO_ROLE:
                roles.setdefault(api, {})[str(held["appRoleId"]).lower()] = held["id"]
            else:
                what = held.get("resourceDisplayName") or held["resourceId"]
                entry.unsaid.append(f"service principal: access to {words(what)} by assignment {held['id']}")
        grants: dict[str, Doc] = {}
        single: Counter[str] = Counter()
        for grant in each.grants:
            api = self._api(grant)
            if grant["consentType"] != "AllPrincipals":
                single[self._name(api) if api else grant["resourceId"]] += 1
            elif api is not None:
                grants[api] = grant
        for name, count in single.items():
            entry.unsaid.append(f"service principal: consent of {counted(count, 'single user')} to {words(name)}")
        for api in dict.fromkeys((*requested, *roles, *grants)):
            kinds = requested.get(api, {"application": [], "delegated": []})
            yield from self._permission(entry, api, kinds, roles.get(api, {}), grants.get(api))

    def _api(self, held: Mapping[str, Any]) -> str | None:
        """The client id of the API that a consent is about."""
        api = self.apis.by_object.get(str(held["resourceId"]).lower())
        return str(api["appId"]).lower() if api is not None else None

    def _name(self, api: str) -> str:
        """What people call an API."""
        known = next((name for name, id_ in FIRST_PARTY.items() if id_ == api), None)
        return known or str(self.apis.by_client.get(api, {}).get("displayName") or api)

    def _offered(self, api: str) -> dict[str, dict[str, str]]:
        """The names of an API's permissions by kind and id."""
        doc = self.apis.by_client.get(api, {})
        offered: dict[str, dict[str, str]] = {"application": {}, "delegated": {}}
        for kind, name in (("application", "appRoles"), ("delegated", "oauth2PermissionScopes")):
            offered[kind] = {str(one["id"]).lower(): one["value"] for one in doc.get(name) or () if one.get("value")}
        for (kind, id_), (of, name) in known_permissions().items():
            if FIRST_PARTY[of] == api:
                offered[kind][id_] = name
        return offered

    def _permission(
        self,
        entry: Entry,
        api: str,
        requested: Mapping[str, Sequence[str]],
        held: Mapping[str, str],
        grant: Doc | None,
    ) -> Iterator[Doc]:
        offered = self._offered(api)
        named: dict[str, list[str]] = {}
        for kind, ids in requested.items():
            unknown = [id_ for id_ in ids if id_ not in offered[kind]]
            if unknown:
                entry.faults.append(
                    f"it asks {words(self._name(api))} for permissions that this offers no more: {', '.join(unknown)}"
                )
                return
            named[kind] = [offered[kind][id_] for id_ in dict.fromkeys(ids)]
        consented = {
            "application": {offered["application"].get(id_, ""): assignment for id_, assignment in held.items()}
        }
        if "" in consented["application"]:
            entry.unsaid.append(
                f"service principal: consent {consented['application'].pop('')} to a permission that is gone"
            )
        scopes = list(dict.fromkeys((grant or {}).get("scope", "").split()))
        known = set(offered["delegated"].values())
        if grant is not None and (not scopes or not set(scopes) <= known):
            what = ", ".join(scope for scope in scopes if scope not in known) or "nothing"
            entry.unsaid.append(
                f"service principal: consent {grant['id']} to {words(what)} of {words(self._name(api))}"
            )
            grant, scopes = None, []
        granted = {"application": list(consented["application"]), "delegated": scopes}
        if not any((*named.values(), *granted.values())):
            return
        if api == GRAPH:
            entry.privileged += [
                why
                for name in (*named["application"], *named["delegated"], *granted["application"], *scopes)
                if (why := risks.of_permission(name))
            ]
        whole = all(set(granted[kind]) == set(named[kind]) for kind in named)
        consent: Any = True if whole else {kind: names for kind, names in granted.items() if names} or None
        yield stated(
            api=self._reference(entry, api, named),
            application=named["application"],
            delegated=named["delegated"],
            consent=consent,
            adopt=stated(application=consented["application"], delegated=grant["id"] if grant else None),
        )

    def _reference(self, entry: Entry, api: str, named: Mapping[str, Sequence[str]]) -> str:
        """How a permission names its API."""
        key = self.references.apps.get(api)
        if key is not None and self.references.may(entry.key, key):
            return key
        known = next((name for name, id_ in FIRST_PARTY.items() if id_ == api), None)
        if known is None and (shown := key or self.apis.by_client.get(api, {}).get("displayName")):
            entry.note("permissions", f"{api} is {words(shown)}")
        return known or api
