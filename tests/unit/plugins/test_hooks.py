from __future__ import annotations

import asyncio
from types import ModuleType, SimpleNamespace

import pytest
from litestar import Controller, Router, asgi, get, post
from pydantic import BaseModel, ConfigDict, SecretStr

from runtime_core import hookimpl, hookspecs
from runtime_core.plugins import HOOKS, Plugins
from runtime_core.settings import Settings
from runtime_core.types import BackendConfig


def plugin(**hooks: object) -> ModuleType:
    """Return a module whose hooks return these values, or are these functions."""
    module = ModuleType("acme")
    for name, value in hooks.items():

        def implementation(value=value):
            return value

        setattr(module, name, hookimpl(value if callable(value) else implementation))
    return module


def factory(config, client):
    raise NotImplementedError


class Source:
    async def hooks(self, tenant_id):
        return []

    async def call(self, request):
        raise NotImplementedError


class Handler:
    accepts = frozenset({"string"})
    returns = "string"
    transitions = None

    async def run(self, call):
        yield None


@get("/acme/{x:int}", sync_to_thread=False)
def acme(x: int) -> str:
    return str(x)


@get("/acme/{other:int}", sync_to_thread=False)
def same_as_acme(other: int) -> str:
    return str(other)


@post("/acme/{x:int}", sync_to_thread=False)
def post_acme(x: int) -> str:
    return str(x)


class AcmeController(Controller):
    path = "/acme"

    @get("/{x:int}", sync_to_thread=False)
    def read(self, x: int) -> str:
        return str(x)


def error_of(plugins: Plugins, name: str = "x") -> str:
    [report] = plugins.quarantined
    assert report.name == name
    return report.error


def test_every_hookspec_is_called():
    specs = {name for name, value in vars(hookspecs).items() if hasattr(value, "runtime_core_spec")}
    assert set(HOOKS) == specs


def test_what_plugins_return_is_frozen_into_registries():
    backend = BackendConfig(name="b", type="a", base_url="http://b")
    source, handler = Source(), Handler()
    plugins = Plugins.of(
        {
            "x": plugin(
                register_providers={"a": factory},
                register_backends=[backend],
                register_task_handlers={"h": handler},
            ),
            "y": plugin(register_hook_sources={"s": source}, register_routes=[acme]),
        },
        task_handlers={"noop": handler},
    )
    assert dict(plugins.providers) == {"a": factory}
    assert plugins.backends == (backend,)
    assert dict(plugins.hook_sources) == {"s": source}
    assert dict(plugins.task_handlers) == {"noop": handler, "h": handler}
    assert plugins.routes == (acme,)
    assert [(one.name, one.status) for one in plugins.reports] == [("x", "active"), ("y", "active")]
    assert plugins.reports[0].hooks == (
        "register_providers",
        "register_backends",
        "register_task_handlers",
    )
    with pytest.raises(TypeError):
        plugins.providers["b"] = factory


def test_hook_sources_are_in_the_order_of_their_names():
    plugins = Plugins.of(
        {
            "a": plugin(register_hook_sources={"zebra": Source()}),
            "b": plugin(register_hook_sources={"mule": Source(), "ant": Source()}),
        }
    )
    assert list(plugins.hook_sources) == ["ant", "mule", "zebra"]


def test_registries_keep_what_was_returned_not_the_plugins_own_object():
    own = {"a": factory}
    plugins = Plugins.of({"x": plugin(register_providers=own)})
    own["b"] = factory
    assert list(plugins.providers) == ["a"]


def test_what_was_checked_is_what_is_used():
    own = {"a": factory}

    def register_hook_sources():
        own["b"] = "never checked"
        return {}

    module = plugin(register_providers=lambda: own, register_hook_sources=register_hook_sources)
    assert dict(Plugins.of({"x": module}).providers) == {"a": factory}


def test_a_hook_gets_its_plugins_name_settings_and_environment():
    seen = []

    class Model(BaseModel):
        size: int = 1

    def register_providers(context):
        seen.append(context)
        return {}

    module = plugin(settings_model=lambda: Model, register_providers=register_providers)
    Plugins.of(
        {"x": module},
        settings=Settings(plugins={"x": {"size": "3"}}, environ={"ACME": "1"}),
    )
    [context] = seen
    assert (context.name, context.settings, context.environ["ACME"]) == ("x", Model(size=3), "1")


def test_each_hook_is_called_once():
    calls = []

    def register_providers():
        calls.append(1)
        return {}

    Plugins.of({"x": plugin(register_providers=register_providers)})
    assert calls == [1]


class Limits(BaseModel):
    size: int = 1
    api_key: SecretStr = SecretStr("")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limits: Limits = Limits()


@pytest.mark.parametrize(
    ("model", "table", "said"),
    [
        (Limits, {"size": "big"}, "[plugins.x].size: 'big' was given; allowed: a valid integer"),
        (Limits, {"sizes": 1}, "[plugins.x].sizes: is not a setting; did you mean size?"),
        (Strict, {"limit": {}}, "[plugins.x].limit: is not a setting; did you mean limits?"),
        (
            Strict,
            {"limits": {"size": "big"}},
            "[plugins.x].limits.size: 'big' was given; allowed: a valid integer",
        ),
        (Limits, {"api_key": ["hunter2"]}, "[plugins.x].api_key: a secret (***) was given"),
    ],
)
def test_wrong_settings_of_a_plugin_quarantine_it(model, table, said):
    module = plugin(settings_model=lambda: model, register_providers={"a": factory})
    plugins = Plugins.of({"x": module}, settings=Settings(plugins={"x": table}))
    assert said in error_of(plugins)
    assert "hunter2" not in error_of(plugins)
    assert plugins.quarantined[0].advice == "correct [plugins.x]"
    assert not plugins.providers


def test_settings_for_a_plugin_that_has_none():
    plugins = Plugins.of({"x": plugin()}, settings=Settings(plugins={"x": {"a": 1}}))
    assert "this plugin has no settings" in error_of(plugins)


async def _coroutine():
    return {}


class NotYet(BaseModel):
    needed: int


BAD_RESULTS = [
    ("settings_model", lambda: None, "must return a pydantic model class, not None"),
    ("settings_model", lambda: Limits(), "must return a pydantic model class, not Limits"),
    ("settings_model", lambda: NotYet, "every field of its model needs a default: needed"),
    ("register_providers", lambda: None, "must return a mapping"),
    ("register_providers", _coroutine, "must not be async"),
    ("register_providers", lambda: _coroutine(), "not a coroutine (hooks are not async"),
    ("register_providers", lambda: dict, "not the class dict"),
    ("register_providers", lambda: {"": factory}, "'' is not a name"),
    ("register_providers", lambda: {1: factory}, "1 is not a name"),
    ("register_providers", lambda: {"a": 1}, "'a' must be a factory, an ordinary callable"),
    ("register_providers", lambda: {"a": _coroutine}, "'a' must be a factory"),
    ("register_backends", lambda: {}, "must return a sequence of backends"),
    ("register_backends", lambda: "ab", "must return a sequence of backends"),
    ("register_backends", lambda: [{}], "every item must be a BackendConfig"),
    (
        "register_backends",
        lambda: [BackendConfig(name="", type="a", base_url="x")],
        "needs a name, a type and a base_url",
    ),
    (
        "register_backends",
        lambda: [BackendConfig(name="b", type="else", base_url="x")],
        "backend 'b' is of type 'else', which this plugin does not provide",
    ),
    ("register_hook_sources", lambda: {"s": Source}, "'s' is the class Source; return an instance"),
    ("register_hook_sources", lambda: {"s": 1}, "needs the methods hooks and call"),
    (
        "register_hook_sources",
        lambda: {"s": SimpleNamespace(hooks=lambda tenant: [], call=_coroutine)},
        "its method hooks must be async",
    ),
    ("register_task_handlers", lambda: {"h": Handler}, "is the class Handler"),
    ("register_task_handlers", lambda: {"h": Source()}, "lacks accepts, returns, transitions, run"),
    (
        "register_task_handlers",
        lambda: {"h": SimpleNamespace(**vars(Handler) | {"accepts": ["string"]})},
        "accepts must be a frozenset of any",
    ),
    (
        "register_task_handlers",
        lambda: {"h": SimpleNamespace(**vars(Handler) | {"returns": "text"})},
        "returns must be None or one of",
    ),
    (
        "register_task_handlers",
        lambda: {"h": SimpleNamespace(**vars(Handler) | {"run": _coroutine})},
        "run must be an async generator",
    ),
    ("register_routes", lambda: [print], "must be a route handler, controller or router"),
    ("register_routes", lambda: acme, "must return a sequence of route handlers"),
]


@pytest.mark.parametrize(("hook", "result", "said"), BAD_RESULTS)
def test_a_result_of_the_wrong_kind_quarantines_the_plugin(hook, result, said):
    plugins = Plugins.of({"x": plugin(**{hook: result})})
    assert said in error_of(plugins)
    assert error_of(plugins).startswith(hook)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"register_providers": {"a": factory}}, "the provider 'a'"),
        ({"register_hook_sources": {"s": Source()}}, "the hook source 's'"),
        ({"register_task_handlers": {"h": Handler()}}, "the task handler 'h'"),
        ({"register_routes": [acme]}, "the route 'GET /acme/{:int}'"),
    ],
)
def test_a_name_belongs_to_one_plugin(names, said):
    first, second = plugin(**names), plugin(**names)
    second.register_backends = hookimpl(lambda: [])
    plugins = Plugins.of({"a": first, "b": second})
    error = error_of(plugins, "b")
    assert said in error
    assert "is taken by 'a' (in memory 0)" in error
    assert "'b' (in memory 0) cannot have it too" in error


@pytest.mark.parametrize(
    "route",
    [
        same_as_acme,
        AcmeController,
        Router("/", route_handlers=[acme]),
        Router("/acme", route_handlers=[get("/{y:int}", sync_to_thread=False)(acme.fn)]),
    ],
)
def test_a_route_is_its_method_and_the_shape_of_its_path(route):
    plugins = Plugins.of(
        {"a": plugin(register_routes=[acme]), "b": plugin(register_routes=[route])}
    )
    assert "'GET /acme/{:int}' is taken by 'a'" in error_of(plugins, "b")


def test_another_method_or_path_is_another_route():
    @asgi("/acme", is_mount=True, copy_scope=True)
    async def mounted(scope, receive, send) -> None:
        raise NotImplementedError

    plugins = Plugins.of(
        {
            "a": plugin(register_routes=[acme]),
            "b": plugin(register_routes=[post_acme]),
            "c": plugin(register_routes=[mounted]),
        }
    )
    assert not plugins.quarantined


def test_a_plugin_that_has_a_route_twice():
    plugins = Plugins.of({"x": plugin(register_routes=[acme, same_as_acme])})
    assert "is taken by 'x'" in error_of(plugins)


def test_the_kernels_own_names_are_taken():
    taken = {"task_handlers": {"noop": Handler()}, "routes": [acme]}
    plugins = Plugins.of({"x": plugin(register_task_handlers={"noop": Handler()})}, **taken)
    assert "the task handler 'noop' is taken by the kernel" in error_of(plugins)
    assert plugins.task_handlers["noop"] is taken["task_handlers"]["noop"]
    plugins = Plugins.of({"x": plugin(register_routes=[AcmeController])}, **taken)
    assert "is taken by the kernel" in error_of(plugins)
    assert plugins.routes == ()


def test_routes_that_cannot_be_mounted_quarantine_their_plugin():
    def mount(routes):
        raise ValueError("no such path parameter type")

    plugins = Plugins.of({"x": plugin(register_routes=[acme])}, check_routes=mount)
    assert error_of(plugins).startswith("mounting its routes raised ValueError: no such path")
    assert plugins.routes == ()


def test_a_quarantined_plugin_holds_no_names():
    good, bad = (
        plugin(register_providers={"a": factory}),
        plugin(register_providers={"a": factory}, register_routes=[1]),
    )
    plugins = Plugins.of({"a": bad, "b": good})
    assert error_of(plugins, "a").startswith("register_routes")
    assert list(plugins.providers) == ["a"]


def test_a_hook_without_its_decorator_is_noticed():
    module = plugin()
    module.register_providers = lambda context: {}
    module.register_providers.__module__ = "acme"
    assert error_of(Plugins.of({"x": module})) == (
        "register_providers is not decorated with @hookimpl"
    )


def test_a_wrapper_is_refused():
    module = plugin()

    @hookimpl(wrapper=True)
    def register_providers():
        return (yield)

    module.register_providers = register_providers
    assert "must not be a wrapper" in error_of(Plugins.of({"x": module}))


def test_a_hook_implemented_twice_is_refused():
    module = plugin(register_providers={"a": factory})
    module.more = hookimpl(specname="register_providers")(lambda: {})
    assert "register_providers is implemented twice" in error_of(Plugins.of({"x": module}))


def test_a_hook_of_another_release_may_be_optional():
    module = plugin(register_providers={"a": factory})
    module.register_dreams = hookimpl(optionalhook=True)(lambda: {})
    assert not Plugins.of({"x": module}).quarantined


def test_a_plugin_may_be_any_object():
    class Anything:
        @hookimpl
        def register_providers(self, context):
            return {context.name: factory}

    assert list(Plugins.of({"x": Anything()}).providers) == ["x"]


async def test_loading_works_under_a_running_loop():
    assert asyncio.get_running_loop()
    assert not Plugins.of({"x": plugin(register_providers={"a": factory})}).quarantined
