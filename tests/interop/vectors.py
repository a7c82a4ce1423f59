"""The form of a vector file: one case, line-based `key: value`, `#` comments first."""

from dataclasses import dataclass
from pathlib import Path

import pt1

FOLDER = Path(__file__).resolve().parent.parent / "vectors" / "pt1"

RULES = {
    1: "the text begins with PT1:",
    2: "the text has at most 483 characters and the rest is base45 of at most 319 bytes",
    3: "the bytes are a presentation as in sections 2 and 3, ranges included",
    4: "aud is P1",
    5: "the trust store has an entry with the credential's kid and algorithm",
    6: "that entry is not suspended",
    7: "its validity covers the credential's iat and now, both ends included",
    8: "its operator is the verifier's and its classes contain the credential's",
    9: "now < exp, and the dynamic iat < exp",
    10: "now - dynamic iat >= -30, and now - credential iat >= -30",
    11: "now - dynamic iat <= min(W, 60) + 30",
    12: "dynamic iat - credential iat >= -30",
    13: "the device key is a point on P-256 and the presentation's signature verifies",
    14: "the credential's signature verifies with the entry's key",
}

KEYS = {"expect", "rule", "now", "operator", "cti", "counter", "class", "cap", "text", "text_hex"}


@dataclass(frozen=True)
class Case:
    name: str
    comments: list
    rule: int | None  # None where the code is accepted
    now: int
    operator: str
    trust: list
    text: str
    summary: dict | None = None  # cti, counter, class and cap of an accepted code

    @property
    def expect(self):
        return pt1.CODE_OF_RULE[self.rule] if self.rule else "OK"

    def render(self):
        rule = f"Rule {self.rule}: {RULES[self.rule]}." if self.rule else "Every rule holds."
        lines = [f"# {line}".rstrip() for line in [rule, *self.comments]]
        lines.append(f"expect: {self.expect}")
        if self.rule:
            lines.append(f"rule: {self.rule}")
        lines += [f"now: {self.now}", f"operator: {self.operator}"]
        for entry in self.trust:
            fields = " ".join(f"{key}={value}" for key, value in entry.to_fields().items())
            lines.append(f"trust: {fields}")
        for key, value in (self.summary or {}).items():
            lines.append(f"{key}: {value}")
        lines.append(text_line(self.text))
        return "\n".join(lines) + "\n"


def text_line(text):
    """As it stands; in hex where an editor might change it or a reader miss it."""
    if text == text.strip() and all(" " <= character <= "~" for character in text):
        return f"text: {text}"
    return f"text_hex: {text.encode().hex()}"


def read(path):
    # Split at LF alone: a text may hold any other character.
    lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    first = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    pairs = [line.split(": ", 1) for line in lines[first:]]
    trust = [
        pt1.TrustEntry.from_fields(dict(field.split("=", 1) for field in value.split(" ")))
        for key, value in pairs
        if key == "trust"
    ]
    fields = {key: value for key, value in pairs if key != "trust"}
    text_hex = fields.get("text_hex")
    case = Case(
        name=path.stem,
        comments=[line[2:] for line in lines[1:first]],
        rule=int(fields["rule"]) if "rule" in fields else None,
        now=int(fields["now"]),
        operator=fields["operator"],
        trust=trust,
        text=bytes.fromhex(text_hex).decode() if text_hex is not None else fields["text"],
        summary=summary(fields) if fields["expect"] == "OK" else None,
    )
    if case.expect != fields["expect"] or not trust or not fields.keys() <= KEYS:
        raise ValueError(f"{path.name} is not in the form of a vector")
    return case


def summary(fields):
    numbers = {key: int(fields[key]) for key in ("counter", "class", "cap")}
    return {"cti": fields["cti"], **numbers}
