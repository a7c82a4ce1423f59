"""What steps wrote and showed against what the plan says: every fact is told again from the files.

docs/spec/ceremony.md section 7 and docs/certificate-policy.md, with PyPI `cryptography`. The lints
of policies/lints.toml are not repeated here, nor what a token alone could show.
"""

import base64
import datetime
import hashlib
import json
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from securesystemslib.formats import encode_canonical

from ceremony_forms import Bad, Roster, decode, need

ISSUER_PURPOSE = "1.3.6.1.4.1.59999.1.1"
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}


PROFILES = {"certify-root": "root", "certify-access-ca": "access-ca", "certify-issuer": "issuer"}
BACKDATED_S = 60
BIRTH = [("CKA_LOCAL", "true"), ("CKA_SENSITIVE", "true"), ("CKA_ALWAYS_SENSITIVE", "true"),
         ("CKA_EXTRACTABLE", "false"), ("CKA_NEVER_EXTRACTABLE", "true")]
MECHANISM = "CKA_KEY_GEN_MECHANISM"
HEX = re.compile(r"[0-9a-f]{64}\Z")


def check(step, facts, keys, files, lasted):
    """`keys` are those that steps before have shown, by token and label; `files` by name."""
    try:
        wanted = examine(step, facts, keys, files, lasted)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        # What cryptography parses late: keys and extensions of certificates.
        raise Bad(f"not readable: {error}") from None
    need(facts == wanted, f"it shows {facts}, wanted {wanted}")


def examine(step, facts, keys, files, lasted):
    """The facts that the step must have shown."""
    kind = step["do"]
    if kind == "generate-key":
        said = dict(facts)
        need(HEX.match(said["new spki"]), "it names no key")
        need(said[MECHANISM] in ["CKM_EC_KEY_PAIR_GEN", "not given"], "another mechanism")
        keys[step["token"], step["label"]] = said["new spki"]
        return [("label", step["label"]), ("curve", step["curve"]), *BIRTH,
                (MECHANISM, said[MECHANISM]), ("new spki", said["new spki"])]
    if kind in PROFILES:
        return certified(step, keys, files, lasted)
    if kind == "request":
        return requested(step, keys, files)
    if kind == "install":
        return installed(step, files)
    if kind == "issue-crl":
        return revoked(step, files, lasted)
    if kind == "sign-tuf":
        return tuf(step, files)
    if kind == "destroy-key":
        return [("label", step["key"]), ("new spki", step["spki"])]
    return replaced(step, files)


def requested(step, keys, files):
    request = read(x509.load_pem_x509_csr, files[step["out"]])
    need(request.is_signature_valid, "the request's signature does not verify")
    need(common_name(request) == step["common_name"], "the request names another subject")
    need(keys.get((step["token"], step["key"])) == spki(request), "the request has another key")
    return [("subject", common_name(request)), ("curve", CURVES[request.public_key().curve.name]),
            ("new spki", spki(request))]


def replaced(step, files):
    change = decode(files[step["out"]], "the change")
    need(change[2] == files[step["next"]], "the change is to another roster")
    roster = Roster(files[step["next"]])
    names = " ".join(name for name, _ in roster.officers)
    return [("roster", roster.hash.hex()), ("officers", names)]


def tuf(step, files):
    made = json.loads(files[step["out"]])
    need(set(made) == {"keyid", "sig", "spki", "version"}, "not a signature's members")
    metadata = json.loads(files[step["metadata"]])
    public = serialization.load_der_public_key(base64.b64decode(made["spki"], validate=True))
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    key = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}
    keyid = hashlib.sha256(encode_canonical(key).encode()).hexdigest()
    need(made["keyid"] == keyid, "another keyid")
    try:
        public.verify(bytes.fromhex(made["sig"]), encode_canonical(metadata).encode(),
                      ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Bad("the signature does not verify") from None
    need(metadata["_type"] == step["role"], "metadata of another role")
    need(made["version"] == metadata["version"], "another version")
    need(made["version"] > step.get("above", 0), "a version that jumps past nothing")
    return [("role", step["role"]), ("new version", str(made["version"])), ("new keyid", keyid)]


def shown(certificate, profile):
    """The facts of a certificate."""
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    der = certificate.public_bytes(serialization.Encoding.DER)
    serial = certificate.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1)
    return [("profile", profile), ("subject", common_name(certificate)), ("days", str(lasts.days)),
            ("new spki", spki(certificate)), ("new serial", octets.hex()),
            ("new sha256", hashlib.sha256(der).hexdigest())]


def within(lasted, time):
    need(lasted[0] <= time.timestamp() <= lasted[1], "it was not signed while the step lasted")


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


def certified(step, keys, files, lasted):
    certificate = read(x509.load_pem_x509_certificate, files[step["out"]])
    own = step["do"] == "certify-root"
    issuer = certificate if own else read(x509.load_pem_x509_certificate, files[step["ca"]])
    issued(certificate, issuer)
    need(common_name(certificate) == step["common_name"], "another subject")
    made = certificate.not_valid_before_utc + datetime.timedelta(seconds=BACKDATED_S)
    lasts = certificate.not_valid_after_utc - made
    need(lasts == datetime.timedelta(days=step["days"]), "not as many days as planned")
    within(lasted, made)
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
    facts = shown(certificate, PROFILES[step["do"]])
    if step["do"] == "certify-issuer":
        facts += [("operator", step["operator"]), ("classes", " ".join(map(str, step["classes"])))]
    return facts


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
    signs = extension(out, x509.KeyUsage).digital_signature
    return shown(out, "issuer" if signs else "access-ca")


def revoked(step, files, lasted):
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
    within(lasted, one.last_update_utc)
    der = one.public_bytes(serialization.Encoding.DER)
    return [("new number", str(number)), ("new entries", str(len(step.get("revoke", [])))),
            ("new sha256", hashlib.sha256(der).hexdigest())]


def revocation_list(data):
    if data.startswith(b"-----"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def crl_number(one):
    try:
        return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        raise Bad("a list without a number") from None
