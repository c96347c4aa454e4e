"""What schemathesis has to know of the service: lines of JSON, whom the run must not harm, and that a stranger is let in nowhere."""

import json
import os

import schemathesis
from schemathesis.specs.openapi.checks import response_schema_conformance

# The account that the run is made with, and another one that takes its place wherever it would be changed.
OWN, OTHER = 1, 2
IS_STRANGER = os.environ.get("PIPECAST_STRANGER") == "1"


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """One line, or a text that has lines already."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Whoever disables, deletes or renames the caller ends the run; nothing of the service refuses that to an admin."""
    parameters = case.path_parameters or {}
    if str(parameters.get("user_id")) == str(OWN) and case.method.upper() != "GET":
        case.path_parameters["user_id"] = OTHER


@schemathesis.check
def fits_its_schema(ctx, response, case):
    """As `response_schema_conformance`; where `fields` asks for some members, the others are missing on purpose."""
    if "fields" not in (case.query or {}):
        return response_schema_conformance(ctx, response, case)


@schemathesis.check
def stays_locked(ctx, response, case):
    """Without an account, and with a token or a cookie that is none, whatever has a lock is 401 or 403; a request that is none at all is 400."""
    locks = case.operation.definition.raw.get("security")
    if IS_STRANGER and locks and response.status_code not in (400, 401, 403, 405):
        raise AssertionError(f"a stranger is answered {response.status_code}")
