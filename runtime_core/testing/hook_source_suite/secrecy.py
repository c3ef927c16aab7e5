"""Secrets: used by the source, seen by nobody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from runtime_core.testing.hook_source_suite.base import called_by_a_model, with_argument
from runtime_core.testing.hook_source_suite.outcomes import outcome_of, text_of_outcome

if TYPE_CHECKING:
    import pytest

    from runtime_core.protocols import HookSource
    from runtime_core.testing.hook_source_suite.secrets import SuiteSecrets
    from runtime_core.types import ToolRequest

__all__ = ("SecrecyTests",)

_REFERENCE = "Bearer {{secret:of-others}}"


class SecrecyTests:
    """The operator's secrets go out with calls at most, and never come back."""

    async def test_secrets_stay_secret(
        self,
        opened: HookSource,
        secrets: SuiteSecrets,
        works: ToolRequest,
        fails: ToolRequest,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        listed = msgspec.json.encode(await opened.hooks("default")).decode()
        assert secrets.hides(listed), "hooks() must not show a secret"
        for request in (works, called_by_a_model(works), fails):
            outcome = await outcome_of(opened, request)
            assert secrets.hides(text_of_outcome(outcome)), (
                f"what {request.hook}.{request.tool} ends with must not show a secret: mask it "
                "with `redacted` of runtime_core.types"
            )
        assert secrets.hides(caplog.text), "logs must not show a secret"

    async def test_models_cannot_name_secrets(
        self, opened: HookSource, secrets: SuiteSecrets, works: ToolRequest
    ) -> None:
        texts = [name for name, value in works.arguments.items() if isinstance(value, str)]
        for name in (*texts, "headers", "conformance"):
            request = with_argument(works, name, _REFERENCE)
            outcome = await outcome_of(opened, request)
            assert "of-others" not in secrets.asked, (
                f"the argument {name!r} comes from a model: call() must not reveal secrets in it"
            )
            assert secrets.hides(text_of_outcome(outcome))
