"""Every error the kernel and its plugins raise on purpose.

Each class is one row of the error table: an HTTP status, the envelope's ``type`` and ``code``,
and whether trying again (the same backend or another one) can help.

* RuntimeCoreError                 500 internal_error
  x InvalidRequest                 400 bad_request
    + InvalidChain                 400 invalid_chain
    + ContextLengthExceeded        400 context_length_exceeded
    + StepLimitExceeded            400 step_limit_exceeded
  x Unauthenticated                401 unauthorized
  x Forbidden                      403 forbidden
  x NotFound                       404 not_found
    + ModelNotFound                404 model_not_found
  x MethodNotAllowed               405 method_not_allowed
  x Conflict                       409 conflict
  x RequestTooLarge                413 request_too_large
  x UnsupportedMedia               415 unsupported_media
  x Unprocessable                  422 unprocessable_entity
    + TaskFailed                   422 task_failed
      - TemplateFailed             422 template_failed
      - UnusableAnswer             422 task_failed
      - AddressRefused             422 address_refused
  x RateLimited                    429 rate_limit_exceeded
  x UpstreamError                  502 upstream_error
    + UpstreamUnavailable          502 upstream_error
      - UpstreamDisconnected       502 upstream_error
    + UpstreamProtocolError        502 upstream_error
    + UpstreamRejected             502 upstream_error
      - UpstreamUnauthenticated    502 upstream_error
      - UpstreamModelNotFound      502 upstream_error
      - UpstreamRateLimited        429 rate_limit_exceeded
      - UpstreamContextExceeded    400 context_length_exceeded
  x NoBackendAvailable             503 no_backend_available
  x DatabaseUnavailable            503 database_unavailable
  x SubscriptionLost               503 subscription_lost
  x TimedOut                       504 timeout
  x StartupError                   (never answered over HTTP: the server does not start)
    + SettingsError
    + PluginError
      - PluginLoadError
      - PluginIncompatible
      - PluginInvalid
      - DuplicateName
    + DriverNotFound
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "AddressRefused",
    "Conflict",
    "ContextLengthExceeded",
    "DatabaseUnavailable",
    "DriverNotFound",
    "DuplicateName",
    "Forbidden",
    "InvalidChain",
    "InvalidRequest",
    "MethodNotAllowed",
    "ModelNotFound",
    "NoBackendAvailable",
    "NotFound",
    "PluginError",
    "PluginIncompatible",
    "PluginInvalid",
    "PluginLoadError",
    "RateLimited",
    "RequestTooLarge",
    "RuntimeCoreError",
    "SettingsError",
    "StartupError",
    "StepLimitExceeded",
    "SubscriptionLost",
    "TaskFailed",
    "TemplateFailed",
    "TimedOut",
    "Unauthenticated",
    "Unprocessable",
    "UnsupportedMedia",
    "UnusableAnswer",
    "UpstreamContextExceeded",
    "UpstreamDisconnected",
    "UpstreamError",
    "UpstreamModelNotFound",
    "UpstreamProtocolError",
    "UpstreamRateLimited",
    "UpstreamRejected",
    "UpstreamUnauthenticated",
    "UpstreamUnavailable",
)


class RuntimeCoreError(Exception):
    """Base of everything raised on purpose; on its own, a fault of ours.

    :param message: what happened and what to do about it; shown to the client.
    :param param: the request field at fault, when there is one.
    :param retry_after: seconds after which trying again makes sense, when known.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class InvalidRequest(RuntimeCoreError):
    """The request makes no sense as it stands."""

    status, type, code = 400, "invalid_request_error", "bad_request"


class InvalidChain(InvalidRequest):
    """A task chain that cannot run; the message lists every problem."""

    code = "invalid_chain"

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"- {problem}" for problem in problems)]))
        self.problems = tuple(problems)


class ContextLengthExceeded(InvalidRequest):
    """The prompt is longer than the model, or the chain's token limit, takes."""

    code = "context_length_exceeded"


class StepLimitExceeded(InvalidRequest):
    """The run took more steps than its ``max_steps``."""

    code = "step_limit_exceeded"


class Unauthenticated(RuntimeCoreError):
    """No key, or one this server does not know."""

    status, type, code = 401, "authentication_error", "unauthorized"


class Forbidden(RuntimeCoreError):
    """A known key without the scope, or a thing that must not be changed."""

    status, type, code = 403, "authorization_error", "forbidden"


class NotFound(RuntimeCoreError):
    """A thing named by the request does not exist."""

    status, type, code = 404, "invalid_request_error", "not_found"


class ModelNotFound(NotFound):
    """The model named by the request does not exist here."""

    code = "model_not_found"


class MethodNotAllowed(RuntimeCoreError):
    """The path exists, the method does not."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(RuntimeCoreError):
    """The request contradicts what is stored."""

    status, type, code = 409, "invalid_request_error", "conflict"


class RequestTooLarge(RuntimeCoreError):
    """The body is larger than ``RUNTIME_MAX_BODY``."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class UnsupportedMedia(RuntimeCoreError):
    """A ``Content-Type`` this route does not read."""

    status, type, code = 415, "invalid_request_error", "unsupported_media"


class Unprocessable(RuntimeCoreError):
    """Well-formed, but a field is missing or has a wrong value."""

    status, type, code = 422, "invalid_request_error", "unprocessable_entity"


class TaskFailed(Unprocessable):
    """A task of a chain cannot do its work with the value it was given."""

    code = "task_failed"


class TemplateFailed(TaskFailed):
    """A template names a missing variable, is malformed, or exceeds its budget."""

    code = "template_failed"


class UnusableAnswer(TaskFailed):
    """A model's answer is not what the task needs; asking again may help."""

    retryable = True


class AddressRefused(TaskFailed):
    """An address that must not be called; the message says why, and which setting allows it."""

    code = "address_refused"


class RateLimited(RuntimeCoreError):
    """Too many requests; ``retry_after`` says when to come back."""

    status, type, code, retryable = 429, "rate_limit_error", "rate_limit_exceeded", True


class UpstreamError(RuntimeCoreError):
    """A service behind this server refused or broke."""

    status, type, code = 502, "api_error", "upstream_error"


class UpstreamUnavailable(UpstreamError):
    """The service cannot be reached, broke the connection, or answered 5xx."""

    retryable = True


class UpstreamDisconnected(UpstreamUnavailable):
    """The service closed the connection, perhaps one that was kept open for too long."""


class UpstreamProtocolError(UpstreamError):
    """The service's answer makes no sense, or ended half-way."""

    retryable = True


class UpstreamRejected(UpstreamError):
    """The service understood and said no; asking it again will not help."""


class UpstreamUnauthenticated(UpstreamRejected):
    """The service does not accept the key configured for it."""


class UpstreamModelNotFound(UpstreamRejected):
    """The service does not have the model it was listed with."""


class UpstreamRateLimited(UpstreamRejected):
    """The service asks for patience."""

    status, type, code, retryable = 429, "rate_limit_error", "rate_limit_exceeded", True


class UpstreamContextExceeded(UpstreamRejected):
    """The service says that the prompt is too long for the model."""

    status, type, code = 400, "invalid_request_error", "context_length_exceeded"


class NoBackendAvailable(RuntimeCoreError):
    """No backend can serve the request now; the message lists what there is."""

    status, code, retryable = 503, "no_backend_available", True


class DatabaseUnavailable(RuntimeCoreError):
    """The database cannot be reached, is busy for too long, or cannot write; details are logged."""

    status, code, retryable = 503, "database_unavailable", True


class SubscriptionLost(RuntimeCoreError):
    """Messages of a bus subscription were missed: subscribe again and read the truth anew."""

    status, code, retryable = 503, "subscription_lost", True


class TimedOut(RuntimeCoreError):
    """A task, or a service behind this server, took too long."""

    status, code, retryable = 504, "timeout", True


class StartupError(RuntimeCoreError):
    """The server, as configured, must not start."""


class SettingsError(StartupError):
    """A setting has a wrong value; the message has its name, the value, and what is allowed."""


class PluginError(StartupError):
    """A plugin cannot be used; ``advice`` is the way out.

    :param advice: what to do, when it differs from repairing or disabling the plugin.
    """

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class PluginLoadError(PluginError):
    """Importing the plugin failed."""


class PluginIncompatible(PluginError):
    """The plugin's own metadata excludes this kernel, or what it needs is missing."""


class PluginInvalid(PluginError):
    """The plugin breaks the contract of a hook."""


class DuplicateName(PluginError):
    """Two plugins contribute a thing of the same name."""


class DriverNotFound(StartupError):
    """No installed driver has the name a setting asks for."""
