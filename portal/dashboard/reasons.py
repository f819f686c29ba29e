"""Why a call failed, in words: what the code means, whose turn it is, what to do and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal[
    "", "keys", "teams", "models", "providers", "files", "file", "docs", "usage", "settings", "key"
]


@dataclass(frozen=True, slots=True)
class Reason:
    """`place` names the page on which it can be mended; empty where that is the caller's program."""

    title: str
    remedy: str
    place: Place = ""
    button: str = ""


REQUEST = "Mend the request in the calling program; the message names the field."
REASONS: dict[str, Reason] = {
    # Who calls
    "missing_api_key": Reason(
        "No API key was sent.", "Send the key as `Authorization: Bearer …`.", "docs", "How to call"
    ),
    "invalid_api_key": Reason(
        "The API key is not known here.", "Copy the key again, or make a new one.", "keys", "Keys"
    ),
    "key_blocked": Reason(
        "The key is blocked.", "Unblock it, or give the program another key.", "keys", "Keys"
    ),
    "key_expired": Reason(
        "The key has expired.", "Make a new key, or give this one a later end.", "keys", "Keys"
    ),
    "key_owner_inactive": Reason(
        "The person who holds the key is switched off.", "Make a key of the team's own."
    ),
    "team_blocked": Reason("The key's team is blocked.", "An admin can unblock the team.", "teams", "Teams"),
    "permission_denied": Reason("The caller lacks the right to do this.", "Use a key or role that has it."),
    # Limits
    "rate_limit_exceeded": Reason(
        "More calls or tokens per minute than a limit allows.",
        "Spread the calls and wait as Retry-After says. If a key's or team's own limit is meant, raise it.",
        "keys",
        "Keys",
    ),
    "insufficient_quota": Reason(
        "The provider account has used up its quota.",
        "Raise the quota or the balance at the provider, or add a deployment on another account.",
        "providers",
        "Providers",
    ),
    "budget_exceeded": Reason(
        "A budget is used up.", "Raise the budget, or wait until its period starts anew.", "usage", "Usage"
    ),
    # The model
    "model_not_found": Reason(
        "There is no model of this name that the caller may use.",
        "Check the spelling, the key's models and the team's models.",
        "models",
        "Models",
    ),
    "model_misconfigured": Reason(
        "The model cannot be served as it is set up.", "Test its deployments.", "models", "Models"
    ),
    "unsupported_endpoint": Reason(
        "The model cannot be used at this endpoint.", "Use a model that can.", "models", "Models"
    ),
    "no_deployment_for_tags": Reason(
        "No deployment of the model takes calls with these tags.",
        "Tag a deployment, or give one the tag default.",
        "models",
        "Models",
    ),
    "upstream_model_not_found": Reason(
        "The provider does not know the deployment's model id.",
        "Correct the provider model.",
        "models",
        "Models",
    ),
    # The request
    "invalid_request": Reason("The request is not valid.", REQUEST),
    "invalid_value": Reason("A value in the request is not valid.", REQUEST),
    "invalid_json": Reason("The body is not valid JSON.", REQUEST),
    "missing_parameter": Reason("The request lacks a required parameter.", REQUEST),
    "unsupported_parameter": Reason(
        "The model does not support a parameter of the request.",
        "Leave it out, or switch on drop_params for the deployment, which drops it with a warning.",
        "models",
        "Models",
    ),
    "context_length_exceeded": Reason(
        "The conversation is longer than the model can read.",
        "Send less, or use a model with a larger context.",
        "models",
        "Models",
    ),
    "content_policy_violation": Reason(
        "The provider refused the content.", "Change what is asked, or try another model."
    ),
    "content_filter": Reason(
        "The provider refused the content.", "Change what is asked, or try another model."
    ),
    "request_too_large": Reason(
        "The request is larger than allowed.", "Upload large files first and send their ids.", "docs", "Files"
    ),
    "request_timeout": Reason(
        "The request arrived too slowly.", "Check the caller's connection and send it again."
    ),
    "json_schema_validation_failed": Reason(
        "The answer does not match the schema that was asked for.", "Ask again, or simplify the schema."
    ),
    # Files
    "file_not_found": Reason(
        "The request names a file that does not exist for this team.",
        "Upload it, or check which team it belongs to and whether it expired.",
        "files",
        "Files",
    ),
    "file_not_ready": Reason(
        "A copy of the file was not ready at the provider in time.",
        "Send it again as Retry-After says. Choosing targets at upload makes copies early.",
        "file",
        "The file",
    ),
    "file_processing_failed": Reason(
        "The provider could not take the file.",
        "The file's page shows what the provider said.",
        "file",
        "The file",
    ),
    "file_damaged": Reason(
        "An office file cannot be read.", "Open it in its program and save it again.", "file", "The file"
    ),
    "file_encrypted": Reason(
        "An office file has a password.", "Save it without one, or as PDF.", "file", "The file"
    ),
    "file_too_complex": Reason(
        "An office file unpacks to too much, or takes too long to read.",
        "Save it as PDF, or in smaller parts.",
        "file",
        "The file",
    ),
    "file_without_text": Reason(
        "There is no text in an office file.",
        "Save it as PDF, so that models see its pictures.",
        "file",
        "The file",
    ),
    "file_lost": Reason(
        "The provider lost a file that lives there alone, and its bytes here are damaged.",
        "Upload it again.",
        "files",
        "Files",
    ),
    "unsupported_file": Reason(
        "The provider does not read files of this type or size.",
        "Convert it, or use a model that reads it.",
        "file",
        "The file",
    ),
    "file_corrupt": Reason(
        "The stored bytes of a file are missing or changed.",
        "Upload the same file again, which mends it, and check the storage.",
        "file",
        "The file",
    ),
    "url_not_fetched": Reason(
        "A URL in the request could not be fetched.", "Check that it is public, or upload the file."
    ),
    "invalid_url": Reason("A URL in the request is not valid.", REQUEST),
    # The provider
    "upstream_authentication_failed": Reason(
        "The provider refused our credentials.",
        "Test the account and replace its secret. The caller is not at fault.",
        "providers",
        "Providers",
    ),
    "no_account": Reason("There is no account for this provider.", "Add one.", "providers", "Providers"),
    "upstream_unreachable": Reason(
        "The provider could not be reached.",
        "Test the account; check its API base and this server's way to the internet.",
        "providers",
        "Providers",
    ),
    "upstream_unavailable": Reason(
        "The provider was overloaded or down.",
        "Retries were used up. A second deployment of the model would have been asked in turn.",
        "models",
        "Models",
    ),
    "upstream_timeout": Reason(
        "The provider did not answer in time.",
        "Raise the deployment's timeout, or stream the answer.",
        "models",
        "Models",
    ),
    "upstream_error": Reason(
        "The provider answered with an error.",
        "Try again; test the deployment if it stays.",
        "models",
        "Models",
    ),
    "upstream_invalid_response": Reason(
        "The provider's answer could not be understood.",
        "Try again; check the account's API base.",
        "providers",
        "Providers",
    ),
    "upstream_precondition": Reason(
        "The provider refuses this account at present.",
        "Its message says why: billing, region or terms.",
        "providers",
        "Providers",
    ),
    "upstream_storage_full": Reason(
        "The file storage of the provider account is full.",
        "Delete files that are no longer needed.",
        "files",
        "Files",
    ),
    "upstream_file_gone": Reason(
        "The provider lost its copy of a file.", "Send it again from the file's page.", "file", "The file"
    ),
    # Us
    "storage_unavailable": Reason(
        "The file storage cannot be reached.", "Check the storage's settings.", "settings", "Settings"
    ),
    "db_unavailable": Reason("Our database could not be reached.", "Send it again; check the database."),
    "shutting_down": Reason("The server was being restarted.", "Send it again."),
    "internal_error": Reason(
        "Something failed on our side.", "The server's log has the cause under this request id."
    ),
}

LEFT = Reason(
    "The caller went away before the answer was complete.", "Nothing to do, unless its timeout is too short."
)
BY_STATUS: tuple[tuple[range, Reason], ...] = (
    (range(401, 404), REASONS["permission_denied"]),
    (range(404, 405), Reason("Something that the request names does not exist.", REQUEST)),
    (range(429, 430), REASONS["rate_limit_exceeded"]),
    (range(499, 500), LEFT),
    (range(400, 500), REASONS["invalid_request"]),
    (range(500, 501), REASONS["internal_error"]),
    (range(501, 600), REASONS["upstream_error"]),
)


def reason_for(status: int, code: str) -> Reason | None:
    """None for a call that succeeded."""
    if status < 400:
        return None
    if code in REASONS:
        return REASONS[code]
    return next((reason for statuses, reason in BY_STATUS if status in statuses), REASONS["internal_error"])
