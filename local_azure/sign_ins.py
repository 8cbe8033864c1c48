"""When each client secret and certificate last gave a token, as Microsoft Graph's reports show it.

Source: Microsoft Graph beta, "appCredentialSignInActivity resource type": `id` is base64 of key id and origin (as its examples have
it). Azure takes hours until a sign-in is in the report; here it is there at once.
"""

from __future__ import annotations

import base64

from local_azure.directory import Doc
from local_azure.wire import new_guid, utc
from local_azure.world import World

_KINDS = (("passwordCredentials", "clientSecret"), ("keyCredentials", "certificate"))


def note(world: World, key_id: str | None, application: Doc | None, principal: Doc, resource: Doc | None) -> None:
    """Keep that a token was given now, for a credential; None when it was for a federated one, which the report does not have."""
    for origin, owner in (("application", application), ("servicePrincipal", principal)):
        for name, kind in _KINDS:
            for credential in (owner or {}).get(name) or ():
                if key_id is not None and credential["keyId"].lower() == key_id.lower():
                    world.credentials.note_sign_in(
                        {
                            "id": base64.b64encode(f"{credential['keyId']}|{origin}".encode()).decode(),
                            "keyId": credential["keyId"],
                            "keyType": kind,
                            "keyUsage": "verify" if credential.get("usage") == "Verify" else "sign",
                            "appId": principal["appId"],
                            "appObjectId": (application or {}).get("id"),
                            "servicePrincipalObjectId": principal["id"],
                            "resourceId": (resource or {}).get("id"),
                            "credentialOrigin": origin,
                            "createdDateTime": credential["startDateTime"],
                            "expirationDateTime": credential["endDateTime"],
                            "signInActivity": {
                                "lastSignInDateTime": utc(world.store.now()),
                                "lastSignInRequestId": new_guid(),
                            },
                        }
                    )
