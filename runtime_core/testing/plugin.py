"""The pytest plugin behind the ``pytest11`` entry point: failing suites explain themselves."""

import pytest

pytest.register_assert_rewrite("runtime_core.testing.provider_suite")
pytest.register_assert_rewrite("runtime_core.testing.hook_source_suite")
pytest.register_assert_rewrite("runtime_core.testing.table_suite")
