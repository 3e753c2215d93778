"""The one table from errors to gRPC statuses, for calls and for the items of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from moodline.errors import (
    ArtifactError,
    DeadlineExpiredError,
    DrainingError,
    EngineDiedError,
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
    RuleSetError,
    SettingsError,
    SignalNotFoundError,
    SignalStateError,
    StoreError,
    StoreUnavailableError,
    TenantMismatchError,
    UnauthenticatedError,
)

ERROR_DOMAIN: Final = "moodline"
"""`ErrorInfo.domain` of every error."""
INTERNAL_REASON: Final = "INTERNAL"
"""`ErrorInfo.reason` of an error that is not ours, which makes it our bug."""

STATUS_CODES: Final[Mapping[type[MoodlineError], grpc.StatusCode]] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    InputTooLongError: grpc.StatusCode.INVALID_ARGUMENT,
    MalformedRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    RuleSetError: grpc.StatusCode.INVALID_ARGUMENT,
    SignalNotFoundError: grpc.StatusCode.NOT_FOUND,
    SignalStateError: grpc.StatusCode.FAILED_PRECONDITION,
    NoStoreError: grpc.StatusCode.FAILED_PRECONDITION,
    JobNotFoundError: grpc.StatusCode.NOT_FOUND,
    JobStateError: grpc.StatusCode.FAILED_PRECONDITION,
    NoJobsError: grpc.StatusCode.FAILED_PRECONDITION,
    RequestIdReusedError: grpc.StatusCode.ALREADY_EXISTS,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    TenantMismatchError: grpc.StatusCode.PERMISSION_DENIED,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExpiredError: grpc.StatusCode.DEADLINE_EXCEEDED,
    NotReadyError: grpc.StatusCode.UNAVAILABLE,
    DrainingError: grpc.StatusCode.UNAVAILABLE,
    StoreUnavailableError: grpc.StatusCode.UNAVAILABLE,
    InferenceError: grpc.StatusCode.INTERNAL,
    # These end the process before or instead of a call; should a call ever meet one, its message
    # is for the operator.
    SettingsError: grpc.StatusCode.INTERNAL,
    ArtifactError: grpc.StatusCode.INTERNAL,
    StoreError: grpc.StatusCode.INTERNAL,
    EngineDiedError: grpc.StatusCode.INTERNAL,
}


def code_of(error: Exception) -> grpc.StatusCode:
    """Return the code of an error; INTERNAL for one that is not ours."""
    for kind in type(error).__mro__:
        if kind in STATUS_CODES:
            return STATUS_CODES[kind]
    return grpc.StatusCode.INTERNAL


def reason_of(error: Exception) -> str:
    """Return the stable name of the cause, as in `ErrorInfo.reason`."""
    return error.reason if isinstance(error, MoodlineError) else INTERNAL_REASON


def status_of(error: Exception, *, request_id: str) -> status_pb2.Status:
    """Return the status that a client is sent.

    Args:
        error: What ended the call or the batch item.
        request_id: Of the call; what to report when the error is ours.

    Returns:
        Code, message and details. An INTERNAL error gets a fixed message: that of the error may
        quote a customer.
    """
    code = code_of(error)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=reason_of(error), domain=ERROR_DOMAIN, metadata=_metadata(error)
        )
    ]
    if code is grpc.StatusCode.INTERNAL:
        message = f"moodline failed on this call; report the request id {request_id}."
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    else:
        message = str(error)
    if isinstance(error, InvalidRequestError):
        message = _summary(error)
        details.append(_bad_request(error))
    if isinstance(error, OverloadedError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(retry)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _metadata(error: Exception) -> dict[str, str]:
    return {"stage": error.stage} if isinstance(error, DeadlineExpiredError) else {}


def _summary(error: InvalidRequestError) -> str:
    """Name the first violation alone: all of them stand in the details, and trailers are small."""
    first, *others = error.violations
    more = f" ({len(others)} more in the details)" if others else ""
    return f"{first}{more}"


def _bad_request(error: InvalidRequestError) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description
            )
            for violation in error.violations
        ]
    )
