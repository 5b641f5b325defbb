#!/usr/bin/env python3
"""Opens a backup of this store without lastgood.

    python3 recover.py                                   what is here
    python3 recover.py shop/backup-20251121-020001 OUT   puts that backup's dump files into the new folder OUT

Needs Python 3.10 or newer and, for encrypted backups, `pip install "cryptography>=50"` and the `age` program
(https://age-encryption.org). Run it in a copy of the store on a local disk. It only reads the store.

`age` asks for the passphrase. Without one:

    --identity FILE       an age identity or SSH private key that the store, or this backup, was encrypted to
    --raw-key-file FILE   a file with the raw 32-byte key, in hex or base64 (with or without "raw:")
    --signer KEY          believe the host with this public key (lastgood-signer1...), if it signed the backup
    --accept-unknown      go on although it cannot be told who wrote the backup
"""
import argparse, base64, collections, hashlib, hmac, json, pathlib, re, struct, subprocess, sys, zlib

STORE = pathlib.Path(__file__).resolve().parent
PIECE = 1 << 20
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
PROVIDER = b"lastgood-provider/1 "


class Stop(Exception):
    """Something is wrong, in words for the person at the keyboard."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Manifest:
    """manifest.json: {"header":H,"body":B,"auth":A}. Hashes are taken of H and B exactly as they stand there."""

    def __init__(self, folder):
        path, at, self.folder, self.sha256 = folder / "manifest.json", 0, folder, {}
        if not path.is_file():
            raise Stop(f"{path} is missing: {folder.name} is not a complete backup. Choose another one.")
        try:
            text = path.read_text("utf-8")
            for name, before in (("header", '{"header":'), ("body", ',"body":'), ("auth", ',"auth":')):
                if not text.startswith(before, at):
                    raise ValueError
                start = at + len(before)
                value, at = json.JSONDecoder().raw_decode(text, start)
                setattr(self, name, value)
                self.sha256[name] = hashlib.sha256(text[start:at].encode()).hexdigest()
        except ValueError:
            raise Stop(f"{path} is damaged. Use another copy of it, or another backup.") from None
        if self.header["format"] != 1 or self.header["requires"]:
            raise Stop("This backup was made by a newer lastgood. Use the recover.py of its own store.")
        if self.header["id"] != folder.name:
            raise Stop(f"{path} is the one of {self.header['id']}: it was moved here. Put it back first.")
        self.signed = f"lastgood/1 manifest\n{self.sha256['header']}\n{self.sha256['body']}\n".encode()

    def unseal(self, key, *names):
        """A function from sealed bytes to plain ones, for the object of these names; None ends it."""
        from cryptography.cobblestone import Cobblestone256Decryptor
        from cryptography.exceptions import InvalidTag
        parts = ["lastgood/1", self.header["repository"], self.header["id"], *names]
        opener = Cobblestone256Decryptor(key, b"".join(struct.pack("<I", len(p)) + p.encode() for p in parts))

        def take(data):
            try:
                return opener.finalize() if data is None else opener.update(data)
            except InvalidTag:
                raise Stop(f"{self.folder / names[0]} does not fit its key: it was altered, cut or moved here.\n"
                           "Use another copy of it, or another backup.") from None
        return take

    def open_body(self, key):
        if key is None:
            return self.body
        take = self.unseal(key, "manifest.json", self.sha256["header"])
        return json.loads(zlib.decompress(take(base64.b64decode(self.body)) + take(None)))


def age(path, identity):
    """What `age` decrypts of a file, or None. `identity` is a file's path or an identity's text (it never touches the disk);
    with None, age asks for a passphrase on the terminal."""
    text = identity if isinstance(identity, bytes) else None
    chosen = [] if identity is None else ["--identity", "-" if text else identity]
    try:
        done = subprocess.run(["age", "--decrypt", *chosen, str(path)], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise Stop("The program `age` is missing: apt install age, brew install age, or https://age-encryption.org") from None
    if done.returncode == 0:
        return done.stdout
    Keys.refusals.append(f"{path.relative_to(STORE)}: {done.stderr.decode(errors='replace').strip().splitlines()[:1]}")
    return None


def bech32_bytes(digits):
    """The 32 bytes in Bech32 digits, without the checksum: a mistyped key fails where it is used."""
    return (int("".join(f"{BECH32.index(c):05b}" for c in digits[:52]), 2) >> 4).to_bytes(32, "big")


def hkdf(hash_name, secret, purpose):
    """HKDF without salt, first 32 bytes."""
    key = hmac.digest(bytes(hashlib.new(hash_name).digest_size), secret, hash_name)
    return hmac.digest(key, purpose + b"\x01", hash_name)[:32]


def identity_of_raw_key(path):
    """The age identity that follows from a raw key: HKDF-SHA-512, written in Bech32."""
    text = pathlib.Path(path).read_text().strip().removeprefix("raw:")
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/") + "="
        raw = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(plain, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise Stop(f"{path} does not hold 32 bytes in hex or base64.")
    number, prefix, check = int.from_bytes(hkdf("sha512", raw, b"lastgood/1 raw key"), "big") << 4, "age-secret-key-", 1
    digits = [number >> i & 31 for i in range(255, -1, -5)]
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + digits + [0] * 6:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= g if top >> i & 1 else 0
    digits += [(check ^ 1) >> i & 31 for i in range(25, -1, -5)]
    return (prefix + "1" + "".join(BECH32[d] for d in digits)).upper().encode()


class Keys:
    refusals = []

    def __init__(self, args):
        self.given = identity_of_raw_key(args.raw_key_file) if args.raw_key_file else args.identity
        self.signer, self.accept_unknown = args.signer, args.accept_unknown
        slots = [p for p in (STORE / "keys").glob("[0-9]*-*.age")]
        self.slots = sorted(slots, key=lambda p: int(p.name.split("-")[0]), reverse=True)
        self.found = []

    def identities(self):
        """What may open a backup: what opened the one before, what the store's key slots hold, and what was given itself."""
        yield from self.found
        for slot in self.slots if not self.found else []:
            head = slot.read_bytes()[:200]
            if head.startswith(PROVIDER):
                say(f"{slot.relative_to(STORE)} is for a key provider: let it open what follows the first line of the file,\n"
                    "and give the result as --identity.")
            elif self.given or b"\n-> scrypt " in head:
                if not self.given:
                    say(f"Unlocking {slot.relative_to(STORE)} with its passphrase ...")
                if identity := age(slot, self.given):
                    yield identity
        if self.given:
            yield self.given

    def open(self, manifest):
        """The backup's own key, once it is certain who wrote the manifest."""
        key = self.data_key(manifest)
        if not self.is_ours(manifest) and not self.accept_unknown:
            raise Stop("It cannot be told here who wrote this backup: making one that opens needs no secret.\n"
                       "Give the writing host's public key as --signer, or the store's identity as --identity; or, if you trust\n"
                       "this copy of the store, run this again with --accept-unknown.")
        return key

    def data_key(self, manifest):
        """What the highest key-NNNN.age holds; None for a backup that is not encrypted."""
        if manifest.header["encryption"] is None:
            return None
        wrapped = max(manifest.folder.glob("key-*.age"), default=None)
        if not wrapped:
            raise Stop(f"{manifest.folder}/key-0001.age is missing, and nothing else opens this backup. Look for another copy.")
        for identity in self.identities():
            if key := age(wrapped, identity):
                self.found = [identity]  # Nobody types a passphrase twice.
                return bytes.fromhex(key.decode())
        raise Stop("\n".join(["No key fits. Check the passphrase, or give --identity FILE or --raw-key-file FILE.", *self.refusals]))

    def is_ours(self, manifest):
        """Whether it is certain that a host of the store wrote this: anybody can encrypt."""
        auth = manifest.auth
        if auth["scheme"] == "ed25519":
            say(f"Signed by the host {auth['signer']}")
            return auth["signer"] == self.signer and self.signed(manifest, auth)
        if auth["scheme"] == "sha256" and manifest.header["encryption"] is None and not self.slots:
            say("This store is not encrypted: nothing tells who wrote it.")
            if auth["digest"] != hashlib.sha256(manifest.signed).hexdigest():
                raise Stop("manifest.json was altered. Use another copy of it, or another backup.")
            return True
        if auth["scheme"] != "hmac-sha256" or not self.found:
            return False
        text = self.found[0] if isinstance(self.found[0], bytes) else pathlib.Path(self.found[0]).read_bytes()
        for epoch, digits in re.findall(r"# epoch (\d+).*\r?\n *AGE-SECRET-KEY-1([A-Z0-9]{58})", text.decode(errors="replace")):
            if int(epoch) == auth["epoch"]:
                key = hkdf("sha256", bech32_bytes(digits.lower()), b"lastgood/1 manifest authentication")
                if hmac.digest(key, manifest.signed, "sha256").hex() == auth["tag"]:
                    return True
                raise Stop("manifest.json was altered, or written by somebody without the store's key. Do not use this backup.")
        return False

    def signed(self, manifest, auth):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        public = Ed25519PublicKey.from_public_bytes(bech32_bytes(self.signer.removeprefix("lastgood-signer1")))
        try:
            public.verify(base64.b64decode(auth["signature"]), manifest.signed)
        except InvalidSignature:
            raise Stop("manifest.json was altered: its signature does not fit. Do not use this backup.") from None
        return True


def check_volume(manifest, name):
    """Stops unless the volume's SHA-256 is the one in the manifest and in the file beside it."""
    path, digest = manifest.folder / name, hashlib.sha256()
    if not path.is_file():
        raise Stop(f"{path} is missing. Look for another copy of it.")
    say(f"Checking {path.relative_to(STORE)} ...")
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    expected = {v["name"]: v["sha256"] for v in manifest.header["volumes"]}.get(name)
    beside = path.with_name(name + ".sha256")
    if digest.hexdigest() != expected or (beside.is_file() and beside.read_text().split()[:1] != [expected]):
        raise Stop(f"{path} is damaged: its SHA-256 is not the one it was stored with. Use another copy of it, or another backup.")


def copy_parts(manifest, key, name, parts, out):
    """Opens one volume from end to end and copies parts out of it: (offset, length, file, offset in the file)."""
    take, begin, todo = manifest.unseal(key, name) if key else (lambda data: data or b""), 0, collections.deque(sorted(parts))
    with (manifest.folder / name).open("rb") as sealed:
        data = True
        while data:
            data = sealed.read(PIECE)
            piece = take(data or None)
            end = begin + len(piece)
            for offset, length, file, at in todo:
                if offset >= end:
                    break
                first, last = max(offset, begin), min(offset + length, end)
                with (out / file).open("r+b") as target:
                    target.seek(at + first - offset)
                    target.write(piece[first - begin:last - begin])
            while todo and sum(todo[0][:2]) <= end:
                todo.popleft()
            begin = end
    if todo:
        raise Stop(f"{manifest.folder / name} is shorter than the manifest says. Use another copy of it.")


def recover(args):
    folder, out = STORE / args.backup, pathlib.Path(args.out)
    partial = out.with_name(out.name + ".partial")
    if out.exists() or partial.exists():
        raise Stop(f"{out} or {partial} exists already. Give a folder that does not exist yet.")
    keys, manifest = Keys(args), Manifest(folder)
    header, key = manifest.header, keys.open(manifest)
    opened, work, body = {header["id"]: (manifest, key)}, collections.defaultdict(list), manifest.open_body(key)
    partial.mkdir(parents=True)
    for file in body["files"]:
        name, at = file["name"] + {"zstd": ".zst", "gzip": ".gz", "none": ""}[file["codec"]], 0
        if partial.resolve() not in (partial / name).resolve().parents:
            raise Stop(f"The file name {name!r} leads out of the folder: do not use this backup.")
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).touch()
        for where in (part["at"] for part in file["parts"]):
            work[where.get("backup") or header["id"], where["volume"]].append((where["offset"], where["length"], name, at))
            at += where["length"]
    for backup, volume in work:  # All are checked before any is opened.
        if backup not in opened:
            base = Manifest(folder.parent / backup)
            opened[backup] = base, keys.open(base)
        check_volume(opened[backup][0], volume)
    for (backup, volume), parts in work.items():
        say(f"Opening {backup}/{volume} ...")
        copy_parts(*opened[backup], volume, parts, partial)
    partial.rename(out)
    say(f"\nDone: {header['database']} as of {header['started_at']}, {len(body['files'])} files in {out}.")
    say(NEXT[header["engine"]].format(out))


UNPACK = "    find {0} -name '*.zst' -exec unzstd -q --rm {{}} + ; find {0} -name '*.gz' -exec gunzip {{}} +\n"
NEXT = {
    "postgres": "It is pg_dump's directory format. Load it into a new database (its roles must exist; --no-owner does without):\n"
                + UNPACK + "    createdb NEW && pg_restore -j 2 --exit-on-error -d NEW {0}",
    "mysql": "It is mydumper's layout. Load it into a new database, by myloader or by the mariadb client:\n"
             + UNPACK + "    myloader -t 2 -B NEW -d {0}\n"
             + "    mariadb -e 'CREATE DATABASE NEW' && cd {0} && cat *.*-schema.sql *.*.[0-9]*.sql *-schema-post.sql"
             + " *-schema-view.sql *-schema-triggers.sql | mariadb --binary-mode NEW\n"
             + "Several databases (several *-schema-create.sql) get the names that they had: myloader -t 2 -d {0}",
    "mongodb": "It is mongodump's directory. Load it (--nsFrom and --nsTo give databases other names; with --oplogReplay\n"
               + "instead, if there is an oplog.bson: only with it the documents are of one moment):\n"
               + UNPACK + "    mongorestore --dir {0}",
    "sqlite": "It is the database file itself. Unpack it and see that it is whole:\n"
              + UNPACK + "    sqlite3 {0}/*.db 'PRAGMA integrity_check; PRAGMA foreign_key_check;'",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backup", nargs="?", help="DATABASE/BACKUP-ID")
    parser.add_argument("out", nargs="?", help="a new folder for the dump's files")
    parser.add_argument("--identity", metavar="FILE")
    parser.add_argument("--raw-key-file", metavar="FILE")
    parser.add_argument("--signer", metavar="KEY")
    parser.add_argument("--accept-unknown", action="store_true")
    args = parser.parse_args()
    if args.backup and args.out:
        return recover(args)
    say("Backups here; give one of them and a new folder:")
    for path in sorted(STORE.glob("*/backup-*/manifest.json")):
        # A void says that it is no backup any more: it was being deleted, or its run was given up.
        if not (path.parent.parent / "control" / (path.parent.name + ".void")).exists():
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
    except OSError as problem:
        sys.exit(f"\nSTOP: {problem}")
