"""What `register_tables` may return, and whose a table is."""

from __future__ import annotations

from types import ModuleType

import pytest
from sqlalchemy import Column, MetaData, Table, Text

from runtime_core import hookimpl
from runtime_core.plugins import Plugins
from runtime_core.storage.schema import KERNEL_TABLES
from runtime_core.types import TableSet, table_prefix, version_table


def metadata(*names: str, key: str = "tenant_id") -> MetaData:
    found = MetaData()
    for name in names:
        Table(
            name, found, Column(key, Text, primary_key=True), Column("id", Text, primary_key=True)
        )
    return found


def table_set(*names: str, **fields: str) -> TableSet:
    options = {"migrations": "runtime_acme.migrations", **fields}
    return TableSet(metadata=metadata(*names), **options)


def plugin(value: object) -> ModuleType:
    module = ModuleType("acme")

    @hookimpl
    def register_tables():
        return value

    module.register_tables = register_tables
    return module


def errors_of(plugins: Plugins) -> dict[str, str]:
    return {report.name: report.error for report in plugins.quarantined}


def test_tables_are_kept_by_the_name_of_their_plugin():
    own, other = table_set("acme"), table_set("remote_hooks", "remote_hooks_seen", head="0012")
    plugins = Plugins.of({"acme": plugin(own), "remote-hooks": plugin(other), "x": ModuleType("x")})
    assert not plugins.quarantined
    assert plugins.tables == {"acme": own, "remote-hooks": other}
    with pytest.raises(TypeError):
        plugins.tables["y"] = own


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must return a TableSet, not None"),
        ({"acme": 1}, "must return a TableSet, not dict"),
        (TableSet(metadata=None, migrations="a.b"), "metadata must be SQLAlchemy's"),
        (TableSet(metadata=MetaData(), migrations="a.b"), "with tables in it"),
        (table_set("acme", head="1"), "head must be four digits such as 0001, not '1'"),
        (table_set("acme", head="abcd"), "head must be four digits"),
        (table_set("acme", migrations="migrations"), "such as runtime_acme.migrations"),
        (table_set("acme", migrations="/a/b.c"), "not '/a/b.c'"),
        (
            TableSet(metadata=metadata("acme", key="id2"), migrations="a.b"),
            "the primary key of table 'acme' must begin with tenant_id",
        ),
        (
            table_set("acme", "other"),
            "table 'other' must be called 'acme', or begin with 'acme_'",
        ),
        (table_set("acmes"), "table 'acmes' must be called 'acme'"),
    ],
)
def test_what_does_not_fit_is_told_to_the_author(value, said):
    plugins = Plugins.of({"acme": plugin(value)})
    [error] = errors_of(plugins).values()
    assert error.startswith("register_tables: ")
    assert said in error
    assert plugins.tables == {}


def test_a_table_of_another_plugin_cannot_be_taken():
    plugins = Plugins.of({"a": plugin(table_set("a_b")), "a-b": plugin(table_set("a_b"))})
    assert errors_of(plugins) == {
        "a-b": "register_tables: the table 'a_b' is taken by 'a' (in memory 0); "
        "'a-b' (in memory 0) cannot have it too"
    }
    assert list(plugins.tables) == ["a"]


def test_plugins_whose_names_differ_in_marks_only_do_not_share_a_revision():
    plugins = Plugins.of({"a-b": plugin(table_set("a_b")), "a_b": plugin(table_set("a_b_c"))})
    assert "'runtime_a_b_schema' is taken by 'a-b'" in errors_of(plugins)["a_b"]


@pytest.mark.parametrize("name", ["secrets", "models", "task_chains"])
def test_the_kernels_tables_cannot_be_taken(name):
    plugins = Plugins.of({name: plugin(table_set(name))}, table_names=KERNEL_TABLES)
    assert f"the table {name!r} is taken by the kernel" in errors_of(plugins)[name]


def test_the_kernels_revision_cannot_be_taken():
    plugins = Plugins.of({"core": plugin(table_set("core"))}, table_names=KERNEL_TABLES)
    assert "'runtime_core_schema' is taken by the kernel" in errors_of(plugins)["core"]


def test_names_in_the_database():
    assert table_prefix("Remote-Hooks.2") == "remote_hooks_2"
    assert version_table("remote-hooks") == "runtime_remote_hooks_schema"
