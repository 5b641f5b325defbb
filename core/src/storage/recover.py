#!/usr/bin/env python3
"""Opens a backup of this store without lastgood.

    python3 recover.py                                   what is here
    python3 recover.py shop/backup-20251121-020001 OUT   puts that backup's dump files into the new folder OUT

Needs Python 3.10 or newer and, for encrypted backups, `pip install "cryptography>=50"` and the `age` program
(https://age-encryption.org). Run it in a copy of the store on a local disk. It only reads the store.

`age` asks for the passphrase. Without one:

    --identity FILE       an age identity or SSH private key that the store, or this backup, was encrypted to
    --raw-key-file FILE   a file with the raw 32-byte key, in hex or base64 (with or without "raw:")
    --accept-unknown      go on although it cannot be told who wrote the backup
"""
import argparse, base64, collections, hashlib, hmac, json, pathlib, re, struct, subprocess, sys, zlib

STORE = pathlib.Path(__file__).resolve().parent
PIECE = 1 << 20
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Stop(Exception):
    """Something is wrong, in words for the person at the keyboard."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- the manifest: {"header":H,"body":B,"auth":A}, whose hashes are taken of the bytes of H and B as they stand ---

class Manifest:
    def __init__(self, folder):
        path = folder / "manifest.json"
        if not path.is_file():
            raise Stop(f"{path} is missing: {folder.name} is not a complete backup. Choose another one.")
        text, raw, at = path.read_text("utf-8"), {}, 0
        for name, before in (("header", '{"header":'), ("body", ',"body":'), ("auth", ',"auth":')):
            try:
                if not text.startswith(before, at):
                    raise ValueError
                value, end = json.JSONDecoder().raw_decode(text, at + len(before))
            except ValueError:
                raise Stop(f"{path} is damaged. Use another copy of it, or another backup.") from None
            raw[name], at = text[at + len(before):end], end
            setattr(self, name, value)
        self.folder, self.hashes = folder, {k: hashlib.sha256(v.encode()).hexdigest() for k, v in raw.items()}
        if self.header["format"] != 1 or self.header["requires"]:
            raise Stop("This backup was made by a newer lastgood. Use the recover.py of its store.")
        if self.header["id"] != folder.name:
            raise Stop(f"{path} belongs to {self.header['id']}: somebody moved it here.")
        self.signed = "lastgood/1 manifest\n{header}\n{body}\n".format(**self.hashes).encode()

    def context(self, *names):
        parts = ["lastgood/1", self.header["repository"], self.header["id"], *names]
        return b"".join(struct.pack("<I", len(p.encode())) + p.encode() for p in parts)

    def open_body(self, key):
        if key is None:
            return self.body
        box = decryptor(key, self.context("manifest.json", self.hashes["header"]))
        return json.loads(zlib.decompress(box(base64.b64decode(self.body)) + box(None)))


def decryptor(key, context):
    """A function that takes sealed bytes and gives plain ones; None ends the object. Refuses what was altered."""
    from cryptography.exceptions import InvalidTag
    from cryptography.cobblestone import Cobblestone256Decryptor
    box = Cobblestone256Decryptor(key, context)

    def take(data):
        try:
            return box.finalize() if data is None else box.update(data)
        except InvalidTag:
            raise Stop("The data do not fit the key: they were altered, cut or moved here. Use another copy.") from None
    return take


# --- keys ---

def age(path, identity=None, identity_file=None):
    """What `age` decrypts, or None. It asks for a passphrase on the terminal by itself."""
    args = ["age", "--decrypt"]
    args += ["--identity", "-"] if identity else ["--identity", identity_file] if identity_file else []
    try:
        done = subprocess.run(args + [str(path)], input=identity, capture_output=bool(identity or identity_file),
                              stdout=None if identity or identity_file else subprocess.PIPE)
    except FileNotFoundError:
        raise Stop("The program `age` is missing. Install it: apt install age, brew install age, or "
                   "https://age-encryption.org") from None
    return done.stdout if done.returncode == 0 else None


def polymod(values):
    c = 1
    for v in values:
        top, c = c >> 25, (c & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            c ^= g if top >> i & 1 else 0
    return c


def hkdf(hash_name, secret, purpose):
    """HKDF without salt, one block: 32 bytes."""
    size = hashlib.new(hash_name).digest_size
    key = hmac.digest(bytes(size), secret, hash_name)
    return hmac.digest(key, purpose + b"\x01", hash_name)[:32]


def identity_of_raw_key(path):
    text = pathlib.Path(path).read_text().strip().removeprefix("raw:")
    try:
        raw = bytes.fromhex(text) if len(text) == 64 else base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==")
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise Stop(f"{path} does not hold 32 bytes in hex or base64.")
    number, prefix = int.from_bytes(hkdf("sha512", raw, b"lastgood/1 raw key"), "big") << 4, "age-secret-key-"
    data = [number >> i & 31 for i in range(255, -1, -5)]
    check = polymod([ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + data + [0] * 6) ^ 1
    data += [check >> i & 31 for i in range(25, -1, -5)]
    return f"# epoch 1\n{prefix}1{''.join(BECH32[d] for d in data)}\n".upper().replace("EPOCH", "epoch").encode()


class Keys:
    def __init__(self, args):
        self.identity_file = args.identity
        self.identity = identity_of_raw_key(args.raw_key_file) if args.raw_key_file else None
        self.slots = sorted((STORE / "keys").glob("*.age"), key=lambda p: int(p.name.split("-")[0]), reverse=True)

    def candidates(self):
        """Identities that may open a backup's key file, each as (text, file)."""
        if self.identity or self.identity_file:
            yield self.identity, self.identity_file
            for slot in self.slots:
                yield age(slot, self.identity, self.identity_file), None
        for slot in [] if self.identity or self.identity_file else self.slots:
            if b"-> scrypt " in slot.read_bytes()[:100]:
                say(f"Unlocking {slot.relative_to(STORE)} with its passphrase ...")
                yield age(slot), None

    def data_key(self, manifest):
        if manifest.header.get("encryption") is None:
            return None
        wrapped = sorted(manifest.folder.glob("key-*.age"))
        if not wrapped:
            raise Stop(f"{manifest.folder}/key-0001.age is missing: nothing opens this backup without it. Look for another copy.")
        for identity, identity_file in self.candidates():
            if not identity and not identity_file:
                continue
            key = age(wrapped[-1], identity, identity_file)
            if key:
                # The next backup is opened by the same identity, without asking again.
                self.identity, self.identity_file = identity, identity_file
                return bytes.fromhex(key.decode())
        raise Stop("None of the keys fits. Check the passphrase, or give --identity FILE or --raw-key-file FILE.\n"
                   "A slot of a key provider (keys/*.sealed) has to be opened by that provider; give what it holds as --identity.")

    def check_author(self, manifest, accept_unknown):
        auth, known = manifest.auth or {"scheme": "none"}, False
        if auth["scheme"] == "hmac-sha256":
            epochs = re.findall(r"# epoch (\d+).*\s+AGE-SECRET-KEY-1(\S{52})", (self.text() or b"").decode())
            for epoch, digits in epochs:
                number = 0
                for c in digits.lower():
                    number = number << 5 | BECH32.index(c)
                if int(epoch) == auth["epoch"]:
                    key = hkdf("sha256", (number >> 4).to_bytes(32, "big"), b"lastgood/1 manifest authentication")
                    if not hmac.compare_digest(hmac.digest(key, manifest.signed, "sha256").hex(), auth["tag"]):
                        raise Stop("The manifest was altered, or written by somebody without the store's key. Do not trust it.")
                    known = True
        elif auth["scheme"] == "ed25519":
            say(f"Signed by the host {auth['signer']}: check that this is one of yours.")
        if not known and manifest.header.get("encryption") and not accept_unknown:
            raise Stop("It cannot be told here who wrote this backup: encrypting needs no secret. If you trust this copy of the\n"
                       "store, run this again with --accept-unknown.")

    def text(self):
        return self.identity or (pathlib.Path(self.identity_file).read_bytes() if self.identity_file else None)


# --- volumes and files ---

def check_volume(manifest, name):
    """The volume's SHA-256 is the one in the manifest and in the file beside it."""
    path, digest = manifest.folder / name, hashlib.sha256()
    if not path.is_file():
        raise Stop(f"{path} is missing. Look for another copy of it.")
    say(f"Checking {path.relative_to(STORE)} ...")
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    expected = {v["name"]: v["sha256"] for v in manifest.header["volumes"]}.get(name)
    beside = path.with_name(name + ".sha256")
    if digest.hexdigest() != expected or (beside.is_file() and beside.read_text().split()[0] != expected):
        raise Stop(f"{path} is damaged: its SHA-256 is not the one it was stored with. Use another copy, or another backup.")


def copy_parts(manifest, key, name, parts, out):
    """Copies parts, each (offset in the volume, length, file, offset in the file), out of one volume."""
    take = (lambda data: data or b"") if key is None else decryptor(key, manifest.context(name))
    parts, begin = collections.deque(sorted(parts)), 0
    with (manifest.folder / name).open("rb") as sealed:
        ended = False
        while not ended:
            data = sealed.read(PIECE)
            ended = not data
            piece = take(data or None)
            for offset, length, file, at in parts:
                first, last = max(offset, begin), min(offset + length, begin + len(piece))
                if first >= begin + len(piece):
                    break
                if first < last:
                    with (out / file).open("r+b") as target:
                        target.seek(at + first - offset)
                        target.write(piece[first - begin:last - begin])
            begin += len(piece)
            while parts and parts[0][0] + parts[0][1] <= begin:
                parts.popleft()
    if parts:
        raise Stop(f"{name} is shorter than the manifest says. Use another copy.")


def recover(args):
    target, out = STORE / args.backup, pathlib.Path(args.out)
    if out.exists():
        raise Stop(f"{out} exists already. Give a folder that does not exist yet.")
    keys, main = Keys(args), Manifest(target)
    opened = {main.header["id"]: (main, keys.data_key(main))}
    keys.check_author(main, args.accept_unknown)
    body, work = main.open_body(opened[main.header["id"]][1]), collections.defaultdict(list)
    partial = out.with_name(out.name + ".partial")
    partial.mkdir(parents=True)
    for file in body["files"]:
        name = file["name"] + {"zstd": ".zst", "gzip": ".gz", "none": ""}[file["codec"]]
        if partial.resolve() not in (partial / name).resolve().parents:
            raise Stop(f"The file name {name!r} leads out of the folder.")
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).touch()
        at = 0
        for part in file["parts"]:
            where = part["at"]
            work[where.get("backup") or main.header["id"], where["volume"]].append((where["offset"], where["length"], name, at))
            at += where["length"]
    # Everything is looked at before anything is unpacked.
    for backup, volume in work:
        if backup not in opened:
            base = Manifest(target.parent / backup)
            opened[backup] = base, keys.data_key(base)
        check_volume(opened[backup][0], volume)
    for (backup, volume), parts in work.items():
        say(f"Opening {backup}/{volume} ...")
        copy_parts(*opened[backup], volume, parts, partial)
    partial.rename(out)
    say(f"\n{len(body['files'])} files of {main.header['database']} as of {main.header['started_at']} (UTC) are in {out}")
    say(NEXT[main.header["engine"]].format(out=out))


NEXT = {
    "postgres": """This is pg_dump's directory format. Load it into a new database:
    find {out} -name '*.zst' -exec unzstd -q --rm {{}} +
    createdb NEW && pg_restore -j 2 --exit-on-error -d NEW {out}
(Roles that own things must exist; `pg_restore --no-owner --no-acl` does without.)""",
    "sqlite": """This is the database file itself. Unpack it and look whether it is whole:
    find {out} -name '*.zst' -exec unzstd -q --rm {{}} +
    sqlite3 {out}/*.db 'PRAGMA integrity_check; PRAGMA foreign_key_check;'""",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backup", nargs="?", help="DATABASE/BACKUP-ID")
    parser.add_argument("out", nargs="?", help="a new folder for the dump's files")
    parser.add_argument("--identity", metavar="FILE")
    parser.add_argument("--raw-key-file", metavar="FILE")
    parser.add_argument("--accept-unknown", action="store_true")
    args = parser.parse_args()
    if args.backup and args.out:
        return recover(args)
    say("Backups here; give one of them and a new folder:")
    for path in sorted(STORE.glob("*/backup-*/manifest.json")):
        print(path.parent.relative_to(STORE).as_posix())


if __name__ == "__main__":
    try:
        main()
    except Stop as problem:
        sys.exit(f"\nSTOP: {problem}")
    except ImportError:
        sys.exit('\nSTOP: The Python package `cryptography` 50 or newer is missing. Install it:\n'
                 '    python3 -m venv /tmp/recover && /tmp/recover/bin/pip install "cryptography>=50"\n'
                 "and run this again with /tmp/recover/bin/python.")
    except KeyboardInterrupt:
        sys.exit("\nSTOP: interrupted.")
