from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from runtime_core.types import Declarations, DeclaredModel


async def declare(database, tenant: str) -> Declarations:
    """Declare a bit of everything and return it."""
    now = datetime.now(UTC)
    await database.groups.ensure_builtin(tenant)
    own = await database.groups.create(tenant, name="own", purpose_type="mine")
    backends = [
        await database.backends.create(
            tenant, name=name, base_url=f"http://{name}", type="Ollama", id=name
        )
        for name in ("b2", "b1")
    ]
    models = []
    for name, flag in (("m2", "can_chat"), ("m1", "can_embed"), ("m3", "can_prompt")):
        model = DeclaredModel(
            id=f"id of {name}",
            model=name,
            context_length=len(name),
            can_stream=True,
            created_at=now,
            updated_at=now,
            **{flag: True},
        )
        models.append(await database.models.create(tenant, model))
    configs = [
        await database.provider_configs.put(tenant, name, f"key of {name}", replace=False)
        for name in ("openai", "gemini")
    ]
    for group in ("internal_chat_group", own.id):
        await database.groups.assign_backend(tenant, group, "b1")
        await database.groups.assign_model(tenant, group, "id of m2")
    builtin = [
        await database.groups.get(tenant, f"internal_{role}_group")
        for role in ("chat", "embed", "tasks")
    ]
    pairs = {("internal_chat_group", "b1"), (own.id, "b1")}
    return Declarations(
        backends=tuple(backends),
        models=tuple(models),
        groups=(*builtin, own),
        providers=tuple(configs),
        backend_groups=frozenset(pairs),
        model_groups=frozenset((group, "id of m2") for group, _ in pairs),
    )


async def test_everything_is_read_as_it_is_read_one_by_one(database):
    assert await database.declarations.read("default") == Declarations()
    declared = {tenant: await declare(database, tenant) for tenant in ("a", "b")}
    for tenant, expected in declared.items():
        assert await database.declarations.read(tenant) == expected
    assert await database.declarations.read("c") == Declarations()


async def test_the_picture_is_of_one_moment(database):
    """A model and its assignment come and go together: no picture has one of them only."""
    now = datetime.now(UTC)
    await database.groups.ensure_builtin("default")
    model = DeclaredModel(
        id="m", model="m", context_length=1, can_chat=True, created_at=now, updated_at=now
    )
    done = asyncio.Event()

    async def come_and_go() -> None:
        for _ in range(40):
            await database.models.create("default", model)
            await database.groups.assign_model("default", "internal_chat_group", "m")
            await database.models.delete_by_name("default", "m")
        done.set()

    async def look() -> None:
        while not done.is_set():
            seen = await database.declarations.read("default")
            assert {member for _, member in seen.model_groups} <= {one.id for one in seen.models}

    async with asyncio.TaskGroup() as group:
        group.create_task(come_and_go())
        group.create_task(look())


async def test_it_is_one_statement(database, monkeypatch):
    """What makes the picture consistent, where races are too rare to show its absence."""
    statements = []
    read = database.read

    async def counted(statement, parameters=None):
        statements.append(statement)
        return await read(statement, parameters)

    # the statements are what is asked about
    monkeypatch.setattr(database, "read", counted)
    await database.declarations.read("default")
    assert len(statements) == 1
