"""What a preview would change, read from the engine's events."""

from typing import Any

from entrant import changes
from entrant.changes import SECRET, UNKNOWN, Difference

STACK = "urn:pulumi:dev::entrant::"
APPLICATION = STACK + "entrant:index:AppIdentity$azuread:index/application:Application::log-reader"
PARENT = STACK + "entrant:index:AppIdentity::log-reader"
SECRET_VALUE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "blue"}


def state(urn: str = APPLICATION, **properties: Any) -> dict[str, Any]:
    kind = urn.split("::")[2].split("$")[-1]
    return {"type": kind, "urn": urn, "id": "1", "parent": PARENT, "inputs": properties, "outputs": {}}


def event(operation: str, urn: str = APPLICATION, *, after: bool = False, **more: Any) -> dict[str, Any]:
    metadata = {"op": operation, "urn": urn, "type": urn.split("::")[2].split("$")[-1], "detailedDiff": None} | more
    return {"resOutputsEvent" if after else "resourcePreEvent": {"metadata": metadata}}


def test_a_change_says_which_app_it_is_of_and_what_differs() -> None:
    difference = {"web.redirectUris[1]": {"diffKind": "add", "inputDiff": True}}
    old = state(web={"redirectUris": ["https://a"]})
    new = state(web={"redirectUris": ["https://a", "https://b"]})
    (change,) = changes.read([event("update", old=old, new=new, detailedDiff=difference)]).planned
    assert (change.app, change.operation, change.changes) == ("log-reader", "update", True)
    assert change.differences == (Difference("web.redirectUris[1]", "add", False, None, "https://b"),)


def test_no_secret_is_kept_whether_marked_or_only_named_so() -> None:
    password = STACK + "entrant:index:AppIdentity$azuread:index/applicationPassword:ApplicationPassword::log-reader-s"
    old = state(
        password, value="correct horse", clientSecret="battery", nested={"password": "staple"}, notes=SECRET_VALUE
    )
    reading = changes.read(
        [event("update", password, old=old, new=old, detailedDiff={"value": {"diffKind": "update"}})]
    )
    shown = repr(reading.planned)
    assert not [word for word in ("horse", "battery", "staple", "blue") if word in shown]
    assert reading.planned[0].old
    assert reading.planned[0].old.inputs == {
        "value": SECRET,
        "clientSecret": SECRET,
        "nested": {"password": SECRET},
        "notes": SECRET,
    }


def test_a_value_that_is_not_known_yet_is_told_apart() -> None:
    made = state(clientId="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    (change,) = changes.read([event("create", new=made)]).planned
    assert change.new and change.new.get("clientId") == UNKNOWN


def test_a_replacement_is_one_change_with_the_properties_it_is_for() -> None:
    old, new = state(templateId="a"), state(templateId="b")
    detail = {"templateId": {"diffKind": "update-replace", "inputDiff": True}}
    steps = [
        event("create-replacement", old=old, new=new, detailedDiff=detail, keys=["templateId"]),
        event("replace", old=old, new=new, detailedDiff=detail, keys=["templateId"]),
        event("delete-replaced", old=old),
    ]
    (change,) = changes.read(steps).planned
    assert (change.operation, change.replaces) == ("replace", ("templateId",))


def test_something_else_that_is_taken_over_replaces_what_was_there() -> None:
    old, new = state(displayName="a"), state(displayName="b")
    steps = [
        event("import-replacement", new=new),
        event("replace", old=old, new=new),
        event("delete-replaced", old=old),
    ]
    (change,) = changes.read(steps).planned
    assert (change.operation, change.imported, change.old is not None) == ("replace", True, True)


def test_an_import_tells_what_it_found() -> None:
    found = state(displayName="a") | {"outputs": {"clientId": "1"}}
    steps = [event("import", new=state()), event("import", after=True, old=found, new=found)]
    (change,) = changes.read(steps).planned
    assert change.old and (change.operation, change.old.get("clientId")) == ("import", "1")


def test_whatever_is_below_a_name_of_secrets_is_one() -> None:
    made = state(password={"value": "horse"}, clientSecrets=["battery"], apiKey=7, implicitToken=True)
    (change,) = changes.read([event("create", new=made)]).planned
    assert change.new
    assert change.new.inputs == {"password": SECRET, "clientSecrets": SECRET, "apiKey": SECRET, "implicitToken": True}


def test_settings_of_the_stack_that_are_secret_are_not_kept() -> None:
    event = {"preludeEvent": {"config": {"entrant:now": "2026-01-01", "entrant:note": "[secret]"}}}
    assert changes.read([event]).config == {"entrant:now": "2026-01-01"}


def test_what_a_refresh_finds_is_told_apart_from_what_is_planned() -> None:
    detail = {"displayName": {"diffKind": "update", "inputDiff": True}}
    state_, cloud = state(displayName="a"), state(displayName="b")
    for operation in ("refresh", "update"):  # in a preview that refreshes, and in a refresh by itself
        reading = changes.read(
            [
                event("refresh", old=state_, new=state_),
                event(operation, after=True, old=state_, new=cloud, detailedDiff=detail),
            ]
        )
        assert reading.planned == ()
        (found,) = reading.found
        assert found.differences == (Difference("displayName", "update", False, "a", "b"),)
    (gone,) = changes.read([event("refresh", after=True, old=state_, new=None)]).found
    assert (gone.operation, gone.new) == ("delete", None)


def test_a_resource_that_is_kept_when_removed_is_forgotten_and_not_deleted() -> None:
    (change,) = changes.read([event("delete", old=state() | {"retainOnDelete": True, "protect": True})]).planned
    assert (change.operation, change.protected) == ("forget", True)


def test_errors_name_the_resource_they_are_of() -> None:
    event = {"diagnosticEvent": {"severity": "error", "message": "refused\n", "urn": APPLICATION}}
    assert changes.read([event]).errors == ["log-reader: refused"]


def test_a_difference_that_the_provider_tells_is_kept_even_where_both_sides_look_alike() -> None:
    """The inputs that azuread reads back hold no more items of a list than there were."""
    detail = {"requiredResourceAccesses[0]": {"diffKind": "add", "inputDiff": False}}
    same = state(requiredResourceAccesses=[{"resourceAppId": "a"}])
    reading = changes.read([event("update", after=True, old=same, new=same, detailedDiff=detail)])
    assert [difference.path for difference in reading.found[0].differences] == ["requiredResourceAccesses[0]"]


def test_an_app_may_be_called_after_a_secret() -> None:
    """Names of properties tell what is secret; names of apps in the stack's output, which holds no secret, do not."""
    app = {"credentials": [{"name": "entrant 2026-09-28"}]}
    outputs = {"identities": {"no-secret": app, "api-token": app}, "no_secret_client_secret": "warm bread"}
    kept = changes._properties(outputs, changes._hidden("pulumi:pulumi:Stack"))
    assert kept == {"identities": {"no-secret": app, "api-token": app}, "no_secret_client_secret": SECRET}
