"""The one error that the client raises for a failed call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from moodline.errors import FieldViolation

_DETAILS_KEY: Final = "grpc-status-details-bin"
_BATCH_PATH: Final = re.compile(r"^conversations\[\d+\]")
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class MoodlineRpcError(Exception):
    """A call, or one conversation of a batch, was answered by an error.

    Attributes:
        code: The gRPC status.
        reason: Stable UPPER_SNAKE name of the cause, e.g. `INPUT_TOO_LONG`; empty where the error
            did not come from moodline but from the network or a proxy.
        message: What went wrong, for people; never customer text.
        violations: What is wrong with which field of the request, `conversation.turns[3].text`.
        retry_after_s: How long to wait before the next try, in seconds; None if the server
            suggests none.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        violations: Iterable[FieldViolation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        super().__init__(f"{code.name}{f' ({reason})' if reason else ''}: {message}")

    @property
    def is_about_the_request(self) -> bool:
        """Whether the server understood the caller and refused what was asked for."""
        return self.code in {
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.OUT_OF_RANGE,
        }

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed if it is sent again.

        Source: comment of `moodline.v1.AnalysisService`.
        """
        return self.code is grpc.StatusCode.UNAVAILABLE or (
            self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self.retry_after_s is not None
        )


def error_of_status(status: status_pb2.Status) -> MoodlineRpcError:
    """Read a `google.rpc.Status` and those of its details that moodline documents.

    Field paths of a batch item are counted from its conversation, as in the unary call: which place
    it had in which batch is the client's own doing.
    """
    reason = ""
    violations: list[FieldViolation] = []
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest()
            detail.Unpack(bad_request)
            violations += [
                FieldViolation(_BATCH_PATH.sub("conversation", v.field), v.description)
                for v in bad_request.field_violations
            ]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_info = error_details_pb2.RetryInfo()
            detail.Unpack(retry_info)
            retry_after_s = retry_info.retry_delay.ToNanoseconds() / 1e9
    return MoodlineRpcError(
        _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
        status.message,
        reason=reason,
        violations=violations,
        retry_after_s=retry_after_s,
    )


def error_of_call(error: grpc.RpcError) -> MoodlineRpcError:
    """Read what a failed call says of itself, sync or asyncio."""
    # grpc.RpcError promises no more than to be an exception; in fact it always is a call, too.
    call: grpc.Call = error  # type: ignore[assignment]
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return error_of_status(status_pb2.Status.FromString(value))
    return MoodlineRpcError(call.code(), call.details() or "")
