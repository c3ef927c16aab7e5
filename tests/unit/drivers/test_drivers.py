from __future__ import annotations

import sys

import pytest

from runtime_core.bus import MemoryBus
from runtime_core.drivers import driver_names, load_driver
from runtime_core.errors import DriverNotFound


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Install a distribution whose module registers a bus driver."""

    def install(distribution: str, entry: str, code: str = "") -> None:
        module = distribution.replace("-", "_")
        folder = tmp_path / distribution
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[runtime_core.drivers.bus]\n{entry}\n")
        monkeypatch.syspath_prepend(str(folder))

    loaded = set(sys.modules)
    yield install
    for name in sys.modules.keys() - loaded:
        if name.startswith("acme_"):
            del sys.modules[name]


def test_a_driver_is_found_by_its_name():
    assert load_driver("bus", "memory") is MemoryBus
    assert driver_names("bus") == ["memory", "nats", "tls"]
    assert {"postgres", "postgresql", "sqlite"} <= set(driver_names("database"))


def test_a_driver_is_returned_not_called(driver):
    driver(
        "acme-bus",
        "acme = acme_bus:Bus",
        "class Bus:\n    def __init__(self):\n        raise AssertionError('called')\n",
    )
    assert load_driver("bus", "acme").__name__ == "Bus"


def test_a_driver_installed_later_is_found(driver):
    assert "acme" not in driver_names("bus")
    driver("acme-bus", "acme = acme_bus:Bus", "Bus = dict\n")
    assert driver_names("bus") == ["acme", "memory", "nats", "tls"]
    assert load_driver("bus", "acme") is dict


def test_a_falsy_driver_is_a_driver(driver):
    driver("acme-bus", "acme = acme_bus:BUS", "BUS = ()\n")
    assert load_driver("bus", "acme") == ()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("bus", "memori", "no bus driver 'memori' is installed; did you mean memory? Installed: "),
        ("bus", "zebra", "'zebra' is installed. Installed: memory, nats, tls. Correct the bus"),
        ("zoo", "zebra", "Installed: none."),
        ("zoo", "zebra", "an entry point 'zebra' in the group runtime_core.drivers.zoo"),
        ("bus", "", "no bus driver '' is installed"),
    ],
)
def test_an_unknown_name_lists_what_there_is(kind, name, said):
    with pytest.raises(DriverNotFound) as caught:
        load_driver(kind, name)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import acme_nowhere", "ModuleNotFoundError: No module named 'acme_nowhere'"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("def broken(:", "SyntaxError: "),
        ("", "AttributeError: module 'acme_bus' has no attribute 'Bus'"),
    ],
)
def test_a_broken_driver_says_why(driver, code, reason):
    driver("acme-bus", "acme = acme_bus:Bus", code)
    with pytest.raises(DriverNotFound) as caught:
        load_driver("bus", "acme")
    assert f"bus driver 'acme' (acme-bus 1.0) cannot be imported: {reason}" in caught.value.message
    assert "or choose another: memory" in caught.value.message


def test_a_broken_driver_harms_no_other(driver):
    driver("acme-bus", "acme = acme_bus:Bus", "raise SystemExit")
    assert load_driver("bus", "memory") is MemoryBus


def test_two_drivers_of_a_name_are_an_error_that_names_both(driver):
    driver("acme-one", "acme = acme_one:Bus", "Bus = dict\n")
    driver("acme-two", "acme = acme_two:Bus", "Bus = list\n")
    with pytest.raises(
        DriverNotFound, match=r"acme-one 1\.0, acme-two 1\.0; uninstall all but one"
    ):
        load_driver("bus", "acme")
