"""docs/ceremony-guide.md as people follow it: its own commands, in a terminal of 80 by 24."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from house import MODULES, REPOSITORY, obol_kms

GUIDE = REPOSITORY / "docs" / "ceremony-guide.md"
READY = "READY> "
PIN = "guide-pin-4711"
QUESTION = re.compile(r"(?:Type yes:|type your name to initial:|name of the holder:"
                      r"|the 24 words of \w+:|tried once:|new token:|token again:) $")
HIDDEN = re.compile(r"(?:the 24 words of \w+:|tried once:|new token:|token again:) $")
PATIENCE_S = 300


class Terminal:
    """A bash in a pseudo-terminal, and everybody who sits before it."""

    def __init__(self, folder):
        module = next(path for path in MODULES if os.path.exists(path))
        environment = {
            "PATH": f"{obol_kms().parent}:{os.environ['PATH']}", "HOME": str(folder),
            "TERM": "dumb", "PS1": READY, "PS2": "", "MODULE": module,
            "PLANS": str(REPOSITORY / "policies" / "ceremonies"),
        }
        self.shares, self.holders, self.wrong_first, self.seen = {}, [], set(), ""
        self.interrupt_at = None
        self.questions = 0
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting"], environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.wait()

    def close(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        """All output up to the next shell prompt; questions on the way are answered."""
        output, deadline = "", time.monotonic() + PATIENCE_S
        answered = 0
        while not output.endswith(READY):
            assert time.monotonic() < deadline, output
            if select.select([self.fd], [], [], 1)[0]:
                output += os.read(self.fd, 4096).decode().replace("\r", "")
            if QUESTION.search(output[answered:]):
                self.answer(output[answered:])
                answered = len(output)
        self.seen += output
        return output

    def hide(self):
        """Waits until the terminal does not show what is typed."""
        deadline = time.monotonic() + PATIENCE_S
        while termios.tcgetattr(self.fd)[3] & termios.ECHO:
            assert time.monotonic() < deadline, "what is typed would be shown"
            time.sleep(0.01)

    def answer(self, asked):
        self.questions += 1
        if self.questions == self.interrupt_at:
            return self.type("\x03")
        if HIDDEN.search(asked):
            self.hide()
        if holder := re.search(r"(\w+), have you written the 24 words down", asked):
            words = re.findall(r"^(?:[a-z]+ ){5}[a-z]+$", asked, re.M)
            self.shares[holder[1]] = " ".join(words[-4:])
            return self.type("yes\n")
        if "Type yes:" in asked:
            return self.type("yes\n")
        if name := re.search(r"(\w+), type your name to initial: $", asked):
            return self.type(f"{name[1]}\n")
        if "name of the holder:" in asked:
            return self.type(f"{self.holders.pop(0)}\n")
        if name := re.search(r"the 24 words of (\w+): $", asked):
            if name[1] in self.wrong_first:
                self.wrong_first.remove(name[1])
                other = next(share for who, share in self.shares.items() if who != name[1])
                return self.type(f"{other}\n")
            return self.type(f"{self.shares[name[1]]}\n")
        return self.type(f"{PIN}\n")

    def run(self, command):
        self.type(command.rstrip("\n") + "\n")
        output = self.wait()
        self.type("echo status $?\n")
        status = int(re.search(r"^status (\d+)$", self.wait(), re.M)[1])
        return status, output


def commands(guide):
    """Each command of the guide's sh blocks, continuation lines and loops joined."""
    for block in re.findall(r"^```sh\n(.*?)^```$", guide, re.S | re.M):
        joined = re.sub(r"\\\n\s*", "", block)
        joined = re.sub(r"do\n\s*(.*)\ndone", r"do \1; done", joined)
        yield from joined.splitlines()


@pytest.fixture
def folder(tmp_path):
    for site in ["offline", "online", "rehearsals"]:
        (tmp_path / site / "tokens").mkdir(parents=True)
        conf = f"directories.tokendir = {tmp_path / site / 'tokens'}\n"
        (tmp_path / site / "softhsm2.conf").write_text(conf)
    return tmp_path


@pytest.fixture
def terminal(folder):
    terminal = Terminal(folder)
    yield terminal
    terminal.close()


def follow(terminal, last=None):
    """Runs the guide's commands up to the one that begins with `last`, which is returned."""
    for command in commands(GUIDE.read_text()):
        if last and command.startswith(last):
            return command
        if "ceremony run" in command and "--shares" in command:
            terminal.holders = ["bob", "carol"]
            terminal.wrong_first = {"bob"}
        status, output = terminal.run(command)
        assert status == 0, f"{command}\n{output}"
    return None


def test_the_guide_leads_from_empty_machines_to_an_issuing_key_and_bundles_that_hold(terminal, folder):
    follow(terminal)
    seen = terminal.seen
    assert seen.count("holds: transcript") == 3
    # A wrong share is named at once and asked for again.
    assert seen.count('the share of "bob" is wrong') == 2
    assert seen.count("the share of bob is right") == 2
    # What is typed hidden is not shown, and no line of a question runs over the screen.
    assert PIN not in seen
    shown_by_program = [line for line in seen.splitlines() if "type your name" in line]
    assert shown_by_program and all(len(line) <= 80 for line in shown_by_program)
    # The only control sequences are those that erase a share from the screen.
    assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", seen)) <= {"\x1b[2J", "\x1b[3J", "\x1b[H",
                                                               "\x1b[?2004h", "\x1b[?2004l"}
    assert (folder / "issuer-1.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_a_wrong_pin_is_asked_for_once_and_nothing_is_done(terminal, folder):
    command = follow(terminal, last="obol-kms ceremony run request.plan.toml")
    real = terminal.answer
    terminal.answer = lambda asked: terminal.type("wrong\n") if "tried once" in asked else real(asked)
    status, output = terminal.run(command)
    assert status != 0
    assert output.count("PIN of token issuer, tried once:") == 1
    assert "is not tried again" in output
    assert not (folder / "request.bundle").exists()
    terminal.answer = real
    assert terminal.run(command)[0] == 0


def test_ctrl_c_at_each_question_of_a_ceremony_loses_nothing(terminal, folder):
    command = follow(terminal, last="obol-kms ceremony run request.plan.toml")
    resume = ("obol-kms ceremony resume request.bundle --executor bob.key --witness wendy.key "
              "--token issuer=issuer.token.toml")
    at, status = 1, 1
    while status != 0:
        # One question further at each try; what is done stays done.
        began = (folder / "request.bundle").exists()
        terminal.questions, terminal.interrupt_at = 0, at
        status, _ = terminal.run(resume if began else command)
        at += 1
        assert at < 40
    terminal.interrupt_at = None
    hash_of = "ROSTER=$(obol-kms ceremony plan root.plan.toml --roster roster.toml | sed -n 's/^roster //p')"
    assert terminal.run(hash_of)[0] == 0
    status, output = terminal.run("obol-kms ceremony verify request.bundle --roster $ROSTER")
    assert status == 0, output
    assert "interrupted, and resumed" in output
