"""docs/ceremony-guide.md as people follow it: its own commands, in a terminal of 80 by 24."""

import re

import pytest

from guide import PIN, Terminal, follow, sites


@pytest.fixture
def folder(tmp_path):
    return sites(tmp_path)


@pytest.fixture
def terminal(folder):
    terminal = Terminal(folder)
    yield terminal
    terminal.close()


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
