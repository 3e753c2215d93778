"""Scoring jobs and their results to proto messages; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2

from moodline.jobs.items import UNREADABLE
from moodline.jobs.served.record import FailureReason, ItemFailure, JobRecord, failure_of_line
from moodline.rpc.status import ERROR_DOMAIN, STATUS_CODES
from moodline.v1 import analysis_pb2, scoring_job_pb2

_CODE_BY_REASON: Final[Mapping[str, grpc.StatusCode]] = {
    **{error.reason: code for error, code in STATUS_CODES.items()},
    UNREADABLE: grpc.StatusCode.INVALID_ARGUMENT,
    FailureReason.INPUT_CHANGED: grpc.StatusCode.FAILED_PRECONDITION,
    FailureReason.MODEL_CHANGED: grpc.StatusCode.FAILED_PRECONDITION,
    FailureReason.STORAGE_FAILED: grpc.StatusCode.UNAVAILABLE,
}
_ANALYSIS_FIELDS: Final = frozenset(
    field.name for field in analysis_pb2.ConversationAnalysis.DESCRIPTOR.fields
)


def job_to_proto(record: JobRecord, *, expire_time: datetime | None) -> scoring_job_pb2.ScoringJob:
    """Write a job as it stands."""
    message = scoring_job_pb2.ScoringJob(
        job_id=record.job_id,
        request_id=record.request_id,
        state=record.state,
        completed_count=record.scored_count,
        failed_count=record.failed_count,
        total_count=record.total_count,
        turn_count=record.turn_count,
        partial_errors=map(failure_to_proto, record.partial_errors),
        omitted_partial_error_count=max(0, record.failed_count - len(record.partial_errors)),
        model_version=record.model_version,
        configuration_digest=record.configuration_digest,
        tenant=record.tenant,
        file_count=record.file_count,
    )
    if record.error is not None:
        error = record.error
        message.error.CopyFrom(_status(error.reason, error.message, {}))
    times = (
        (message.create_time, record.create_time),
        (message.start_time, record.start_time),
        (message.end_time, record.end_time),
        (message.expire_time, expire_time),
    )
    for field, time in times:
        if time is not None:
            field.FromDatetime(time)
    return message


def failure_to_proto(failure: ItemFailure) -> status_pb2.Status:
    """Write why an item has no result."""
    place = ", ".join(part for part in (failure.source, failure.place) if part)
    first = failure.errors[0]
    what = f"{first.field}: {first.problem}" if first.field else first.problem
    more = f" ({len(failure.errors) - 1} more in the details)" if len(failure.errors) > 1 else ""
    status = _status(
        failure.code,
        f"{place}: {what}{more}",
        {"source": failure.source, "number": str(failure.number), "place": failure.place},
    )
    violations = error_details_pb2.BadRequest(
        field_violations=(
            error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.problem)
            for one in failure.errors
        )
    )
    status.details.add().Pack(violations)
    return status


def result_to_proto(content: bytes) -> scoring_job_pb2.ScoringResult:
    """Write a line of results."""
    line = json.loads(content)
    message = scoring_job_pb2.ScoringResult(
        source=line["source"],
        number=line["number"],
        place=line["place"],
        conversation_id=line["conversation_id"],
        transcript_warnings=_warnings(line.get("transcript_warnings", ())),
    )
    failure = failure_of_line(line)
    if failure is None:
        analysis = {name: value for name, value in line.items() if name in _ANALYSIS_FIELDS}
        ParseDict(analysis, message.analysis)
    else:
        message.status.CopyFrom(failure_to_proto(failure))
    return message


def too_long_to_proto(
    result: scoring_job_pb2.ScoringResult, *, max_bytes: int
) -> scoring_job_pb2.ScoringResult:
    """Write in the place of a result that it does not fit into a message."""
    problem = (
        f"has a result of {result.ByteSize()} bytes, and a message holds {max_bytes}; create the "
        "job with options.omit_evidence, or have its operator read it from the job's folder"
    )
    failure = ItemFailure.model_validate(
        {
            "source": result.source,
            "number": result.number,
            "place": result.place,
            "conversation_id": result.conversation_id,
            "code": "INPUT_TOO_LONG",
            "errors": [{"field": "", "problem": problem}],
        }
    )
    return scoring_job_pb2.ScoringResult(
        source=result.source,
        number=result.number,
        place=result.place,
        conversation_id=result.conversation_id,
        status=failure_to_proto(failure),
    )


def _warnings(warnings: Iterable[Mapping[str, Any]]) -> Iterable[analysis_pb2.AnalysisWarning]:
    return (
        analysis_pb2.AnalysisWarning(code=warning["code"], message=warning["message"])
        for warning in warnings
    )


def _status(reason: str, message: str, metadata: Mapping[str, str]) -> status_pb2.Status:
    code = _CODE_BY_REASON.get(reason, grpc.StatusCode.INTERNAL)
    status = status_pb2.Status(code=code.value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata)
    status.details.add().Pack(info)
    return status
