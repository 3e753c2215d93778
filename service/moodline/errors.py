"""The exception tree of moodline.

Every error carries a stable, UPPER_SNAKE `reason` that clients may branch on. Nothing here
knows gRPC: `moodline.rpc.status` maps each class to a status code. Messages name the limit,
the value and the remedy; they never contain customer text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class MoodlineError(Exception):
    """Base of all errors that moodline raises on purpose.

    Attributes:
        reason: Stable UPPER_SNAKE name of the cause, sent to clients as `ErrorInfo.reason`.
    """

    reason: ClassVar[str] = "MOODLINE_ERROR"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing that is wrong with one field of a request.

    Attributes:
        field: Path in proto field names, e.g. `conversation.turns[3].text`; empty for the whole.
        description: What is wrong, the limit and the remedy; never customer text.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class InvalidRequestError(MoodlineError):
    """The request can never succeed as it is; all violations are reported together."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(str, self.violations)))


class InputTooLongError(InvalidRequestError):
    """One input exceeds a documented maximum; sending it again can never help."""

    reason = "INPUT_TOO_LONG"


class MalformedRequestError(InvalidRequestError):
    """The bytes are no message of the method, or a text in them is not UTF-8."""

    reason = "MALFORMED_REQUEST"

    def __init__(self) -> None:
        super().__init__(
            [
                FieldViolation(
                    "",
                    "the message cannot be decoded: it is not the request of this method, or a "
                    "text in it is not valid UTF-8; correct it before sending it again",
                )
            ]
        )


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """One thing that is wrong with a rule set.

    Attributes:
        source: The file, or what stands for it.
        line: From 1.
        rule_id: The rule; empty if it is about none, or one without an id.
        field: Path from the root, e.g. `rules[3].clear.when`.
        description: What is wrong and the remedy.
    """

    source: str
    line: int
    rule_id: str
    field: str
    description: str

    def __str__(self) -> str:
        rule = f" rule {self.rule_id}:" if self.rule_id else ""
        field = f" {self.field}:" if self.field else ""
        return f"{self.source}:{self.line}:{rule}{field} {self.description}"


class RuleSetError(InvalidRequestError):
    """A rule set cannot be used; all that is wrong with it is reported together.

    Attributes:
        problems: In the order of the lines, at least one.
    """

    reason = "INVALID_RULES"

    def __init__(self, problems: Sequence[RuleProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__([FieldViolation(p.field, str(p)) for p in self.problems])
        self.args = ("\n".join(map(str, self.problems)),)


class SignalStateError(MoodlineError):
    """The signal has ended, or stands otherwise, so that this cannot be done to it any more."""

    reason = "SIGNAL_STATE"


class SignalNotFoundError(MoodlineError):
    """The tenant has no such signal."""

    reason = "SIGNAL_NOT_FOUND"


class StoreError(MoodlineError):
    """The store cannot be used as it is; the process exits before serving."""

    reason = "INVALID_STORE"


class StoreUnavailableError(StoreError):
    """The store cannot be reached or does not answer; it may come back."""

    reason = "STORE_UNAVAILABLE"


class NoStoreError(MoodlineError):
    """The server keeps no signals."""

    reason = "NO_STORE"


class JobNotFoundError(MoodlineError):
    """The tenant has no such scoring job."""

    reason = "JOB_NOT_FOUND"


class JobStateError(MoodlineError):
    """The scoring job stands otherwise, so that this cannot be done to it."""

    reason = "JOB_STATE"


class NoJobsError(MoodlineError):
    """The server keeps no scoring jobs, or none of this kind."""

    reason = "NO_JOBS"


class RequestIdReusedError(MoodlineError):
    """The id of the request has created a scoring job of other content."""

    reason = "REQUEST_ID_REUSED"


class UnauthenticatedError(MoodlineError):
    """No bearer token, or one that is unknown or expired."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(MoodlineError):
    """The token is valid but lacks the scope."""

    reason = "PERMISSION_DENIED"


class TenantMismatchError(PermissionDeniedError):
    """The token belongs to another tenant than the one that the call names."""

    reason = "TENANT_MISMATCH"


class OverloadedError(MoodlineError):
    """The ledger of pending work is full.

    Attributes:
        retry_after_s: Suggested wait before the next try, in seconds.
    """

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExpiredError(MoodlineError):
    """The caller's deadline passed before the work was computed.

    Attributes:
        stage: Where the request was when it expired, e.g. `queue`.
    """

    reason = "DEADLINE_EXPIRED"

    def __init__(self, stage: str) -> None:
        super().__init__(f"The deadline passed in stage {stage!r}; allow more time or send less.")
        self.stage = stage


class NotReadyError(MoodlineError):
    """The service is starting, or its engine has died."""

    reason = "NOT_READY"


class DrainingError(MoodlineError):
    """The service is shutting down; another replica will answer."""

    reason = "DRAINING"


class InferenceError(MoodlineError):
    """The engine failed on this input."""

    reason = "INFERENCE_FAILED"


class SettingsError(MoodlineError):
    """The settings contradict each other or cannot be read; the process exits before serving."""

    reason = "INVALID_SETTINGS"


class ArtifactError(MoodlineError):
    """The model artifact disagrees with its manifest; the process exits before serving."""

    reason = "INVALID_ARTIFACT"


class EngineDiedError(MoodlineError):
    """The batching loop died; the process reports NOT_SERVING and exits non-zero."""

    reason = "ENGINE_DIED"
