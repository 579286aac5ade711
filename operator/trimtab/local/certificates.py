"""The cluster's own certificate authority, and what it signs."""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=365)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, as files.

    Attributes:
        certificate: The PEM file of the certificate.
        key: The PEM file of the private key.
    """

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that lives in one directory and ends with the cluster."""

    def __init__(self, directory: Path) -> None:
        """Make a new authority.

        Args:
            directory: Where its files go; made readable to this user only.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("trimtab-local-ca", ())
        builder = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        self.pair = _write(directory, "ca", builder.sign(self._key, hashes.SHA256()), self._key)

    def issue(
        self, file_name: str, common_name: str, groups: Iterable[str] = (), addresses: Iterable[str] = ()
    ) -> KeyPair:
        """Sign a certificate for a client, a server, or both.

        Args:
            file_name: The stem of its two files.
            common_name: The user, as Kubernetes reads it.
            groups: The user's groups.
            addresses: Host names and IP addresses that it serves under.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_alternative(address) for address in addresses]
        builder = (
            _builder(_name(common_name, groups), self._name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return _write(self.directory, file_name, builder.sign(self._key, hashes.SHA256()), key)


def write_service_account_key(directory: Path) -> Path:
    """Write the key that signs service account tokens, and return its file."""
    path = directory / "service-accounts.key"
    _write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A machine's clock may be set back a little while it runs.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _name(common_name: str, groups: Iterable[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(directory: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    pair = KeyPair(directory / f"{stem}.crt", directory / f"{stem}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(pair.key, key)
    return pair


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
