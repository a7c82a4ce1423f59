"""Follows docs/ceremony-guide.md: its own commands, in a terminal of 80 by 24."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

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
            # A run in the background inherits that Ctrl-C is ignored, and no shell undoes that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
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


def sites(folder):
    """The folders of the tokens of two sites and of the rehearsals."""
    for site in ["offline", "online", "rehearsals"]:
        (folder / site / "tokens").mkdir(parents=True)
        conf = f"directories.tokendir = {folder / site / 'tokens'}\n"
        (folder / site / "softhsm2.conf").write_text(conf)
    return folder


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
