"""The webhook's certificates: kept while they are good, renewed in time, and never a gap in whom is trusted."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.kube.certificates import AUTHORITY_LIFE, SERVING_LIFE, Certificates, expires_at, renewed

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMES = ("trimtab-operator.trimtab-system.svc", "127.0.0.1")


def issued_by(certificates: Certificates, bundle: bytes) -> bool:
    """Whether somebody who trusts the bundle trusts the serving certificate."""
    serving = x509.load_pem_x509_certificate(certificates.serving)
    for authority in x509.load_pem_x509_certificates(bundle):
        try:
            serving.verify_directly_issued_by(authority)
        except Exception:
            continue
        return True
    return False


def test_what_is_good_is_kept_to_the_byte() -> None:
    made = renewed(None, NAMES, NOW)
    assert renewed(made, NAMES, NOW) == made
    assert renewed(made, tuple(reversed(NAMES)), NOW + SERVING_LIFE / 2) == made
    assert expires_at(made.serving) == NOW + SERVING_LIFE
    assert issued_by(made, made.authorities)


def test_the_serving_certificate_is_renewed_when_two_thirds_are_over() -> None:
    made = renewed(None, NAMES, NOW)
    later = NOW + SERVING_LIFE * 0.67
    again = renewed(made, NAMES, later)
    assert again.authorities == made.authorities
    assert again.serving != made.serving
    assert expires_at(again.serving) == later + SERVING_LIFE


def test_while_the_authority_changes_both_are_trusted() -> None:
    made = renewed(None, NAMES, NOW)
    again = renewed(made, NAMES, NOW + AUTHORITY_LIFE * 0.67)
    assert again.authority_key != made.authority_key
    assert again.authorities.endswith(made.authorities)
    # Who was told of the new bundle trusts the server that still shows the old certificate, and the other way round.
    assert issued_by(made, again.authorities)
    assert issued_by(again, again.authorities)
    # In time the old one goes.
    last = renewed(again, NAMES, NOW + AUTHORITY_LIFE + timedelta(days=1))
    assert last.authorities.count(b"BEGIN") == 1


def test_other_names_need_another_certificate() -> None:
    made = renewed(None, NAMES, NOW)
    again = renewed(made, ("other.svc",), NOW)
    assert again.authorities == made.authorities
    names = x509.load_pem_x509_certificate(again.serving).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert list(names.value) == [x509.DNSName("other.svc")]


@pytest.mark.parametrize("part", ["authorities", "authority_key", "serving", "serving_key"])
@pytest.mark.parametrize(
    "content", [b"", b"no PEM at all", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_cannot_be_used_is_replaced(part: str, content: bytes) -> None:
    made = replace(renewed(None, NAMES, NOW), **{part: content})
    again = renewed(made, NAMES, NOW)
    assert issued_by(again, again.authorities)
    assert renewed(again, NAMES, NOW) == again


@pytest.mark.parametrize("part", ["authority_key", "serving", "serving_key"])
def test_parts_of_different_origin_are_not_used_together(part: str) -> None:
    mine, other = renewed(None, NAMES, NOW), renewed(None, NAMES, NOW)
    again = renewed(replace(mine, **{part: getattr(other, part)}), NAMES, NOW)
    assert issued_by(again, again.authorities)
    assert again.serving != other.serving


def test_openssl_takes_them(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = renewed(None, NAMES, datetime.now(UTC))
    path = tmp_path / "both.pem"
    path.write_bytes(made.serving + made.serving_key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=made.authorities.decode())


@settings(max_examples=25)
@given(steps=st.lists(st.floats(min_value=0.0, max_value=80.0), min_size=1, max_size=12))
def test_looked_after_now_and_then_there_is_always_a_valid_one_that_is_trusted(steps: list[float]) -> None:
    """However irregularly it is looked, as long as it is looked in time."""
    now, made = NOW, renewed(None, NAMES, NOW)
    for days in steps:
        now += timedelta(days=days / 3)
        again = renewed(made, NAMES, now, authority_life=timedelta(days=300))
        assert now < expires_at(again.serving)
        assert issued_by(again, again.authorities)
        assert issued_by(made, again.authorities), "whoever trusts the new bundle trusts what is still shown"
        made = again
