"""The webhook's certificates: an authority of its own, and a serving certificate that it signs. Pure, but for the keys.

The API server trusts the authority (`caBundle` of the webhook configurations), so the serving certificate can be
renewed without anybody being told. Both are renewed when two thirds of their life are over; while the authority
changes, the API server is told of the old one and the new one.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVING_LIFE: Final = timedelta(days=90)
_RENEW_AT: Final = 2 / 3
_CLOCKS_DIFFER: Final = timedelta(hours=1)
"""The API server's clock may be behind ours."""


@dataclass(frozen=True)
class Certificates:
    """What the Secret keeps, in PEM."""

    authorities: bytes
    """The present authority first, then its predecessor while that is valid."""
    authority_key: bytes
    serving: bytes
    serving_key: bytes


def renewed(
    present: Certificates | None,
    names: Sequence[str],
    now: datetime,
    authority_life: timedelta = AUTHORITY_LIFE,
    serving_life: timedelta = SERVING_LIFE,
) -> Certificates:
    """The certificates to use: those that are there where they are good, else new ones.

    Args:
        present: What is there; None for nothing, or for what cannot be used.
        names: Host names and addresses that the webhook is reached by.
        now: The instant.
        authority_life: How long a new authority is valid.
        serving_life: How long a new serving certificate is valid.
    """
    pair = _authority(present, now)
    old = _valid_authorities(present, now)
    if pair is None:
        key = ec.generate_private_key(ec.SECP256R1())
        pair = key, _authority_certificate(key, now, authority_life)
        old = old[:1]
    key, authority = pair
    others = [one for one in old if one != authority]
    bundle = b"".join(_pem(one) for one in (authority, *others))
    if present is not None and _serves(present, authority, names, now):
        return Certificates(bundle, present.authority_key, present.serving, present.serving_key)
    serving_key = ec.generate_private_key(ec.SECP256R1())
    serving = _serving_certificate(serving_key, key, authority, names, now, serving_life)
    return Certificates(bundle, _key_pem(key), _pem(serving), _key_pem(serving_key))


def expires_at(serving: bytes) -> datetime:
    """When a serving certificate (PEM, the server's own first) is no longer valid.

    Raises:
        ValueError: when it is none.
    """
    return x509.load_pem_x509_certificate(serving).not_valid_after_utc


def _worn(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    begun = certificate.not_valid_before_utc <= now
    return not begun or now >= certificate.not_valid_before_utc + life * _RENEW_AT


def _valid_authorities(present: Certificates | None, now: datetime) -> list[x509.Certificate]:
    if present is None:
        return []
    try:
        found = x509.load_pem_x509_certificates(present.authorities)
    except ValueError:
        return []
    return [one for one in found if one.not_valid_before_utc <= now < one.not_valid_after_utc]


def _authority(
    present: Certificates | None, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    """The authority in force, where its certificate and key belong together and it is not worn."""
    found = _valid_authorities(present, now)
    if present is None or not found or _worn(found[0], now):
        return None
    try:
        key = serialization.load_pem_private_key(present.authority_key, password=None)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or found[0].public_key() != key.public_key():
        return None
    return key, found[0]


def _serves(present: Certificates, authority: x509.Certificate, names: Sequence[str], now: datetime) -> bool:
    """Whether the serving certificate is signed by the authority, for these names, and not worn."""
    try:
        serving = x509.load_pem_x509_certificate(present.serving)
        key = serialization.load_pem_private_key(present.serving_key, password=None)
        serving.verify_directly_issued_by(authority)
        alternative = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    fits = set(alternative) == {_alternative(name) for name in names}
    return fits and key.public_key() == serving.public_key() and not _worn(serving, now)


def _authority_certificate(key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta) -> x509.Certificate:
    # A serial number in the name: clients that find the issuer by its name must not take one for the other.
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"trimtab-webhook-ca-{serial % 16**8:08x}")])
    return (
        _builder(name, name, key, now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _serving_certificate(
    key: ec.EllipticCurvePrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: Sequence[str],
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trimtab-webhook")])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(subject, authority.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_CLOCKS_DIFFER, life / 4))
        .not_valid_after(now + life)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, key_encipherment=False, content_commitment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
