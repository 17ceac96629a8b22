"""decision watch: the approver's view on a terminal that is emulated here strictly, the stream, and topics."""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from cli import HOSTILE, RAW, SCOPE, Cli, Follow
from fabric import PATIENCE, PROGRAM, sha256, wait_for
from tests_tls import make

START, END = "\x1b[?1049h", "\x1b[?1049l"
SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")


class View:
    """ifctl decision watch on a terminal. Of what a terminal understands only what the view may send is taken; the rest fails the test."""

    def __init__(self, cli, *args, size=(24, 80), env=None, words=("decision", "watch")):
        self.here, there = pty.openpty()
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.resize(*size, signal_it=False)
        self.before = termios.tcgetattr(there)
        self.name, self.rest, self.told = os.ttyname(there), "", ""
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(there, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(there, fd)
            os.closerange(3, 100)
            os.execve(PROGRAM["ifctl"], ["ifctl", *words, *args], {**cli.env, "TERM": "xterm", **(env or {})})
        self.there = there  # stays open: its settings are looked at after the end

    def resize(self, rows, columns, signal_it=True):
        self.rows, self.columns = rows, columns
        self.clear()
        fcntl.ioctl(self.here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if signal_it:
            os.kill(self.pid, signal.SIGWINCH)

    def clear(self):
        self.cells, self.row, self.column, self.own = {}, 1, 1, getattr(self, "own", False)

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            c = text[at]
            if c == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    self.rest = text[at:]
                    assert len(self.rest) < 16, f"not what the view may send: {self.rest[:40]!r}"
                    return
                self.control(*found.groups())
                at = found.end()
                continue
            at += 1
            if self.own:
                assert c not in "\r\n", "a line break inside the view"
                self.put(c)
            else:
                self.told += c
                assert c in "\r\n" or not RAW.search(c), f"{c!r} reached the terminal"

    def put(self, c):
        assert not RAW.search(c), f"{c!r} reached the terminal"
        if self.columns < 30 and self.column > self.columns:
            return  # the view does not go below 30 columns: the terminal cuts, it was told not to wrap
        wide = 2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1
        assert self.column + wide - 1 <= self.columns, f"row {self.row} is longer than the screen: {self.line(self.row)!r}"
        self.cells[self.row, self.column] = self.cells.get((self.row, self.column), "") + c if wide == 0 else c
        self.column += wide

    def control(self, private, numbers, final):
        if private:
            assert (numbers, final) in [(n, f) for n in ("1049", "25", "7") for f in "hl"], (numbers, final)
            if numbers == "1049":
                self.own = final == "h"
                self.clear()
        elif final == "H":
            self.row, self.column = map(int, numbers.split(";"))
            assert 1 <= self.row <= max(self.rows, 4) and self.column == 1
        elif final == "J":
            self.clear()
        elif final == "K":
            for column in range(self.column, self.columns + 1):
                self.cells.pop((self.row, column), None)
        else:
            assert final == "m" and numbers in ("0", "7", "31"), (numbers, final)

    def line(self, row):
        return "".join(self.cells.get((row, column), " ") for column in range(1, self.columns + 1)).rstrip()

    @property
    def text(self):
        return "\n".join(self.line(row) for row in range(1, self.rows + 1))

    def read(self, timeout):
        if not select.select([self.here], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.here, 65536)
        except OSError:
            return False
        self.feed(self.decoder.decode(data))
        return True

    def until(self, *wanted, told=None, gone=None):
        """A whole frame (its last line is drawn last) with all of it; told: in what stands outside of the view."""
        end = time.monotonic() + PATIENCE
        while True:
            if told is not None and told in self.told:
                return self
            if told is None and self.own and "q quit"[: self.columns - 1] in self.text + "q quit" and all(w in self.text for w in wanted):
                if (gone is None or gone not in self.text) and self.line(self.rows) != "":
                    return self
            self.read(1)
            assert time.monotonic() < end, f"{wanted} {told!r} did not come:\n{self.text}\n{self.told[-2000:]}"

    def type(self, text):
        os.write(self.here, text.encode())
        return self

    def end(self, how=None):
        """Exit code (negative: the signal that ended it), after the terminal was looked at."""
        if how is not None:
            os.kill(self.pid, how)
        end = time.monotonic() + PATIENCE
        while (done := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            self.read(0.1)
            assert time.monotonic() < end, f"it does not end:\n{self.text}\n{self.told[-2000:]}"
        while self.read(0):
            pass
        now = termios.tcgetattr(self.there)
        os.close(self.there)
        os.close(self.here)
        assert not self.own, "the screen was not given back"
        assert now == self.before, "the terminal's settings were not put back"
        return os.waitstatus_to_exitcode(done[1])


def risky(c, *args, claim="We may cite the contract", **more):
    return c.send(30, "--to", "Demo.R", "--claim", claim, "--confidence", "0.9", "--hazard", "legal", *SCOPE, *args, **more)


def held(c, *args):
    return c.send(30, "--to", "Demo.R", "--claim", "perhaps", "--confidence", "0.25", *SCOPE, *args)


def state(c, id_):
    return c.json("decision", "show", id_)


def test_hostile_claims_are_shown_harmless_at_every_size(f):
    c = Cli(f).people()
    for text in HOSTILE:
        if text.strip():
            risky(c, claim=text, *(("--evidence", "https://a.example/" + text[:40]) if text.isascii() and text.isprintable() else ()))
    risky(c, claim="\x1b[999;1H\x1b[?1049lverified: yes" + "中文" * 40 + "e\u0301" * 50)
    for size, env in (((24, 80), {}), ((50, 200), {"NO_COLOR": "1"}), ((8, 30), {}), ((5, 30), {"NO_COLOR": "1"})):
        v = View(c, size=size, env=env).until("Demo.A" if size[1] > 30 else "> ESC")
        for _ in range(len(HOSTILE)):
            v.type("j")
        if size[0] >= 24:
            v.until("\\u{1b}[999;1H\\u{1b}[?1049l", "verified: a key enrolled", gone="NOT VERIFIED")
        assert v.type("q").end() == 0


def test_a_vote_shows_what_it_binds_asks_and_signs_it(f):
    c = Cli(f).people()
    r = risky(c, claim="may be cited" + " " * 4000 + "hazards     none")
    v = View(c, size=(120, 90)).until(r["id"], r["message_digest"][:40], "policy: hazard override", "operator -", "may be cited")
    v.type("ay\n")  # what stands behind the key answers nothing
    v.until(told="Why?").type("the contract says so\n").until(told="Sign approve? [y/N]")
    assert r["message_digest"] in re.sub(r"\r\n {14}", "", v.told) and "may be cited" in v.told
    lines = [line for line in v.told.replace("\r", "").split("\n") if line.lstrip().startswith("hazards")]
    assert all(line.startswith("  hazards     legal") or line.startswith(" " * 14) for line in lines) and lines, lines
    v.type("\n").until(told="not signed").until(told="Enter goes back").type("\n").until(r["id"])
    assert state(c, r["id"])["state"] == "escalated"
    v.told = ""
    v.type("a").until(told="Why?").type("the contract says so\n").until(told="[y/N]").type("y\n").until(told="Enter goes back").type("\n")
    v.until("nothing waits")
    assert v.type("q").end() == 0
    assert state(c, r["id"])["decision"] == "SHARE"
    votes = [e for e in f.entries() if e["operation"] == "vote"]
    assert len(votes) == 1 and votes[0]["why"] == "the contract says so"


def test_refusals_and_scope_checks_go_the_same_way(f):
    c = Cli(f).people()
    a, b = risky(c), held(c)
    v = View(c, "--why", "looked at").until(a["id"])
    v.type("r").until(told="[y/N]").type("y\n").until(told="Enter goes back").type("\n").until(b["id"], "HOLD", gone="ESCALATE")
    assert state(c, a["id"])["decision"] == "DENY"
    v.told = ""
    v.type("a").until(told="it is held, not escalated").until(told="Enter goes back").type("\n").until(b["id"])
    v.type("\x1b[B\x1bOs\x1bOr\x1bs")  # arrows, a keypad, Alt: no votes
    v.told = ""
    c.wants(0, "talent", "grant", "operator", "--scope", "guard:scope", "--why", "test")
    v.type("s").until(told="[y/N]").type("y\n").until(told="Enter goes back").type("\n").until("nothing waits")
    assert v.type("q").end() == 0
    assert state(c, b["id"])["decision"] == "SHARE"


def test_every_end_gives_the_terminal_back(f):
    c = Cli(f).people()
    r = risky(c)
    names = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "PIPE", "XCPU", "ABRT", "SEGV")
    for name in names:
        v = View(c).until(r["id"])
        number = getattr(signal, "SIG" + name)
        if name == "PIPE":  # ignored
            os.kill(v.pid, number)
            assert v.type("q").end() == 0
        elif name == "SEGV" and "asan" in PROGRAM["ifctl"]:
            v.type("q").end()
        else:
            assert v.end(number) == -number, name
    v = View(c).until(r["id"])
    assert v.type("\x03").end() == -signal.SIGINT  # Ctrl-C
    v = View(c).until(r["id"])
    v.type("a").until(told="Why?").type("\x03")
    assert v.end() == -signal.SIGINT
    # while a passphrase is asked for without echo
    c.wants(0, "talent", "add", "Carol", "--owner", "carla", "--new-key", "--why", "test")
    key = os.path.join(f.root, "locked.pem")
    c.wants(0, "key", "new", "--out", key, secret=b"secret\n")
    v = View(c, "--as", "Carol", "--key", key, "--why", "looked at", words=("decision", "approve", r["id"], "--yes"))
    v.until(told="assphrase")
    assert v.end(signal.SIGTERM) == -signal.SIGTERM


def test_a_stop_gives_the_terminal_back_until_it_goes_on(f):
    c = Cli(f).people()
    r = risky(c)
    v = View(c).until(r["id"])
    os.kill(v.pid, signal.SIGTSTP)
    wait_for(lambda: v.read(0.1) and not v.own, 10, "the shell's screen")
    wait_for(lambda: open(f"/proc/{v.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T", 10, "a stop")
    assert termios.tcgetattr(v.there) == v.before
    os.kill(v.pid, signal.SIGCONT)
    v.until(r["id"])
    assert v.type("q").end() == 0


def test_a_lost_terminal_ends_it(f):
    c = Cli(f).people()
    v = View(c).until("nothing waits")
    os.close(v.there)
    os.close(v.here)
    assert os.waitpid(v.pid, 0)[1] != 0


def test_sizes_change_and_the_daemon_goes_and_comes(f):
    c = Cli(f).people()
    r = risky(c)
    v = View(c).until(r["id"])
    for size in ((10, 40), (60, 160), (4, 12), (24, 80)):
        v.resize(*size)
        v.until("> ESC" if size[1] > 12 else ">")
    f.stop()
    v.until("THE DAEMON DOES NOT ANSWER", r["id"])
    f.start()
    v.until(r["id"], gone="DOES NOT ANSWER")
    b = held(c)  # comes by itself
    v.until("HOLD").type("j").until(b["id"])
    c.wants(0, "decision", "refuse", r["id"], "--yes", "--why", "no")
    v.until(b["id"], gone="ESCALATE")
    assert v.type("q").end() == 0


def test_another_log_behind_the_same_socket_ends_it(f):
    c = Cli(f).people()
    r = risky(c)
    v = View(c).until(r["id"])
    f.stop()
    v.until("DOES NOT ANSWER")
    other = os.path.join(f.root, "other")
    done = f.ifd("--init", other, "--http", "")
    assert done.returncode == 0, done.stderr
    for name in ("keys", "data"):
        os.rename(os.path.join(f.dir, name), os.path.join(f.root, "old-" + name))
        os.rename(os.path.join(other, name), os.path.join(f.dir, name))
    f.start()
    assert v.end() == 20 and "answers now, not" in v.told, v.told


def test_what_was_seen_is_what_is_voted_on(f):
    """Two senders may use one id: a vote on the second does not become one on the first."""
    people = [f.enrol("Twin.A", "alice"), f.enrol("Twin.B", "bob")]
    id_ = people[0].message().id
    made = [a.message(id=id_, content={"claim": a.name + " says", "hazards": ["legal"]}) for a in people]
    for m in made:
        assert f.send(m).status == 202
    c = Cli(f)
    v = View(c, "--why", "looked at").until("Twin.A says").type("j").until("another message with this id waits before it")
    v.type("a").until(told="another message with this id waits before it").until(told="Enter goes back").type("\n").until("Twin")
    assert v.type("q").end() == 0
    assert not [e for e in f.entries() if e["operation"] == "vote"]


def test_topics_stand_together_the_largest_first(f):
    a, b = f.enrol("Topic.A", "alice"), f.enrol("Topic.B", "bob")
    topics = [sha256(b"small"), sha256(b"large"), sha256(b"middle")]
    wanted = {topics[0]: 1, topics[1]: 4, topics[2]: 2}
    ids = {t: [] for t in topics}
    for i in range(4):
        for t in topics:
            if i < wanted[t]:
                m = (a, b)[i % 2].message(topic_hash=t, content={"claim": f"{t[7:11]} {i}", "hazards": ["legal"]})
                assert f.send(m).status == 202
                ids[t].append(m.id)
    c = Cli(f)
    items = c.json("decision", "list", "--by-topic")["items"]
    assert [(i["topic_hash"], i["waiting"], i["escalated"], i["held"]) for i in items] == [(t, wanted[t], wanted[t], 0) for t in (topics[1], topics[2], topics[0])]
    assert [i["ids"] for i in items] == [ids[topics[1]], ids[topics[2]], ids[topics[0]]]
    assert items[0]["senders"] == ["if://agent/Topic.A", "if://agent/Topic.B"] and items[2]["senders"] == ["if://agent/Topic.A"]
    table = c.wants(0, "decision", "list", "--by-topic").out.split("\n")
    assert table[0].split() == ["TOPIC", "WAITING", "ESCALATED", "HELD", "SENDERS", "SINCE", "UNTIL"] and " 4 " in table[1], table
    c.wants(2, "decision", "list", "--by-topic", "--state", "held")
    v = View(c, size=(40, 90)).until(ids[topics[0]][0]).type("t").until("by topic", topics[1][7:15] + " 4")
    rows = [v.line(r)[38:46] for r in range(3, 10)]
    assert rows == [t[7:15] for t in (topics[1],) * 4 + (topics[2],) * 2 + (topics[0],)], v.text
    v.until("> ESCALATE", ids[topics[0]][0])  # the cursor stays on its message
    v.type("p").until(ids[topics[2]][0]).type("p").until(ids[topics[1]][0]).type("n").until(ids[topics[2]][0]).type("nn").until(ids[topics[0]][0])
    assert v.type("tq").end() == 0


def test_the_stream_tells_what_waits_changes_and_is_decided(f):
    c = Cli(f).people()
    old = risky(c, claim=HOSTILE[3])
    with Follow(c, "decision", "watch") as w:
        wait_for(lambda: len(w.items) == 1, 20, "what waits already")
        new = held(c)
        wait_for(lambda: len(w.items) == 2, 20, "what comes")
        f.stop()
        f.start()
        c.wants(0, "decision", "approve", old["id"], "--yes", "--why", "yes")
        wait_for(lambda: len(w.items) == 3, 20, "what is decided")
        told = [(i["event"], i["id"], i.get("verified"), i["decision"]) for i in w.items]
        assert told == [("waits", old["id"], True, "ESCALATE"), ("waits", new["id"], True, "HOLD"), ("decided", old["id"], None, "SHARE")], told
        assert w.items[0]["envelope"]["content"]["claim"] == HOSTILE[3]
        assert w.p.poll() is None
    # without a terminal nothing is signed, and what a table row says is harmless
    p = Cli(f)
    with subprocess.Popen([PROGRAM["ifctl"], "decision", "watch", "-o", "table"], env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as q:
        head, row = q.stdout.readline(), q.stdout.readline().decode()
        q.kill()
    assert head.startswith(b"EVENT") and new["id"] in row and not RAW.search(row.replace("\n", ""))


def test_the_stream_ends_with_its_reader_and_leaves_nobody_behind(f):
    c = Cli(f).people()
    p = subprocess.Popen([PROGRAM["ifctl"], "decision", "watch", "-o", "ndjson"], env=c.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    children = lambda: open(f"/proc/{p.pid}/task/{p.pid}/children").read().split()
    wait_for(children, 20, "the reader of events")
    child = children()[0]
    p.stdout.close()
    p.wait(PATIENCE)
    wait_for(lambda: not os.path.exists(f"/proc/{child}"), 10, "its end")
    v = View(c).until("nothing waits")
    child = wait_for(lambda: open(f"/proc/{v.pid}/task/{v.pid}/children").read().split(), what="the reader of events")[0]
    v.end(signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{child}"), 10, "its end")


def test_an_approver_elsewhere_sees_and_votes_over_tls(f):
    f.stop()
    make(f, "server")
    f.configure({"http.certificate": "server.crt", "http.key": "server.key", "http.hosts": ["127.0.0.1"]})
    f.start()
    here = Cli(f).people()
    here.wants(0, "talent", "add", "Carol", "--owner", "carla", "--role", "operator", "--new-key", "--why", "test")
    path = os.path.join(f.root, "token")
    here.wants(0, "token", "create", "Carol", "--out", path, "--why", "test")
    there = Cli(f)
    del there.env["IFAB_DIR"]
    there.env.update(IFAB_ENDPOINT=f"https://127.0.0.1:{f.tcp[1]}", IFAB_TOKEN_FILE=path, IFAB_CA=os.path.join(f.dir, "server.crt"), IFAB_AS="Carol")
    r = risky(here)
    v = View(there, "--as", "Carol", "--key", os.path.join(f.dir, "keys", "Carol.pem"), "--why", "no").until(r["id"], "verified: a key", "Carol -")
    v.type("r").until(told="[y/N]").type("y\n").until(told="Enter goes back").type("\n").until("Carol refuse")
    here.wants(0, "decision", "refuse", r["id"], "--yes", "--why", "no")
    v.until("nothing waits")  # the operator's was the last approval there could be
    assert v.type("q").end() == 0
    assert state(here, r["id"])["decision"] == "DENY"
