"""Who we are is told to the right server only, and to nobody else."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime_core.errors import UpstreamUnavailable

PATIENCE_S = 20


async def hears(one, other):
    async with asyncio.timeout(PATIENCE_S), one.subscribe("a") as heard:
        await other.publish("a", b"1")
        return await anext(aiter(heard)) == b"1"


async def refused(bus):
    """Use the bus until it is refused; return how."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await bus.publish("a", b"")
            try:
                await bus.ping()
            except UpstreamUnavailable as exc:
                return exc.message


@pytest.mark.parametrize(
    ("options", "credentials", "environ"),
    [
        (("--user", "u", "--pass", "p,/@:x"), "u:p%2C%2F%40%3Ax@", {}),
        (("--user", "u", "--pass", "p"), "", {"NATS_USER": "u", "NATS_PASSWORD": "p"}),
        (("--auth", "t:ok/en"), "t%3Aok%2Fen@", {}),
    ],
)
async def test_who_is_known_may_use_the_bus(start_nats, make_bus, options, credentials, environ):
    server = start_nats(*options)
    url = server.url.replace("://", f"://{credentials}")
    assert await hears(make_bus(url, **environ), make_bus(url, **environ))


@pytest.mark.parametrize("credentials", ["u:hush-wrong@", "hush-token@", ""])
async def test_who_is_not_known_is_told_so_and_no_secret_is(
    start_nats, make_bus, caplog, credentials
):
    caplog.set_level("DEBUG")
    server = start_nats("--user", "u", "--pass", "hush-right")
    bus = make_bus(server.url.replace("://", f"://{credentials}"))
    with pytest.raises(UpstreamUnavailable, match="does not accept the credentials") as caught:
        await bus.ping()
    await bus.publish("a", b"")
    assert server.url in caught.value.message
    assert server.url in caplog.text
    for text in (caught.value.message, caplog.text, repr(bus), str(caught.value.__cause__)):
        assert "hush" not in text


@pytest.mark.parametrize("right", ["publish", "subscribe"])
async def test_a_right_that_is_missing_is_named(start_nats, make_bus, tmp_path, caplog, right):
    config = tmp_path / "nats.conf"
    config.write_text(
        'authorization { users = [{user: u, password: "hush", '
        f'permissions: {{ {right}: "other.>" }} }}] }}'
    )
    server = start_nats("-c", str(config))
    bus = make_bus(server.url.replace("://", "://u:hush@"))
    assert f"{server.url}: permissions violation for " in await refused(bus)
    assert "refuses" in caplog.text
    assert "hush" not in caplog.text


@pytest.fixture
def certificates(tmp_path):
    """Write an authority's certificate, one for 127.0.0.1, and one for a client."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])

    def write(name, key, subject, authority):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        found = builder.sign(ca_key, hashes.SHA256())
        (tmp_path / f"{name}.pem").write_bytes(found.public_bytes(serialization.Encoding.PEM))
        (tmp_path / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    write("ca", ca_key, ca_name, True)
    for name in ("server", "client"):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        write(name, ec.generate_private_key(ec.SECP256R1()), subject, False)
    return tmp_path


@pytest.fixture
def start_tls(start_nats, certificates):
    return lambda *options: start_nats(
        *("--tls", "--tlscert", str(certificates / "server.pem")),
        *("--tlskey", str(certificates / "server.key"), *options),
    )


async def test_a_server_with_a_trusted_certificate(start_tls, make_bus, certificates):
    server = start_tls("--user", "u", "--pass", "p")
    url = f"tls://u:p@127.0.0.1:{server.port}?tls_ca={certificates / 'ca.pem'}"
    assert await hears(make_bus(url), make_bus(url.replace("tls://", "nats://")))


async def test_a_certificate_nobody_vouches_for(start_tls, make_bus):
    server = start_tls()
    for scheme in ("tls", "nats"):
        with pytest.raises(UpstreamUnavailable, match="its certificate is not trusted: "):
            await make_bus(f"{scheme}://127.0.0.1:{server.port}").ping()


async def test_a_file_that_is_not_there_is_named(start_tls, make_bus, certificates):
    server = start_tls()
    for name in ("tls_ca", "tls_cert"):
        with pytest.raises(UpstreamUnavailable, match="No such file"):
            await make_bus(f"tls://127.0.0.1:{server.port}?{name}=/nowhere.pem").ping()


async def test_a_certificate_of_our_own(start_tls, make_bus, certificates):
    server = start_tls("--tlsverify", "--tlscacert", str(certificates / "ca.pem"))
    url = f"tls://127.0.0.1:{server.port}?tls_ca={certificates / 'ca.pem'}"
    with pytest.raises(UpstreamUnavailable):
        await make_bus(url).ping()
    ours = f"&tls_cert={certificates / 'client.pem'}&tls_key={certificates / 'client.key'}"
    await make_bus(url + ours).ping()


async def test_tls_is_used_where_it_is_offered_but_not_demanded(
    start_nats, make_bus, certificates, tmp_path
):
    config = tmp_path / "nats.conf"
    config.write_text(
        f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key" }}\n'
        "allow_non_tls: true\n"
    )
    server = start_nats("-c", str(config))
    with pytest.raises(UpstreamUnavailable, match="not trusted"):
        await make_bus(f"tls://127.0.0.1:{server.port}").ping()
    await make_bus(f"tls://127.0.0.1:{server.port}?tls_ca={certificates / 'ca.pem'}").ping()


@pytest.mark.parametrize("whispered", [b"MSG runtime.a 1 1\r\nx\r\n", b"MSG runtime.a 1 1"])
async def test_what_is_said_before_encryption_is_not_heard(serve, make_bus, whispered):
    said = bytearray()

    async def whisper(reader, writer):
        writer.write(b'INFO {"tls_required": true}\r\n' + whispered)
        said.extend(await reader.read(1000))

    async with serve(whisper) as port:
        bus = make_bus(f"nats://u:hush@127.0.0.1:{port}")
        async with bus.subscribe("a") as heard:
            with pytest.raises(UpstreamUnavailable, match=r"makes no sense|talking in clear"):
                await bus.ping()
            await bus.publish("a", b"ours")
            assert await anext(aiter(heard)) == b"ours"
    assert not said


async def test_a_server_without_tls_is_told_nothing(serve, make_bus):
    said = bytearray()

    async def listen(reader, writer):
        writer.write(b'INFO {"auth_required": true}\r\n')
        while data := await reader.read(1000):
            said.extend(data)

    async with serve(listen) as port:
        bus = make_bus(f"tls://u:hush@127.0.0.1:{port}")
        with pytest.raises(UpstreamUnavailable, match="it offers no TLS"):
            await bus.ping()
    assert not said
