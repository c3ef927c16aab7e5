"""The OpenAI chat and embeddings protocol, for providers that speak it.

A library, not a plugin: a provider plugin hands its backend's configuration and a `Dialect` to
`OpenAIWireProvider`.  `runtime_openai_wire.testing` has a fake server for tests.
"""

from runtime_openai_wire.answers import WireModel, decode_embeddings, decode_models
from runtime_openai_wire.failures import failure
from runtime_openai_wire.provider import Dialect, OpenAIWireProvider, describe_model
from runtime_openai_wire.request import MaxTokensField, encode_chat, encode_embeddings
from runtime_openai_wire.stream import DONE, ChatDecoder

__all__ = (
    "DONE",
    "ChatDecoder",
    "Dialect",
    "MaxTokensField",
    "OpenAIWireProvider",
    "WireModel",
    "decode_embeddings",
    "decode_models",
    "describe_model",
    "encode_chat",
    "encode_embeddings",
    "failure",
)
