"""What the directory does not have is told from a look-up that failed."""

import pulumi
import pytest

from components.tenant import look_up

INVOKE = (
    "invoke of azuread:index/getUser:getUser failed: invocation of azuread:index/getUser:getUser returned an error: "
)


def refusal(message: str) -> str:
    def read() -> None:
        raise Exception(INVOKE + message)

    with pytest.raises(pulumi.RunError) as caught:
        look_up(read, "the owner ada@example.com", missing="There is no ada. Correct it.", right="User.ReadBasic.All")
    return str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        'User with UPN "ada@example.com" was not found',
        'User not found with object ID: "1"',
        'No service principal found for application ID: "1"',
        'No service principal found for client ID: "1"',
        "No user with userPrincipalName 'ada@example.com' was found",
        "Service principal not found",
        "no service principal was found",
    ],
)
def test_what_the_directory_does_not_have_is_missing(message: str) -> None:
    assert refusal(message) == f"There is no ada. Correct it.\n{message}"


@pytest.mark.parametrize(
    ("message", "step"),
    [
        (
            'Finding user with UPN: "ada@example.com": unexpected status 503 (503 Service Unavailable) with error: '
            "ServiceUnavailable: The service is unavailable",
            "What it means: the service failed for the moment; try again.",
        ),
        (
            "Listing service principals for filter \"appId eq '1'\": unexpected status 403 (403 Forbidden) with error: "
            "Authorization_RequestDenied: Insufficient privileges to complete the operation",
            "Whoever runs Pulumi may not read it: grant the Microsoft Graph permission User.ReadBasic.All.",
        ),
        (
            "GET https://graph.example/v1.0/users: unexpected status 404 with error: ResourceNotFound: Resource not found for "
            "the segment 'users'; no user was found",
            "What it means: no such resource; check the scope in the environment's file.",
        ),
        ("unexpected status 401 with error: Unauthorized: no", ""),
        ("building account: AADSTS7000222: expired", ""),  # the remedy would be for an app of the stack
        ("context deadline exceeded", ""),
        ('More than one user found with UPN: "ada@example.com"', ""),
        (
            "building account: could not acquire access token: AADSTS90002: no such tenant",
            "What it means: there is no such tenant in this cloud; check the tenant id, and `cloud:` in the environment's file.",
        ),
    ],
)
def test_a_look_up_that_failed_says_what_failed_and_never_missing(message: str, step: str) -> None:
    whole = f"Looking up the owner ada@example.com failed: {message}. Whether it exists is not known. {step}".rstrip()
    assert refusal(message) == whole
