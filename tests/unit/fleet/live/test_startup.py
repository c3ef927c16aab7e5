"""What a server declares by itself when it starts, on every database."""

from __future__ import annotations

import uuid

import pytest

from runtime_core.fleet.startup import StartupModel, declare, model_id
from runtime_core.types import BUILTIN_GROUPS

TENANCY = uuid.UUID("54882f1d-3788-44f9-aed6-19a793c4568f")


@pytest.fixture
def start(database):
    async def run(*models):
        await declare(
            "default", models, models=database.models, groups=database.groups, tenancy=TENANCY
        )
        return {model.model: model for model in (await database.models.list("default")).items}

    return run


async def test_the_groups_and_models_of_the_settings(start, database):
    found = await start(
        StartupModel("embed", "nomic", 2048),
        StartupModel("task", "phi3:3.8b", 1024),
        StartupModel("chat", "phi3:3.8b", 1024),
    )
    groups = {group.id: group for group in (await database.groups.list("default")).items}
    assert {id: (one.name, one.purpose_type) for id, one in groups.items()} == BUILTIN_GROUPS
    assert found.keys() == {"nomic", "phi3:3.8b"}
    phi3, nomic = found["phi3:3.8b"], found["nomic"]
    assert phi3.id == str(uuid.uuid5(TENANCY, "phi3:3.8b")) == model_id(TENANCY, "phi3:3.8b")
    assert (phi3.can_chat, phi3.can_prompt, phi3.can_embed, phi3.can_stream) == (
        True,
        True,
        False,
        False,
    )
    assert (nomic.can_embed, nomic.can_chat, nomic.context_length) == (True, False, 2048)
    assert await groups_of(database, phi3.id) == {"internal_chat_group", "internal_tasks_group"}
    assert await groups_of(database, nomic.id) == {"internal_embed_group"}


async def groups_of(database, model):
    return {group.id for group in await database.groups.groups_of_model("default", model)}


async def test_a_second_start_changes_nothing(start):
    wanted = StartupModel("chat", "m", 10)
    first = await start(wanted)
    assert await start(wanted) == first


async def test_the_settings_win_over_a_stored_context_length(start, caplog):
    await start(StartupModel("chat", "m", 10))
    found = await start(StartupModel("chat", "m", 20), StartupModel("embed", "m", None))
    assert found["m"].context_length == 20
    assert found["m"].can_embed
    assert "10 tokens, the settings say 20" in caplog.text


async def test_a_model_of_unknown_context_length_is_not_stored(start):
    assert await start(StartupModel("chat", "m", None), StartupModel("task", "", 5)) == {}


async def test_several_lengths_of_one_model(start, caplog):
    found = await start(StartupModel("chat", "m", 30), StartupModel("task", "m", 20))
    assert found["m"].context_length == 20
    assert "20, 30" in caplog.text


async def test_a_model_that_an_operator_declared_is_used(start, database, declared):
    await database.models.create("default", declared("m", can_chat=False, can_embed=True))
    found = await start(StartupModel("chat", "m", 100))
    assert found["m"].id == "id-m"
    assert (found["m"].can_chat, found["m"].can_embed) == (True, True)
    assert await groups_of(database, "id-m") == {"internal_chat_group"}


async def test_another_server_that_starts_at_the_same_moment(start, database, monkeypatch):
    known = database.models.get_by_name

    async def slow(tenant_id, name):
        """Find nothing the first time, as when the other one has not written yet."""
        monkeypatch.setattr(database.models, "get_by_name", known)
        await start(StartupModel("chat", "m", 10))
        return await known(tenant_id, "nobody's")

    # a race cannot be had by asking for it
    monkeypatch.setattr(database.models, "get_by_name", slow)
    found = await start(StartupModel("task", "m", 10))
    assert (found["m"].can_chat, found["m"].can_prompt) == (True, True)
