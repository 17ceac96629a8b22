"""Enrolment with a one-time code: the private key is made where it stays. docs/formats/token-invite.md."""
import base64
import hashlib
import os
import warnings

import rfc8785
from nacl.signing import SigningKey

from .envelope import PEM, PKCS8_ED25519, b64url, load_key, pkcs8
from .errors import Refused
from .wire import Wire, from_context

ENROLL_DOMAIN = b"IF-ENROLL-v1\n"


def new_key(path, passphrase=None):
    """Make a key in a new file, mode 0600, on disk when this returns; or take the one that is there (a lost answer: the same key again)."""
    der = PKCS8_ED25519 + bytes(key := SigningKey.generate())
    text = base64.encodebytes(pkcs8(der, None, passphrase) if passphrase else der).decode()
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return load_key(path, passphrase)
    with os.fdopen(file, "wb", 0) as f:
        f.write(f"{PEM[bool(passphrase)]}\n{text}{PEM[bool(passphrase)].replace('BEGIN', 'END')}\n".encode())
        os.fsync(f.fileno())
    return key


def enrolment(code, log, key):
    """The body of POST /v1/enroll: the new key signs code, itself and the fabric's origin."""
    letters = code.upper().replace("-", "").replace(" ", "")
    if len(letters) != 32 or not set(letters) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"):
        raise ValueError("not a code: eight groups of four of A-Z and 2-7")
    signed = {"code": "-".join(letters[i:i + 4] for i in range(0, 32, 4)), "log": log, "pubkey": b64url(bytes(key.verify_key)), "v": 1}
    return {"code": signed["code"], "pubkey": signed["pubkey"], "proof": b64url(key.sign(ENROLL_DOMAIN + rfc8785.dumps(signed)).signature)}


def enroll(cls, code, endpoint, key, dir, options):
    """Fabric.enroll(), which says what it does."""
    found = from_context(endpoint, dir, "enrolling-" + hashlib.sha256("".join(filter(str.isalnum, code.upper())).encode()).hexdigest()[:16])
    where, own = {name: options.pop(name, found[name]) for name in ("endpoint", "ca")}, found["own_key"]
    log = (wire := Wire(**where)).ask("/v1/fabric")["origin"]  # before a key is made: is there a fabric?
    path, made = own if key is None else key, key is None and not os.path.exists(own)
    signer = new_key(path, options.pop("passphrase", None)) if isinstance(path, (str, os.PathLike)) else load_key(path)
    try:
        told = wire.ask("/v1/enroll", options.get("timeout", 15.0), rfc8785.dumps(enrolment(code, log, signer)))
    except (Refused, ValueError) as e:
        if made and getattr(e, "status", 0) < 500:  # nothing speaks with it
            os.remove(own)
        raise
    if key is None:
        try:
            os.link(own, f"{os.path.dirname(own)}/{os.path.basename(told['talent']['name'])}.pem")  # never over another one
            os.remove(own)
        except OSError as e:
            warnings.warn(f"the new key stays in {own}: {e}", stacklevel=2)
    return cls(talent=told["talent"]["name"], key=signer, **where, **options)
