"""What stood around a ceremony: tokens' records and audit log, docs/spec/ceremony.md section 6."""

import re

from ceremony_forms import decode, decoded, is_bytes, need, sha256


def before_and_after(plan):
    """Paths of the files that the first event names, and of those that `closed` names."""
    names = [f"tokens/{name}" for name in plan.tokens] + ["audit/"] * (plan.audit is not None)
    both = [[path + end if path.endswith("/") else f"{path}.{end}" for path in names]
            for end in ["before", "after"]]
    return set(both[0]), set(both[1])


def records(data):
    value = decode(data, "the records")
    need(type(value) is list and len(value) <= 4096 and all(
        type(one) is list and len(one) == 2 and is_bytes(one[0], 16) and is_bytes(one[1], 32)
        for one in value), "records of another form")
    ids = [one[0] for one in value]
    need(ids == sorted(set(ids)), "records are not sorted")
    return dict(value)


def followed(before, after, ceremony, opening):
    """The ceremonies that a token had meanwhile, besides this one."""
    before, after = records(before), records(after)
    need(ceremony not in before, "the ceremony is recorded before it began")
    need(after.get(ceremony) == opening, "the ceremony is not recorded after it")
    need(all(after.get(one) == head for one, head in before.items()), "a record is gone")
    return set(after) - set(before) - {ceremony}


def span(key, before, after):
    """Sizes of the audit log before and after."""
    old, old_root = key.head(before)
    head, note = after.split(b"\n\n", 1) if b"\n\n" in after else (b"", b"")
    lines = head.decode(errors="replace").split("\n")
    need(re.fullmatch(r"old (0|[1-9][0-9]*)", lines[0]), "no old size before the checkpoint")
    need(len(lines) <= 64, "more than 63 hashes")
    proof = [decoded(line, 32) for line in lines[1:]]
    new, new_root = key.head(note)
    need(int(lines[0][4:]) == old, "the proof begins at another size")
    need(new >= old, "the log is shorter after than before")
    need(consistent(old, new, old_root, new_root, proof), "the log does not go on from before")
    return old, new


def consistent(old, new, old_root, new_root, proof):
    """RFC 9162 section 2.1.4.2, with the empty tree before every other."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == sha256(b"")
    if old & (old - 1) == 0:
        proof = [old_root, *proof]
    if not proof:
        return False
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    one = other = proof[0]
    for node in proof[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            one, other = sha256(b"\x01" + node + one), sha256(b"\x01" + node + other)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            other = sha256(b"\x01" + other + node)
        first, second = first >> 1, second >> 1
    return second == 0 and one == old_root and other == new_root
