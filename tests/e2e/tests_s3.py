"""adapters/s3.object against a real S3 server (versitygw, ./versitygw), which refuses a wrong signature, region and body. INV-08, INV-09.

What is stored is looked at as files, and what is read was written as files: the adapter is not its own witness.
"""

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from fabric import TMP, Skip, wait_for
from tests_adapters import Client, Server, ready
from tests_adapters_refused import MORE, of_breakers
from tests_vault import rotate

HERE = os.path.dirname(os.path.abspath(__file__))
NAME, BUCKET, REGION = "s3.object", "things", "eu-north-1"
ID, KEY = "TESTID7", "kD8/pq+Wx2Lm5Rt9Zv3Bn6Qs1Yc4Fh7Jg0Ae=="
WRONG = "Zz8/pq+Wx2Lm5Rt9Zv3Bn6Qs1Yc4Fh7Jg0Ae=="
NAMES = ["a.txt", "folder/with space.txt", "folder/deep/naïve 日本.txt", "a+b&c=d.txt", "q?x#y<z>\"'.txt", "tilde~(1)*!@,$.txt", "x:y;z", "1+2"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Gateway:
    """An S3 server with one bucket, which is a folder."""

    def __enter__(self):
        got = subprocess.run([os.path.join(HERE, "versitygw")], capture_output=True, text=True)
        if got.returncode == 3:
            raise Skip(got.stderr.strip())
        assert got.returncode == 0, got
        self.dir = tempfile.mkdtemp(prefix="s3-", dir=TMP)
        self.bucket = os.path.join(self.dir, "data", BUCKET)
        os.makedirs(self.bucket)
        os.makedirs(os.path.join(self.dir, "iam"))
        self.log = open(os.path.join(self.dir, "log"), "wb")  # noqa: SIM115
        for _ in range(5):  # somebody else may have taken the port meanwhile
            self.port = free_port()
            self.process = subprocess.Popen(
                [got.stdout.strip(), "--port", f"127.0.0.1:{self.port}", "--access", ID, "--secret", KEY, "--region", REGION, "--iam-dir",
                 os.path.join(self.dir, "iam"), "posix", os.path.join(self.dir, "data")],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            )  # fmt: skip
            wait_for(lambda: self.process.poll() is not None or self.answers(), 30, "versitygw")
            if self.process.poll() is None:
                return self
        with open(self.log.name) as text:
            raise AssertionError(text.read())

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir)

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/{BUCKET}"

    def bytes_of(self, key):
        with open(os.path.join(self.bucket, key), "rb") as file:
            return file.read()

    def names(self):
        return sorted(name for name in os.listdir(self.bucket) if not name.startswith("."))  # those are the server's own

    def write(self, key, data):
        with open(os.path.join(self.bucket, key), "wb") as file:
            file.write(data)


def bucket(m, region=REGION):
    for row in m["http"]:
        row["path"] = row["path"].replace("/bucket", f"/{BUCKET}")
    m["requires_secrets"][0]["field"] = f"{region}/s3"


def store(f, gateway, secret=f"{ID}:{KEY}", region=REGION):
    return ready(f, NAME, "s3.example", gateway, config=[("S3_URL", gateway.url)], secrets=[("S3_KEY", secret)], change=lambda m: bucket(m, region))


def test_objects_come_back_as_they_were(f):
    # INV-09
    with Gateway() as g:
        do = Client(f, store(f, g), NAME)
        for name in NAMES:
            body = f"{name}: line\r\n\ttab \\ \" é 日本 \U0001f600\n"
            put = do.done("put", name=name, body=body, content_type="text/x-test")
            assert g.bytes_of(name) == body.encode(), name
            got = do.done("get", name=name)
            assert got["body"] == body and got["content_type"] == "text/x-test" and got["etag"] == put["etag"] and got["size"] == len(body.encode()), got
            assert put["etag"] == f'"{hashlib.md5(body.encode()).hexdigest()}"'
            head = do.done("head", name=name)
            assert head["size"] == len(body.encode()) and head["etag"] == put["etag"] and head["last_modified"], head
        every = bytes(range(256)) * 3
        do.done("put", name="bytes", body_b64=base64.b64encode(every).decode())
        assert g.bytes_of("bytes") == every and base64.b64decode(do.done("get", name="bytes")["body_b64"]) == every
        part = do.done("get", name="bytes", offset=65, length=3)
        assert part["body"] == "ABC" and part["size"] == len(every), part
        assert do("get", name="bytes", offset=100000, length=1).code == 208
        do.done("put", name="empty", body="")
        assert g.bytes_of("empty") == b"" and do.done("get", name="empty")["body"] == "" and do.done("head", name="empty")["size"] == 0
        g.write("large", os.urandom(900_000))
        large = do("get", name="large")
        assert large.code == 208 and "offset" in large.error["message"], large
        whole = b"".join(base64.b64decode(do.done("get", name="large", offset=at, length=300_000)["body_b64"]) for at in range(0, 900_000, 300_000))
        assert whole == g.bytes_of("large")
        do.done("delete", name=NAMES[0])
        assert not os.path.exists(os.path.join(g.bucket, NAMES[0])) and do("get", name=NAMES[0]).code == 208
        assert not f.grep(KEY.encode(), f.root) and not f.grep(base64.b64encode(KEY.encode())[:-4], f.root)
        f.verify()


def test_lists_go_on_where_they_ended(f):
    with Gateway() as g:
        do = Client(f, store(f, g), NAME)
        for name in NAMES:
            os.makedirs(os.path.dirname(os.path.join(g.bucket, name)), exist_ok=True)
            g.write(name, name.encode())
        found, following = [], {}
        for page in range(1, 20):
            got = do.done("list", limit=3, **following)
            found += [(item["name"], item["size"]) for item in got["items"]]
            if got["next"] is None:
                break
            following = {"next": got["next"]}
        assert page == 3 and sorted(found) == sorted((name, len(name.encode())) for name in NAMES), found
        assert len(set(found)) == len(NAMES)
        assert [i["name"] for i in do.done("list", prefix="folder/w")["items"]] == ["folder/with space.txt"]
        assert [i["name"] for i in do.done("list", prefix="a+b&")["items"]] == ["a+b&c=d.txt"]
        assert do.done("list", prefix="100%")["items"] == []
        got = do.done("list", folders=True)
        assert got["folders"] == ["folder/"] and len(got["items"]) == len(NAMES) - 2, got
        assert do.done("list", folders=True, prefix="folder/")["folders"] == ["folder/deep/"]
        f.verify()


def test_what_may_not_be_overwritten_stays(f):
    with Gateway() as g:
        do = Client(f, store(f, g), NAME)
        first = do.done("put", name="one", body="first", if_absent=True)
        for _ in range(6):  # more than a breaker bears, were they its failures
            r = do("put", name="one", body="second", if_absent=True)
            assert r.code == 208 and "412" in r.error["message"], r
        assert do("put", name="one", body="third", if_match='"0123456789abcdef0123456789abcdef"').code == 208
        assert g.bytes_of("one") == b"first"
        second = do.done("put", name="one", body="second", if_match=first["etag"])
        do.done("put", name="one", body="third", if_match=second["etag"].strip('"'))
        assert do("put", name="one", body="fourth", if_match=first["etag"]).code == 208
        assert g.bytes_of("one") == b"third"
        r = do("get", mode="dry-run", name="one")
        assert r.status == 200 and r.json["result"]["body"] == "third", r  # its row is marked read
        for operation, params in (("put", {"name": "one", "body": "x"}), ("put", {"name": "two", "body": "x"}), ("delete", {"name": "one"})):
            assert do(operation, mode="dry-run", **params).status >= 400, operation
        assert g.bytes_of("one") == b"third" and g.names() == ["one"]
        f.verify()


def test_what_cannot_be_asked_for_is_refused_in_the_plan(f):
    # INV-08
    with Gateway() as g:
        do = Client(f, store(f, g), NAME)
        with open(os.path.join(g.dir, "data", "beside"), "w") as file:
            file.write("not yours")
        for key in ("../beside", "a/../../beside", "..", ".", "a/./b", "a//b", "/a", "a/", "a\\b", "a%2fb", "a\x01b", "..;x/y", "é" * 513, "é" * 500):
            assert do.planned("get", name=key).code == 208, key
        for params in ({}, {"body": "x", "body_b64": "eA=="}, {"body_b64": "eA"}, {"body": "x", "content_type": "a\nb"}, {"body": "x", "content_type": "é"},
                       {"body": "x", "if_match": 'a"b'}, {"body": "x", "if_match": '""'}, {"body": "x", "if_match": "a", "if_absent": True}):  # fmt: skip
            assert do.planned("put", name="a", **params).code == 208, params
        assert do.planned("get", name="a", offset=1).code == 208 and do.planned("get", name="a", length=1).code == 208
        for _ in range(6):
            assert do("get", name="missing").code == do("head", name="missing").code == 208
        assert do("list", next="no token of yours").status in (200, 400)
        do.done("put", name="a", body="still open")
        f.verify()


def test_a_wrong_secret_or_region_is_the_providers_refusal(f):
    # INV-09
    with Gateway() as g:
        try:
            urllib.request.urlopen(g.url)
            raise AssertionError("this server asks for no signature: nothing here proves one")
        except urllib.error.HTTPError as e:
            assert e.code == 403, e
        g.write("a", b"there")
        do = Client(f, store(f, g, f"{ID}:{WRONG}"), NAME)
        for operation, params in (("get", {"name": "a"}), ("put", {"name": "b", "body": "x"})):
            r = do(operation, **params)
            assert r.code == 503 and "SignatureDoesNotMatch" in r.error["message"], r
        assert do("head", name="a").code == 503  # no body, so no more is known
        assert rotate(f, "S3_KEY", f"NOSUCHID:{KEY}").status == 200
        r = do("get", name="a")
        assert r.code == 503 and "InvalidAccessKeyId" in r.error["message"], r
        assert rotate(f, "S3_KEY", f"{ID}:{KEY}").status == 200
        assert do.done("get", name="a")["body"] == "there" and g.names() == ["a"]
        for value in (KEY, WRONG):
            assert not f.grep(value.encode(), f.root)
        f.verify()


def test_what_is_denied_of_one_name_is_not_shut_for_others(f):
    # a key that may not list is told AccessDenied of what is not there
    shut = False

    def answer(method, path, _body):
        if shut or "closed" in path:
            return 403, "application/xml", b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        return 200, "text/plain", b"there"

    with Server(answer) as server:
        url = f"http://127.0.0.1:{server.port}/{BUCKET}"
        do = Client(f, ready(f, NAME, "s3.example", server, config=[("S3_URL", url)], secrets=[("S3_KEY", f"{ID}:{KEY}")], change=bucket), NAME)
        asked = (("get", {"name": "closed"}), ("head", {"name": "closed"}), ("list", {"prefix": "closed/"}), ("put", {"name": "closed", "body": "x"}),
                 ("delete", {"name": "closed"}))  # fmt: skip
        for operation, params in asked:
            for _ in range(MORE):
                r = do(operation, **params)
                assert r.code == 208 and "AccessDenied" in r.error["message"], (operation, r)
        assert of_breakers(f, NAME) in ([], ["closed"]) and do.done("get", name="open")["body"] == "there"
        assert do.done("head", name="open")["size"] == 5
        shut = True
        r = do("list")  # nothing was named: how the store is set up
        assert r.code == 503 and "AccessDenied" in r.error["message"], r
        f.verify()


def test_another_region_is_not_signed_for(f):
    with Gateway() as g:
        g.write("a", b"there")
        do = Client(f, store(f, g, region="us-east-1"), NAME)
        for operation, params in (("get", {"name": "a"}), ("list", {}), ("put", {"name": "b", "body": "x"}), ("head", {"name": "a"})):
            r = do(operation, **params)
            assert r.code == 503, r
        assert g.names() == ["a"]
        f.verify()
