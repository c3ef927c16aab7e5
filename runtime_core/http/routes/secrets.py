"""``/secrets``: named values that go into outgoing calls and never come back."""

from typing import Any

from litestar import Request, Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from runtime_core.errors import Unprocessable
from runtime_core.http.answers import answer
from runtime_core.http.pagination import PageQuery, listing
from runtime_core.http.wire.secrets import SecretBody, SecretWire, secret_wire
from runtime_core.protocols import SecretStore

__all__ = ("SECRETS",)

_TAGS = ["Secrets"]


@put(
    "/secrets/{name:str}",
    tags=_TAGS,
    summary="Store a secret",
    opt={"example": {"value": "a-token-of-yours"}},
)
async def put_secret(
    name: FromPath[str],
    data: JSONBody[SecretBody],
    secrets: NamedDependency[SecretStore],
    tenant_id: NamedDependency[str],
) -> Response[SecretWire]:
    """Create a secret, or replace its value."""
    if data.value is None:
        raise Unprocessable("value: this field is required", param="value")
    return answer(secret_wire(await secrets.put(tenant_id, name, data.value)))


@get("/secrets", tags=_TAGS, summary="List secrets")
async def list_secrets(
    request: Request[Any, Any, Any],
    page: NamedDependency[PageQuery],
    secrets: NamedDependency[SecretStore],
    tenant_id: NamedDependency[str],
) -> Response[list[SecretWire]]:
    """Return the secrets without their values, newest first."""
    found = await secrets.list(tenant_id, limit=page.limit, cursor=page.cursor)
    return listing(request, [secret_wire(one) for one in found.items], found.next_cursor)


@get("/secrets/{name:str}", tags=_TAGS, summary="Get a secret")
async def get_secret(
    name: FromPath[str], secrets: NamedDependency[SecretStore], tenant_id: NamedDependency[str]
) -> Response[SecretWire]:
    """Return a secret without its value."""
    return answer(secret_wire(await secrets.get(tenant_id, name)))


@delete("/secrets/{name:str}", status_code=200, tags=_TAGS, summary="Delete a secret")
async def delete_secret(
    name: FromPath[str], secrets: NamedDependency[SecretStore], tenant_id: NamedDependency[str]
) -> Response[str]:
    """Delete a secret; calls that name it fail from now on."""
    await secrets.delete(tenant_id, name)
    return answer("deleted")


SECRETS = (put_secret, list_secrets, get_secret, delete_secret)
