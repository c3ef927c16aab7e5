"""What plugins hand to the kernel, and what its rooms ask of each other.

Structural types: nothing inherits from them.  Everything that may wait is async; everything
that streams is an async iterator, and closing the iterator cancels the work behind it.
"""

from runtime_core.protocols.drivers import (
    BackendStats,
    Bus,
    LoadingTokenizer,
    RouteOption,
    Router,
    Subscription,
    Tokenizer,
)
from runtime_core.protocols.egress import Egress, EgressAnswer, EgressClient, EgressStream
from runtime_core.protocols.fleet import (
    BackendStore,
    DeclarationReader,
    DownloadQueue,
    DownloadStore,
    FleetState,
    GroupStore,
    ModelStore,
    ProviderConfigStore,
)
from runtime_core.protocols.hooks import (
    FindingHookSource,
    HookSource,
    RunningHookSource,
    Toolbox,
)
from runtime_core.protocols.providers import (
    ChatProvider,
    EmbeddingProvider,
    LoadingProvider,
    Provider,
    ProviderFactory,
    PullingProvider,
)
from runtime_core.protocols.rooms import (
    ChainRunner,
    ChainStore,
    HealthCheck,
    ModelGateway,
    SessionStore,
    TokenCounter,
)
from runtime_core.protocols.services import PluginDatabase, Sealer, SecretStore, Services
from runtime_core.protocols.tasks import SelfChecking, TaskCall, TaskHandler

__all__ = (
    "BackendStats",
    "BackendStore",
    "Bus",
    "ChainRunner",
    "ChainStore",
    "ChatProvider",
    "DeclarationReader",
    "DownloadQueue",
    "DownloadStore",
    "Egress",
    "EgressAnswer",
    "EgressClient",
    "EgressStream",
    "EmbeddingProvider",
    "FindingHookSource",
    "FleetState",
    "GroupStore",
    "HealthCheck",
    "HookSource",
    "LoadingProvider",
    "LoadingTokenizer",
    "ModelGateway",
    "ModelStore",
    "PluginDatabase",
    "Provider",
    "ProviderConfigStore",
    "ProviderFactory",
    "PullingProvider",
    "RouteOption",
    "Router",
    "RunningHookSource",
    "Sealer",
    "SecretStore",
    "SelfChecking",
    "Services",
    "SessionStore",
    "Subscription",
    "TaskCall",
    "TaskHandler",
    "TokenCounter",
    "Tokenizer",
    "Toolbox",
)
