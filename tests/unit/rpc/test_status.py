"""Every error has its status, and no status tells more than it should."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from moodline.errors import (
    ArtifactError,
    DeadlineExpiredError,
    DrainingError,
    EngineDiedError,
    FieldViolation,
    InferenceError,
    InputTooLongError,
    InvalidRequestError,
    JobNotFoundError,
    JobStateError,
    MalformedRequestError,
    MoodlineError,
    NoJobsError,
    NoStoreError,
    NotReadyError,
    OverloadedError,
    PermissionDeniedError,
    RequestIdReusedError,
    RuleProblem,
    RuleSetError,
    SettingsError,
    SignalNotFoundError,
    SignalStateError,
    StoreError,
    StoreUnavailableError,
    TenantMismatchError,
    UnauthenticatedError,
)
from moodline.rpc.status import ERROR_DOMAIN, STATUS_CODES, code_of, reason_of, status_of

VIOLATION = FieldViolation("conversation.turns[3].text", "is empty; leave the turn out")

EXAMPLES: dict[MoodlineError, grpc.StatusCode] = {
    InvalidRequestError([VIOLATION]): grpc.StatusCode.INVALID_ARGUMENT,
    InputTooLongError([VIOLATION]): grpc.StatusCode.INVALID_ARGUMENT,
    MalformedRequestError(): grpc.StatusCode.INVALID_ARGUMENT,
    RuleSetError([RuleProblem("rules.yaml", 3, "r1", "when", "is wrong")]): (
        grpc.StatusCode.INVALID_ARGUMENT
    ),
    SignalStateError("is resolved"): grpc.StatusCode.FAILED_PRECONDITION,
    SignalNotFoundError("no such signal"): grpc.StatusCode.NOT_FOUND,
    NoStoreError("keeps none"): grpc.StatusCode.FAILED_PRECONDITION,
    StoreUnavailableError("no answer"): grpc.StatusCode.UNAVAILABLE,
    StoreError("SECRET"): grpc.StatusCode.INTERNAL,
    JobNotFoundError("no such job"): grpc.StatusCode.NOT_FOUND,
    JobStateError("is running"): grpc.StatusCode.FAILED_PRECONDITION,
    NoJobsError("keeps none"): grpc.StatusCode.FAILED_PRECONDITION,
    RequestIdReusedError("other content"): grpc.StatusCode.ALREADY_EXISTS,
    UnauthenticatedError("no token"): grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError("no scope"): grpc.StatusCode.PERMISSION_DENIED,
    TenantMismatchError("other tenant"): grpc.StatusCode.PERMISSION_DENIED,
    OverloadedError("full", retry_after_s=1.5): grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExpiredError("queue"): grpc.StatusCode.DEADLINE_EXCEEDED,
    NotReadyError("starting"): grpc.StatusCode.UNAVAILABLE,
    DrainingError("stopping"): grpc.StatusCode.UNAVAILABLE,
    InferenceError("SECRET"): grpc.StatusCode.INTERNAL,
    SettingsError("SECRET"): grpc.StatusCode.INTERNAL,
    ArtifactError("SECRET"): grpc.StatusCode.INTERNAL,
    EngineDiedError("SECRET"): grpc.StatusCode.INTERNAL,
}


def subclasses(kind: type[MoodlineError]) -> Iterator[type[MoodlineError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


def test_every_error_has_an_entry_of_its_own_and_an_example() -> None:
    kinds = {kind for kind in subclasses(MoodlineError) if kind.__module__ == "moodline.errors"}
    assert kinds == set(STATUS_CODES) == {type(error) for error in EXAMPLES}


def test_every_error_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in STATUS_CODES]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(("error", "code"), EXAMPLES.items(), ids=lambda value: repr(value)[:20])
def test_an_error_becomes_its_code_with_reason_and_domain(
    error: MoodlineError, code: grpc.StatusCode
) -> None:
    status = status_of(error, request_id="r1")
    assert code_of(error) is code
    assert status.code == code.value[0]
    assert error_info(status).domain == ERROR_DOMAIN
    assert error_info(status).reason == error.reason == reason_of(error)


@pytest.mark.parametrize(
    "error", [InferenceError("SECRET"), ValueError("SECRET"), MoodlineError("SECRET")]
)
def test_an_internal_error_says_the_request_id_and_nothing_else(error: Exception) -> None:
    status = status_of(error, request_id="r1")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "r1" in status.message
    assert "SECRET" not in str(status)
    request_info = error_details_pb2.RequestInfo()
    assert status.details[1].Unpack(request_info)
    assert request_info.request_id == "r1"


def test_a_foreign_error_has_the_reason_internal() -> None:
    assert error_info(status_of(KeyError("x"), request_id="r1")).reason == "INTERNAL"


def test_violations_come_as_details_and_the_first_as_the_message() -> None:
    other = FieldViolation("options", "is odd")
    status = status_of(InvalidRequestError([VIOLATION, other]), request_id="r1")
    bad_request = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad_request)
    assert [v.field for v in bad_request.field_violations] == [VIOLATION.field, "options"]
    assert status.message == (
        "conversation.turns[3].text: is empty; leave the turn out (1 more in the details)"
    )


def test_overload_says_when_to_try_again() -> None:
    retry = error_details_pb2.RetryInfo()
    status = status_of(OverloadedError("full", retry_after_s=1.5), request_id="r1")
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_an_expired_deadline_says_where() -> None:
    status = status_of(DeadlineExpiredError("queue"), request_id="r1")
    assert error_info(status).metadata == {"stage": "queue"}
