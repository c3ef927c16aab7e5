from __future__ import annotations

import pytest

from runtime_core.plugins import Plugins


@pytest.fixture
def load(settings):
    return lambda: Plugins.load(settings)


@pytest.fixture
def report_of(load):
    def find(name: str):
        [report] = [one for one in load().reports if one.name == name]
        return report

    return find


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("Runtime_Core>=0.0.1,<99", ""),
        ("runtime-core<0.0.1", "it needs runtime-core<0.0.1, this is runtime-core"),
        ("pluggy>=1", ""),
        ("pluggy>=999", "it needs pluggy>=999, installed is "),
        ("acme-nowhere; extra == 'x'", ""),
        ("acme-nowhere; python_version < '3'", ""),
        ("acme-nowhere; python_version > '3'", "it needs acme-nowhere"),
        ("acme-nowhere @ https://example.org/x.whl", "which is not installed"),
        ("pluggy >> 1", "its metadata has a malformed requirement"),
    ],
)
def test_requirements_are_checked_before_the_import(distribution, requirement, said, report_of):
    distribution("acme-needy", requires=f"Requires-Dist: {requirement}\n")
    report = report_of("needy")
    if said:
        assert report.status == "quarantined"
        assert said in report.error
    else:
        assert (report.status, report.error) == ("active", "")


def test_a_prerelease_satisfies(distribution, tmp_path, report_of):
    folder = distribution("acme-needy", requires="Requires-Dist: acme-new>=2\n")
    info = folder / "acme_new-2.1rc1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-new\nVersion: 2.1rc1\n")
    assert report_of("needy").error == ""


@pytest.mark.parametrize("points", ["needy", "needy = acme_needy\nbroken"])
def test_unreadable_entry_points_are_reported_and_harm_no_one(distribution, install, points, load):
    distribution("acme-needy", points=points)
    install("healthy")
    plugins = load()
    assert "healthy" in plugins.providers
    assert any(
        one.distribution == "acme-needy" and "its metadata cannot be read" in one.error
        for one in plugins.quarantined
    )


def test_a_plugin_without_metadata_is_reported(distribution, load):
    folder = distribution("acme-needy")
    (folder / "acme_needy-1.0.dist-info" / "METADATA").unlink()
    [report] = load().quarantined
    assert "its metadata cannot be read" in report.error


@pytest.mark.parametrize("target", ["acme needy", "acme_needy:", ""])
def test_a_target_that_is_none(distribution, target, load):
    distribution("acme-needy", points=f"needy = {target}")
    plugins = load()
    [report] = [one for one in plugins.reports if one.distribution == "acme-needy"]
    assert report.error == f"its entry point {target!r} is not of the form module or module:object"


def test_the_first_on_the_path_shadows_the_second(distribution, install, tmp_path, report_of):
    first = distribution("acme-needy")
    copy = tmp_path / "other" / "acme_needy-2.0.dist-info"
    copy.mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        text = (first / "acme_needy-1.0.dist-info" / name).read_text()
        (copy / name).write_text(text.replace("Version: 1.0", "Version: 2.0"))
    install(copy.parent)
    report = report_of("needy")
    assert (report.version, report.error) == ("2.0", "")


def test_two_plugins_of_a_name_in_one_distribution(distribution, load):
    distribution("acme-needy", points="twin = acme_needy\ntwin = acme_needy")
    reports = [one for one in load().reports if one.name == "twin"]
    assert sorted(one.status for one in reports) == ["active", "quarantined"]


def test_several_plugins_in_one_distribution(distribution, load):
    distribution("acme-needy", points="one = acme_needy\ntwo = acme_needy")
    plugins = load()
    assert {"one", "two"} <= {one.name for one in plugins.reports if one.status == "active"}


def test_an_endless_loop_is_cut_and_stopped(distribution, report_of):
    # The fixture checks that the thread ends.
    distribution("acme-needy", "while True:\n    pass\n")
    assert "took longer than 0.3 s" in report_of("needy").error


def test_a_hook_that_hangs_is_cut(distribution, report_of):
    code = (
        "import time\nfrom runtime_core import hookimpl\n\n@hookimpl\n"
        "def register_providers():\n    while True:\n        time.sleep(0.01)\n"
    )
    distribution("acme-needy", code)
    assert report_of("needy").error.startswith("register_providers took longer than 0.3 s")


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "GeneratorExit", "MemoryError('x')"])
def test_whatever_an_import_raises(distribution, raised, report_of):
    distribution("acme-needy", f"raise {raised}\n")
    report = report_of("needy")
    assert report.error.startswith(f"importing acme_needy raised {raised.partition('(')[0]}")


def test_an_exception_that_cannot_be_printed(distribution, report_of):
    distribution(
        "acme-needy",
        "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n\nraise Odd\n",
    )
    assert "Odd" in report_of("needy").error


def test_a_long_message_is_cut(distribution, report_of):
    distribution("acme-needy", "raise ValueError('x' * 100_000)\n")
    assert len(report_of("needy").error) < 1000


def test_settings_for_plugins_that_are_not_installed_are_noticed(distribution, settings, caplog):
    distribution("acme-needy")
    unread = {
        "plugins": {"neddy": {}},
        "disable_plugins": (*settings.disable_plugins, "acme-needdy"),
    }
    warnings = Plugins.load(settings.model_copy(update=unread)).warnings
    assert warnings == (
        "[plugins.neddy] is set, but no such plugin is installed; did you mean needy?",
        "RUNTIME_DISABLE_PLUGINS: no plugin 'acme-needdy' is installed; did you mean acme-needy?",
    )
    assert [record.getMessage() for record in caplog.records] == list(warnings)
