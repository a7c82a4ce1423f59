"""A ceremony's transcript: docs/spec/ceremony.md, section 3."""

from ceremony_forms import (EVENT_LIMIT, TRANSCRIPT_LIMIT, ZEROS, Bad, decode, is_bytes, is_uint,
                            need, sha256, signed_by)


class Transcript:
    """Read to its end; `Bad` names event and byte."""

    def __init__(self, data):
        need(len(data) <= TRANSCRIPT_LIMIT, "more than 4 MiB")
        self.data, self.head, self.number, self.time, self.first_time = data, ZEROS, 0, 0, None
        self.begun, self.done, self.closed, self.lasted = None, [], None, []
        self.exceptions, self.people, self.resumed = [], [], []
        at = 0
        while at < len(data):
            try:
                at = self._event(at)
            except Bad as bad:
                raise Bad(f"event {self.number} at byte {at}: {bad}") from None
        need(self.number > 0, "no events")

    def _event(self, at):
        length = int.from_bytes(self.data[at:at + 4])
        event = self.data[at + 4:at + 4 + length]
        need(len(self.data) - at >= 4 and len(event) == length, "cut short")
        need(length <= EVENT_LIMIT, "more than 64 KiB")
        value = decode(event, "it")
        need(type(value) is list and len(value) == 3 and is_bytes(value[0])
             and is_bytes(value[1], 64) and is_bytes(value[2], 64), "not of an event's form")
        body = decode(value[0], "its body")
        need(type(body) is list and len(body) == 6 and body[0] == "obol ceremony event",
             "not of a body's form")
        need(is_bytes(body[1], 16), "its id is not of its form")
        need(is_uint(body[2]) and body[2] == self.number, "its number is not the next")
        need(is_bytes(body[3]) and body[3] == self.head, "it does not follow the event before")
        need(is_uint(body[4], 2**32) and body[4] >= self.time, "its time is before the last")
        need(self.closed is None, "it comes after the end")
        self.body_time = body[4]
        self._content(body[5])
        need(self.number == 0 or body[1] == self.id, "it is another ceremony's")
        for role, key, signature in zip(["executor", "witness"], self.people[-1], value[1:]):
            need(signed_by(key, value[0], signature), f"the signature of the {role} does not verify")
        if self.number == 0:
            self.id, self.first_time, self.opening = body[1], body[4], sha256(event)
        self.time, self.head, self.number = body[4], sha256(event), self.number + 1
        return at + 4 + length

    def _content(self, content):
        need(type(content) is list and content and is_uint(content[0], 6), "of no known kind")
        kind, parts = content[0], content[1:]
        need((kind == 0) == (self.number == 0), "opened stands first and nowhere else")
        [self._opened, self._begun, self._done, self._exception, self._resumed,
         self._closed][kind](*self._sized(parts, [10, 1, 3, 1, 4, 1][kind]))

    @staticmethod
    def _sized(parts, size):
        need(len(parts) == size, "of another length than its kind")
        return parts

    def _opened(self, mode, plan, roster, tool, module, serials, rehearsal, executor, witness,
                files):
        need(is_uint(mode, 2), "its mode is not known")
        need(all(is_bytes(one, 32) for one in [plan, roster, tool, module, rehearsal]),
             "a hash is not of its form")
        need(type(serials) is list and all(type(one) is str for one in serials),
             "the serials are not of their form")
        self.mode, self.plan, self.roster, self.tool, self.module = mode, plan, roster, tool, module
        self.serials, self.rehearsal = serials, rehearsal
        self._by(executor, witness)
        self.files = listed(files)

    def _by(self, executor, witness):
        need(is_bytes(executor, 33) and is_bytes(witness, 33), "a key is not of its form")
        self.people.append((executor, witness))

    def _begun(self, step):
        need(self.begun is None and is_uint(step) and step == len(self.done),
             "a step out of its order")
        self.begun, self.began = step, self.body_time

    def _done(self, step, facts, files):
        need(is_uint(step) and step == self.begun, "a step is done that was not begun")
        need(type(facts) is list and all(
            type(one) is list and len(one) == 2 and all(type(part) is str for part in one)
            for one in facts), "facts are not of their form")
        self.done.append(([tuple(fact) for fact in facts], listed(files)))
        self.lasted.append((self.began, self.body_time))
        self.begun = None

    def _exception(self, words):
        need(type(words) is str, "an exception without words")
        self.exceptions.append((self.number, words))

    def _resumed(self, tool, module, executor, witness):
        need(is_bytes(tool, 32) and is_bytes(module, 32), "a hash is not of its form")
        self._by(executor, witness)
        self.resumed.append((tool, module))
        self.exceptions.append((self.number, "interrupted, and resumed"))

    def _closed(self, files):
        need(self.begun is None, "closed within a step")
        self.closed = listed(files)

    def outputs(self):
        return {path: digest for _, files in self.done for path, digest in files.items()}


def listed(files):
    need(type(files) is list and all(
        type(one) is list and len(one) == 2 and type(one[0]) is str and is_bytes(one[1], 32)
        for one in files), "files are not of their form")
    paths = [path for path, _ in files]
    need(paths == sorted(set(paths)), "files are not sorted")
    return dict(files)
