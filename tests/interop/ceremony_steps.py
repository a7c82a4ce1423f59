"""What steps wrote against what the plan says: certificates, requests, revocation lists.

docs/spec/ceremony.md section 7 and docs/certificate-policy.md, with PyPI `cryptography`. The lints
of policies/lints.toml are not repeated here, nor what a token alone could show.
"""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ceremony_forms import Bad, need

ISSUER_PURPOSE = "1.3.6.1.4.1.59999.1.1"
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}


def check(step, facts, keys, files):
    """`keys` are those that steps before have shown, by token and label; `files` by name."""
    try:
        examine(step, facts, keys, files)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # What cryptography parses late: keys and extensions of certificates.
        raise Bad(f"not readable: {error}") from None


def examine(step, facts, keys, files):
    kind = step["do"]
    if kind == "generate-key":
        keys[step["token"], step["label"]] = facts.get("new spki")
    elif kind in ["certify-root", "certify-access-ca", "certify-issuer"]:
        certified(step, keys, files)
    elif kind == "request":
        request = read(x509.load_pem_x509_csr, files[step["out"]])
        need(request.is_signature_valid, "the request's signature does not verify")
        need(common_name(request) == step["common_name"], "the request names another subject")
        need(keys.get((step["token"], step["key"])) == spki(request), "the request has another key")
    elif kind == "install":
        installed(step, files)
    elif kind == "issue-crl":
        revoked(step, files)


def read(reader, data):
    try:
        return reader(data)
    except ValueError as error:
        raise Bad(f"not readable: {error}") from None


def spki(holder):
    der = holder.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def common_name(holder):
    names = list(holder.subject)
    need(len(names) == 1 and names[0].oid == x509.NameOID.COMMON_NAME, "no single common name")
    return names[0].value


def issued(certificate, issuer):
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise Bad("the certificate is not issued and signed by its CA") from None


def certified(step, keys, files):
    certificate = read(x509.load_pem_x509_certificate, files[step["out"]])
    own = step["do"] == "certify-root"
    issuer = certificate if own else read(x509.load_pem_x509_certificate, files[step["ca"]])
    issued(certificate, issuer)
    need(common_name(certificate) == step["common_name"], "another subject")
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    need(0 <= lasts.total_seconds() - 86400 * step["days"] <= 60, "not as many days as planned")
    need(certificate.not_valid_after_utc <= issuer.not_valid_after_utc, "it outlives its CA")
    if own:
        need(keys.get((step["token"], step["key"])) == spki(certificate), "another key")
    else:
        request = read(x509.load_pem_x509_csr, files[step["request"]])
        need(request.is_signature_valid, "the request's signature does not verify")
        need(spki(request) == spki(certificate), "another key than the request's")
    profile(step["do"], certificate)
    if "replaces" in step:
        before = read(x509.load_pem_x509_certificate, files[step["replaces"]])
        issued(before, issuer)
        need(spki(before) != spki(certificate), "the key it should replace")


def profile(kind, certificate):
    """Curve, usage and path length as the policy has them."""
    curve = getattr(getattr(certificate.public_key(), "curve", None), "name", None)
    allowed = ["P-256", "P-384"] if kind == "certify-issuer" else ["P-384"]
    need(CURVES.get(curve) in allowed, "a key of another curve")
    usage = extension(certificate, x509.KeyUsage)
    signs = kind == "certify-issuer"
    need(usage.digital_signature == signs, "another key usage")
    need(usage.key_cert_sign != signs and usage.crl_sign != signs, "another key usage")
    if signs:
        purposes = [one.dotted_string for one in extension(certificate, x509.ExtendedKeyUsage)]
        need(purposes == [ISSUER_PURPOSE], "another extended key usage")
        return
    constraints = extension(certificate, x509.BasicConstraints)
    length = 0 if kind == "certify-access-ca" else None
    need(constraints.ca and constraints.path_length == length, "other basic constraints")


def extension(certificate, kind):
    try:
        found = certificate.extensions.get_extension_for_class(kind)
    except (x509.ExtensionNotFound, ValueError):
        raise Bad(f"no {kind.__name__}") from None
    need(found.critical, f"{kind.__name__} is not critical")
    return found.value


def installed(step, files):
    certificate = read(x509.load_pem_x509_certificate, files[step["certificate"]])
    issued(certificate, read(x509.load_pem_x509_certificate, files[step["ca"]]))
    request = read(x509.load_pem_x509_csr, files[step["request"]])
    need(spki(request) == spki(certificate), "the certificate has another key than the request")
    out = read(x509.load_pem_x509_certificate, files[step["out"]])
    need(out == certificate, "what was installed is another certificate")


def revoked(step, files):
    one = read(revocation_list, files[step["out"]])
    ca = read(x509.load_pem_x509_certificate, files[step["ca"]])
    need(one.issuer == ca.subject, "the list has another issuer")
    need(isinstance(ca.public_key(), ec.EllipticCurvePublicKey)
         and one.is_signature_valid(ca.public_key()), "the list's signature does not verify")
    wanted, number = set(), 1
    if "previous" in step:
        before = read(revocation_list, files[step["previous"]])
        need(before.is_signature_valid(ca.public_key()), "the list before is not the CA's")
        wanted = {entry.serial_number for entry in before}
        number = crl_number(before) + 1
    for name in step.get("revoke", []):
        gone = read(x509.load_pem_x509_certificate, files[name])
        issued(gone, ca)
        wanted.add(gone.serial_number)
    need({entry.serial_number for entry in one} == wanted, "the list has other entries")
    need(crl_number(one) == number, "the list's number does not follow")


def revocation_list(data):
    if data.startswith(b"-----"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def crl_number(one):
    try:
        return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        raise Bad("a list without a number") from None
