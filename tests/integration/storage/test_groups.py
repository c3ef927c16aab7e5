from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from runtime_core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unprocessable
from runtime_core.types import BUILTIN_GROUPS, DeclaredModel


async def create_backend(database, name: str, tenant: str = "default"):
    return await database.backends.create(
        tenant, name=name, base_url=f"http://{name}", type="ollama", id=name
    )


async def create_model(database, name: str, tenant: str = "default"):
    now = datetime.now(UTC)
    model = DeclaredModel(
        id=name, model=name, context_length=1, can_chat=True, created_at=now, updated_at=now
    )
    return await database.models.create(tenant, model)


async def create_group(database, name: str, purpose: str = "", tenant: str = "default"):
    return await database.groups.create(tenant, name=name, purpose_type=purpose)


class Kind:
    """The methods for one kind of members."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.create = {"backend": create_backend, "model": create_model}[what]

    def __getattr__(self, name: str):
        methods = {
            "assign": f"assign_{self.what}",
            "unassign": f"unassign_{self.what}",
            "members": f"{self.what}s_of",
            "groups": f"groups_of_{self.what}",
        }
        return lambda database, *args: getattr(database.groups, methods[name])(*args)


@pytest.fixture(params=["backend", "model"])
def kind(request) -> Kind:
    return Kind(request.param)


async def test_what_is_created_is_read_back_everywhere_the_same(database):
    stored = await create_group(database, "fast ones", "Chat/50%")
    assert (stored.name, stored.purpose_type) == ("fast ones", "Chat/50%")
    assert stored.created_at == stored.updated_at
    assert await database.groups.get("default", stored.id) == stored
    assert await database.groups.get_by_name("default", "fast ones") == stored
    assert (await database.groups.list("default")).items == [stored]

    updated = await database.groups.update("default", stored.id, name="b", purpose_type="")
    assert (updated.name, updated.purpose_type) == ("b", "")
    assert updated.created_at == stored.created_at
    assert updated.updated_at > stored.updated_at
    await database.groups.delete("default", stored.id)
    assert (await database.groups.list("default")).items == []


async def test_name_and_purpose_may_be_empty_but_names_are_used_once(database):
    await create_group(database, "")
    other = await create_group(database, "b")
    for call in (
        create_group(database, ""),
        database.groups.update("default", other.id, name="", purpose_type=""),
    ):
        with pytest.raises(Conflict, match="name '' is taken by another group"):
            await call


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ({"name": "x" * 513}, InvalidRequest, "name"),
        ({"name": "\0"}, Unprocessable, "name"),
        ({"purpose_type": "x" * 513}, InvalidRequest, "purposeType"),
    ],
)
async def test_values_that_cannot_be_stored(database, wrong, error, param):
    with pytest.raises(error, match=param) as caught:
        await database.groups.create("default", **({"name": "a", "purpose_type": ""} | wrong))
    assert caught.value.param == param


async def test_an_unknown_group_is_named(database):
    for call in (
        database.groups.get("default", "ghost"),
        database.groups.get_by_name("default", "ghost"),
        database.groups.update("default", "ghost", name="", purpose_type=""),
        database.groups.delete("default", "ghost"),
    ):
        with pytest.raises(NotFound, match="group 'ghost' not found"):
            await call


async def test_groups_are_listed_all_or_in_pages_or_of_a_purpose(database):
    for number in range(5):
        await create_group(database, str(number), "even" if number % 2 == 0 else "odd")

    async def names(**wanted) -> list[str]:
        return [group.name for group in (await database.groups.list("default", **wanted)).items]

    assert await names() == list("43210")
    assert await names(purpose_type="even") == list("420")
    assert await names(purpose_type="") == []
    assert await names(purpose_type="\0") == []
    first = await database.groups.list("default", purpose_type="even", limit=2)
    assert [group.name for group in first.items] == ["4", "2"]
    assert await names(purpose_type="even", limit=2, cursor=first.next_cursor) == ["0"]
    with pytest.raises(Unprocessable):
        await names(limit=1001)


async def test_more_groups_than_a_page_holds_are_all_listed(database, monkeypatch):
    # the limit of a page, which a thousand inserts would be needed for
    monkeypatch.setattr("runtime_core.storage.groups.MAX_LIMIT", 2)
    for number in range(5):
        await create_group(database, str(number))
    page = await database.groups.list("default")
    assert [group.name for group in page.items] == list("43210")
    assert page.next_cursor is None


async def test_built_in_groups_are_made_once_and_cannot_be_deleted(database):
    for _ in range(2):
        await asyncio.gather(*(database.groups.ensure_builtin("default") for _ in range(4)))
    groups = (await database.groups.list("default")).items
    assert {group.id: (group.name, group.purpose_type) for group in groups} == BUILTIN_GROUPS
    for group in groups:
        with pytest.raises(Forbidden, match="built in and cannot be deleted"):
            await database.groups.delete("default", group.id)
        assert await database.groups.get("default", group.id) == group


async def test_what_operators_made_of_a_built_in_group_stays(database):
    await database.groups.ensure_builtin("default")
    await database.groups.update(
        "default", "internal_chat_group", name="Talk", purpose_type="Internal Chat"
    )
    await database.groups.ensure_builtin("default")
    assert (await database.groups.get("default", "internal_chat_group")).name == "Talk"


async def test_a_built_in_group_whose_name_is_taken_goes_by_its_id(database):
    own = await create_group(database, "Chat")
    await database.groups.ensure_builtin("default")
    assert (await database.groups.get("default", "internal_chat_group")).name == (
        "internal_chat_group"
    )
    assert await database.groups.get_by_name("default", "Chat") == own
    assert len((await database.groups.list("default")).items) == 4


async def test_members_and_groups_are_listed_latest_assignment_first(database, kind):
    first, second = [await create_group(database, name) for name in "ab"]
    members = [await kind.create(database, name) for name in ("m1", "m2", "m3")]
    for member in (members[1], members[0], members[2]):
        await kind.assign(database, "default", first.id, member.id)
    await kind.assign(database, "default", second.id, members[0].id)

    found = await kind.members(database, "default", first.id)
    assert found == [members[2], members[0], members[1]]
    assert await kind.members(database, "default", second.id) == [members[0]]
    assert await kind.groups(database, "default", members[0].id) == [second, first]
    assert await kind.groups(database, "default", members[1].id) == [first]

    await kind.unassign(database, "default", first.id, members[0].id)
    assert await kind.members(database, "default", first.id) == [members[2], members[1]]
    assert await kind.members(database, "default", second.id) == [members[0]]


@pytest.mark.parametrize("unknown", ["ghost", "\0", "x" * 513])
async def test_what_is_unknown_is_named(database, kind, unknown):
    group = await create_group(database, "g")
    member = await kind.create(database, "m")
    with pytest.raises(Conflict, match="there is no group") as caught:
        await kind.assign(database, "default", unknown, member.id)
    assert caught.value.param == "groupID"
    with pytest.raises(Conflict, match=f"there is no {kind.what}") as caught:
        await kind.assign(database, "default", group.id, unknown)
    assert caught.value.param == f"{kind.what}ID"
    assert len(str(caught.value)) < 600
    for arguments in ((unknown, member.id), (group.id, unknown), (group.id, member.id)):
        with pytest.raises(NotFound, match=f"{kind.what} '.*' is not in the group '.*'"):
            await kind.unassign(database, "default", *arguments)
    assert await kind.members(database, "default", unknown) == []
    assert await kind.groups(database, "default", unknown) == []


async def test_an_assignment_is_made_once(database, kind):
    group = await create_group(database, "g")
    await kind.create(database, "m")
    results = await asyncio.gather(
        *(kind.assign(database, "default", group.id, "m") for _ in range(6)),
        return_exceptions=True,
    )
    refused = [error for error in results if error is not None]
    assert len(refused) == 5
    for error in refused:
        assert isinstance(error, Conflict)
        assert f"{kind.what} 'm' is in the group '{group.id}' already" in str(error)


async def test_deleting_takes_assignments_along(database, kind):
    groups = [await create_group(database, name) for name in "ab"]
    for name in ("m", "n"):
        await kind.create(database, name)
        for group in groups:
            await kind.assign(database, "default", group.id, name)
    await database.groups.delete("default", groups[0].id)
    assert await kind.groups(database, "default", "m") == [groups[1]]
    if kind.what == "backend":
        await database.backends.delete("default", "m")
    else:
        await database.models.delete_by_name("default", "m")
    left = [one.id for one in await kind.members(database, "default", groups[1].id)]
    assert left == ["n"]
    table = f"affinity_group_{kind.what}s"
    assert await database.read(text(f"SELECT count(*) FROM {table}")) == [(1,)]


async def test_tenants_do_not_see_each_other(database, kind):
    for tenant in ("a", "b"):
        await database.groups.ensure_builtin(tenant)
        await kind.create(database, "m", tenant)
        await kind.assign(database, tenant, "internal_chat_group", "m")
    await kind.unassign(database, "a", "internal_chat_group", "m")
    assert len(await kind.members(database, "b", "internal_chat_group")) == 1
    assert len(await kind.groups(database, "b", "m")) == 1
    theirs = await create_group(database, "theirs", tenant="b")
    with pytest.raises(Conflict, match="there is no group"):
        await kind.assign(database, "a", theirs.id, "m")
