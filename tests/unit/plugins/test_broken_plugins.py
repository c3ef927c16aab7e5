"""Twelve broken plugins: none stops the start, each is named with its way out."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from runtime_core.errors import PluginError
from runtime_core.plugins import Plugins

#: Folder of the fixture → name, what the error says (a pattern).
BROKEN = {
    "import_error": (
        "import-error",
        r"importing acme_import_error raised ModuleNotFoundError: No module named "
        r"'acme_module_that_is_nowhere' \(.*acme_import_error\.py, line 3\)",
    ),
    "syntax_error": (
        "syntax-error",
        r"importing acme_syntax_error raised SyntaxError: .* \(.*acme_syntax_error\.py, line 3\)",
    ),
    "system_exit": (
        "system-exit",
        r"importing acme_system_exit raised SystemExit: acme: no licence found "
        r"\(.*acme_system_exit\.py, line 3\)",
    ),
    "hang": (
        "hang",
        r"importing acme_hang took longer than 0\.3 s \(RUNTIME_PLUGIN_TIMEOUT\)",
    ),
    "wrong_signature": (
        "wrong-signature",
        r"register_providers.*Argument\(s\) \{'ctx'\} are declared in the hookimpl but can not be "
        r"found in the hookspec",
    ),
    "unknown_hook": (
        "unknown-hook",
        r"there is no hook register_provider; did you mean register_providers\?",
    ),
    "async_hook": ("async-hook", r"register_providers must not be async"),
    "incompatible": (
        "incompatible",
        r"it needs runtime-core>=99, this is runtime-core \d+\.\d+\.\d+",
    ),
    "duplicate_name": (
        "healthy",
        r"a plugin of the same name comes from acme-healthy 1\.0",
    ),
    "bad_return_type": (
        "bad-return-type",
        r"register_providers: must return a mapping, provider factories by backend type, not "
        r"list \['acme'\]",
    ),
    "missing_dependency": (
        "missing-dependency",
        r"it needs acme-nowhere>=2, which is not installed",
    ),
    "raising_hook": (
        "raising-hook",
        r"register_hook_sources raised RuntimeError: acme: the moon is in the wrong phase "
        r"\(.*acme_raising_hook\.py, line 13\)",
    ),
}

ADVICE = {
    "incompatible": "install a version made for runtime-core",
    "missing_dependency": "pip install 'acme-nowhere>=2'",
    "duplicate_name": "RUNTIME_DISABLE_PLUGINS=.*,zzz-acme-duplicate-name$",
}


def test_there_are_twelve():
    assert len(BROKEN) == 12


@pytest.mark.parametrize("fixture", BROKEN)
def test_the_server_starts_without_a_broken_plugin_and_names_it(fixture, install, settings, caplog):
    name, said = BROKEN[fixture]
    install("healthy", fixture)
    with caplog.at_level(logging.ERROR):
        plugins = Plugins.load(settings)

    assert "healthy" in plugins.providers
    [report] = plugins.quarantined
    assert (report.name, report.version, report.hooks) == (name, "1.0", ())
    assert report.distribution.endswith(f"acme-{fixture.replace('_', '-')}")
    assert re.search(said, report.error), report.error
    assert re.search(ADVICE.get(fixture, f"RUNTIME_DISABLE_PLUGINS=.*,{name}$"), report.advice)
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    for part in (name, report.distribution, report.error, report.advice):
        assert part in record.getMessage()


def test_all_twelve_at_once(install, settings):
    install("healthy", *BROKEN)
    plugins = Plugins.load(settings)
    assert len(plugins.quarantined) == 12
    assert "healthy" in plugins.providers
    assert not {"raising", "duplicate", "acme"} & set(plugins.providers)
    assert [one.name for one in plugins.reports if one.status == "active"] == ["healthy"]


def test_strict_refuses_and_lists_them_all(install, settings):
    install("healthy", "import_error", "bad_return_type")
    with pytest.raises(PluginError) as caught:
        Plugins.load(settings.model_copy(update={"strict": True}))
    lines = caught.value.message.splitlines()
    assert len(lines) == 3
    assert "acme-bad-return-type 1.0" in lines[1]
    assert "acme-import-error 1.0" in lines[2]


@pytest.mark.parametrize("by", ["import-error", "acme-import-error", "ACME_import.error"])
def test_a_disabled_plugin_is_not_imported(install, settings, by):
    install("import_error")
    disabled = (*settings.disable_plugins, by)
    plugins = Plugins.load(
        settings.model_copy(update={"disable_plugins": disabled, "strict": True})
    )
    [report] = [one for one in plugins.reports if one.name == "import-error"]
    assert (report.status, report.error) == ("disabled", "")
    assert "acme_import_error" not in sys.modules


def test_one_of_two_plugins_of_a_name_can_be_disabled_by_its_distribution(install, settings):
    install("healthy", "duplicate_name")
    disabled = (*settings.disable_plugins, "acme-healthy")
    plugins = Plugins.load(settings.model_copy(update={"disable_plugins": disabled}))
    assert not plugins.quarantined
    assert list(plugins.providers) == ["duplicate"]


@pytest.mark.parametrize("fixture", ["incompatible", "missing_dependency"])
def test_a_plugin_that_cannot_work_is_not_imported(install, settings, fixture):
    install(fixture)
    Plugins.load(settings)
    assert f"acme_{fixture}" not in sys.modules
