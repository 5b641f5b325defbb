#!/usr/bin/env python3
"""Makes the typed half of the package from core/api.json: what the core adds there appears in Python by itself.

python generate.py          writes python/lastgood/_types.py and _vaults.py
python generate.py --check  fails when they are not what core/api.json says
"""

from __future__ import annotations

import builtins
import collections.abc
import json
import keyword
import re
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Schema = dict[str, Any]

MADE = "# Made by generate.py from core/api.json: change that, and run it again.\n"


@dataclass
class Type:
    """A type as Python writes it, and the converter of `_values` that makes it."""

    name: str
    converter: str = "_values.PLAIN"
    given: str = ""
    """How it is annotated where it is taken; empty when that is no different."""
    secret: bool = False

    @property
    def taken(self) -> str:
        return self.given or self.name


class Api:
    """core/api.json, and what its names are in Python."""

    def __init__(self, text: str) -> None:
        self.data = json.loads(text)
        self.defs: dict[str, Schema] = self.data["$defs"]
        self.verbs: list[Schema] = self.data["verbs"]
        options = [self.data["vault"], *(verb["options"] for verb in self.verbs)]
        self.option_names = {name_of(schema) for schema in options}
        given = [self.data["schedule"]["plan"], *(self.defs[name] for name in self.option_names)]
        self.inputs = set(self.reach(given)) - self.option_names
        outputs = [self.data["progress"], self.data["schedule"]["status"], *(verb["report"] for verb in self.verbs)]
        self.outputs = set(self.reach(outputs)) - self.inputs

    def reach(self, roots: Iterable[Schema], seen: set[str] | None = None) -> Iterator[str]:
        """Every named type below these."""
        seen = set() if seen is None else seen
        for root in roots:
            for name in re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(root)):
                if name not in seen:
                    seen.add(name)
                    yield name
                    yield from self.reach([self.defs[name]], seen)

    def type_of(self, schema: Schema | bool, unit: str = "") -> Type:
        """The type of a value with this schema; a number with a unit is a timedelta."""
        if isinstance(schema, bool):
            return Type("Any")
        if "$ref" in schema:
            return self.named(name_of(schema))
        if "anyOf" in schema or isinstance(schema.get("type"), list):
            return optional(self.type_of(without_null(schema), unit))
        match schema.get("type"):
            case "integer" if unit:
                return Type("timedelta", f"_values.{unit}", given="float | timedelta")
            case "number" if unit:
                return Type("timedelta", f"_values.EXACT_{unit}", given="float | timedelta")
            case "integer":
                return Type("int")
            case "number":
                return Type("float")
            case "boolean":
                return Type("bool")
            case "null":
                return Type("None")
            case "string":
                return self.text(schema)
            case "array":
                item = self.type_of(schema["items"])
                name = f"tuple[{item.name}, ...]"
                return Type(name, f"_values.each({item.converter})", f"Sequence[{item.taken}]", item.secret)
            case "object" if "properties" not in schema:
                item = self.type_of(schema.get("additionalProperties", True))
                name = f"Mapping[str, {item.name}]"
                return Type(name, f"_values.mapped({item.converter})", f"Mapping[str, {item.taken}]", item.secret)
            case None if not set(schema) - {"description", "default"}:
                return Type("Any")
        raise SystemExit(f"generate.py knows no Python type for {json.dumps(schema)}")

    def text(self, schema: Schema) -> Type:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values:
            return Type(literal(values))
        match schema.get("format"):
            case "date-time":
                return Type("datetime", "_values.TIMESTAMP")
            case "path":
                return Type("Path", "_values.PATH", given="str | os.PathLike[str]")
            case "url-or-path":
                return Type("str", "_values.PATH_OR_TEXT", given="str | os.PathLike[str]")
            case None:
                return Type("str")
        raise SystemExit(f"generate.py knows no Python type for the format of {json.dumps(schema)}")

    def named(self, name: str) -> Type:
        schema = self.defs[name]
        if schema.get("type") == "object":
            return Type(class_name(name), f"_values.nested(lambda: {class_name(name)})")
        if "oneOf" in schema or "enum" in schema:
            return Type(class_name(name))
        made = self.type_of(schema)
        made.secret = made.secret or name == "Secret"
        return made

    # --- _types.py

    def types(self) -> str:
        kinds = "".join(f'    "{kind}": {error_name(kind)},\n' for kind in self.kinds())
        kinds = f"KINDS: dict[str, type[BackupError]] = {{\n{kinds}}}\n"
        parts = [TYPES_HEAD, self.error_codes(), *self.errors(), kinds]
        for name, schema in self.defs.items():
            if name not in self.inputs | self.outputs:
                continue
            if "oneOf" in schema or "enum" in schema:
                parts.append(self.choice(name, schema))
            elif schema.get("type") == "object":
                parts.append(self.data_class(name, schema))
        names = sorted(re.findall(r"^(?:class (\w+)|(\w+): TypeAlias)", "\n".join(parts), re.MULTILINE))
        exported = "".join(f'    "{a or b}",\n' for a, b in sorted(names, key=lambda n: n[0] or n[1]))
        return "\n\n".join([*parts, f"__all__ = [\n{exported}]\n"]).replace("\n\n\n\n", "\n\n\n")

    def kinds(self) -> list[str]:
        return list(dict.fromkeys(c["kind"] for c in self.data["codes"]))

    def error_codes(self) -> str:
        codes = "".join(f'    "{c["code"]}",\n' for c in self.data["codes"])
        return f'ErrorCode: TypeAlias = Literal[\n{codes}]\n"""The codes that errors have."""\n'

    def errors(self) -> Iterator[str]:
        for kind in self.kinds():
            codes = [c for c in self.data["codes"] if c["kind"] == kind]
            text = "".join(wrap(f"- `{c['code']}`: {plain(c['doc'])}", 4, hang=2) for c in codes)
            yield (
                f'class {error_name(kind)}(BackupError):\n    """Errors of the kind `{kind}`, by their codes.\n\n{text}    """\n\n'
                f'    kind: ClassVar[str] = "{kind}"\n'
            )

    def choice(self, name: str, schema: Schema) -> str:
        values = [one.get("const") for one in schema["oneOf"]] if "oneOf" in schema else schema["enum"]
        if None in values:
            raise SystemExit(f"generate.py knows no Python type for {name}: {json.dumps(schema)}")
        head = f"{class_name(name)}: TypeAlias = "
        words = literal(values)
        if len(head + words) > 120:
            words = words.replace("[", "[\n    ").replace(", ", ",\n    ").replace("]", ",\n]")
        return f'{head}{words}\n"""{plain(schema.get("description", name))}"""\n'

    def data_class(self, name: str, schema: Schema) -> str:
        given = name in self.inputs
        lines = [f"@dataclass(frozen=True, slots=True, kw_only=True)\nclass {class_name(name)}(Data):\n"]
        lines.append(docstring(schema.get("description", name), 4))
        required = schema.get("required", [])
        ordered = [*required, *(key for key in schema["properties"] if key not in required)]
        for key in ordered:
            field = schema["properties"][key]
            attribute, unit = python_name(key, schema["properties"])
            kind = self.type_of(field, unit)
            absent = key not in required
            annotation = kind.taken if given else kind.name
            if absent and annotation != "Any" and not annotation.endswith("| None"):
                annotation += " | None"
            metadata = f'_values.key("{key}"' + (")" if kind.converter == "_values.PLAIN" else f", {kind.converter})")
            arguments = [*(["default=None"] if absent else []), *(["repr=False"] if kind.secret else [])]
            arguments.append(f"metadata={metadata}")
            lines.append("\n" + fitted(f"    {attribute}: {annotation} = field(", arguments, ")"))
            told = field.get("description", attribute)
            lines.append(docstring(without_unit(told) if unit else told, 4))
        return "".join(lines)

    # --- _vaults.py

    def vaults(self) -> str:
        imported = "".join(f"    {name},\n" for name in sorted(self.imported()))
        parts = [VAULTS_HEAD.replace("IMPORTS", f"(\n{imported})")]
        for asynchronous in (False, True):
            parts.append(self.vault_class(asynchronous))
        return "\n\n".join(parts)

    def imported(self) -> set[str]:
        named = {class_name(name) for name in self.inputs | self.outputs}
        # As annotations and converters have them; documentation has them in backquotes.
        return {name for name in named if re.search(rf"(?<!`)\b{name}\b(?!`)", self.vault_class(False))}

    def vault_class(self, asynchronous: bool) -> str:
        name, base, doc = VAULT[asynchronous]
        options = self.parameters(self.data["vault"])
        signature = "".join(f"        {p}: {t} = None,\n" for p, _, t, _, _ in options)
        given = "".join(f'                "{key}": {encoded(p, c)},\n' for p, key, _, c, _ in options)
        described = docstring(
            "What is absent is taken from the environment (`DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` …).",
            8,
            [(p, d) for p, _, _, _, d in options],
        )
        lines = [
            f"class {name}({base}):\n{docstring(doc, 4)}\n",
            f"    def __init__(\n        self,\n        *,\n{signature}    ) -> None:\n{described}",
            f"        super().__init__(\n            {{\n{given}            }}\n        )\n",
        ]
        lines += [self.method(verb, asynchronous) for verb in self.verbs]
        return "".join(lines)

    def parameters(self, options: Schema, leave: Iterable[str] = ()) -> list[tuple[str, str, str, str, str]]:
        """Name, name in JSON, annotation, converter and description of each option."""
        found = []
        properties = self.defs[name_of(options)].get("properties", {})
        for key, schema in properties.items():
            if key in leave:
                continue
            name, unit = python_name(key, properties, OF_EVERY_VERB)
            kind = self.type_of(schema, unit)
            annotation = kind.taken if kind.taken.endswith("| None") else f"{kind.taken} | None"
            told = schema.get("description", "")
            told = re.sub("^Seconds", "Seconds (or a timedelta)", told) if unit else told
            found.append((name, key, annotation, kind.converter, told))
        return found

    def method(self, verb: Schema, asynchronous: bool) -> str:
        takes: list[str] = verb["takes"]
        options = self.parameters(verb["options"], takes)
        report = self.type_of(verb["report"])
        if isinstance(verb["report"], dict) and verb["report"].get("type") == "array":
            item = self.type_of(verb["report"]["items"])
            # In the class, `list` is a verb.
            report = Type(f"builtins.list[{item.name}]", f"_values.listed({item.converter})")
        progress = "OnProgressAsync" if asynchronous else "OnProgress"
        signature = "".join(f"        {name}: str,\n" for name in takes) + "        *,\n"
        signature += "".join(f"        {p}: {t} = None,\n" for p, _, t, _, _ in options)
        signature += (
            f"        on_progress: {progress} | None = None,\n        timeout: float | timedelta | None = None,\n"
        )
        given = "".join(f'                "{name}": {name},\n' for name in takes)
        given += "".join(f'                "{key}": {encoded(p, c)},\n' for p, key, _, c, _ in options)
        given = f"{{\n{given}            }}" if given else "{}"
        told = [(p, d) for p, _, _, _, d in options] + COMMON_DOC
        name = python_name(verb["name"])[0]
        awaited, define = ("await ", "async def") if asynchronous else ("", "def")
        return (
            f"\n    {define} {name}(\n        self,\n{signature}    ) -> {report.name}:\n"
            f"{docstring(verb['doc'], 8, told)}"
            f'        report: {report.name} = {awaited}self._run(\n            "{verb["name"]}",\n'
            f"            {given},\n"
            f"            {report.converter},\n            on_progress,\n            timeout,\n        )\n"
            "        return report\n"
        )


def name_of(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def class_name(name: str) -> str:
    """`Warning`, `Mapping` and their like would hide what Python has by that name."""
    hides = any(hasattr(module, name) for module in (builtins, collections.abc, typing))
    return f"Backup{name}" if hides else name


def error_name(kind: str) -> str:
    return "".join(word.title() for word in kind.split("_")) + "Error"


def python_name(key: str, *taken: Iterable[str]) -> tuple[str, str]:
    """The name of an option or a field, without its unit unless that name is taken, and the converter of the unit."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    for suffix, unit in (("_ms", "MILLISECONDS"), ("_millis", "MILLISECONDS"), ("_seconds", "SECONDS")):
        if name.endswith(suffix):
            short = name.removesuffix(suffix)
            return (name if any(short in names for names in taken) else short), unit
    return (f"{name}_" if keyword.iskeyword(name) else name), ""


def without_null(schema: Schema) -> Schema:
    if "anyOf" in schema:
        (one,) = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        return dict(one)
    (kind,) = [kind for kind in schema["type"] if kind != "null"]
    return {**schema, "type": kind}


def optional(kind: Type) -> Type:
    given = f"{kind.given} | None" if kind.given else ""
    return Type(f"{kind.name} | None", kind.converter, given, kind.secret)


def literal(values: Iterable[str]) -> str:
    return f"Literal[{', '.join(json.dumps(v) for v in values)}]"


def fitted(head: str, items: list[str], tail: str) -> str:
    """On one line, or with the items on lines of their own."""
    line = f"{head}{', '.join(items)}{tail}\n"
    if len(line) <= 121:
        return line
    inner = ", ".join(items)
    inner = f"        {inner}\n" if len(inner) <= 112 else "".join(f"        {item},\n" for item in items)
    return f"{head}\n{inner}    {tail}\n"


def encoded(name: str, converter: str) -> str:
    return name if converter == "_values.PLAIN" else f"{converter}.encode({name})"


def plain(text: str) -> str:
    """Rust's links as text."""
    text = re.sub(r"\[`([^`]*)`\](\([^)]*\))?", lambda m: f"`{m[1].replace('::', '.')}`", text)
    return text.replace("\n", " ").replace("\\", "\\\\")


def wrap(text: str, indent: int, hang: int = 0) -> str:
    first, rest = " " * indent, " " * (indent + hang)
    lines = textwrap.wrap(text, 118, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in lines)


def without_unit(text: str) -> str:
    """What is told of a number of seconds, for a timedelta."""
    text = re.sub("^(Millis|S)econds( that are)?", lambda m: "Time that is" if m[2] else "Time", text)
    return re.sub(",? in (milli)?seconds", "", text)


def docstring(text: str, indent: int, arguments: Iterable[tuple[str, str]] = ()) -> str:
    margin = " " * indent
    text = plain(text)
    short = f'{margin}"""{text}"""\n'
    arguments = list(arguments)
    if not arguments and len(short) <= 120:
        return short
    summary, _, rest = text.partition(". ") if len(short) > 120 else (text.rstrip("."), "", "")
    lines = [f'{margin}"""{summary.rstrip(".")}.\n'] if len(summary) < 110 else [wrap(f'"""{text}', indent)]
    if rest and len(summary) < 110:
        lines += ["\n", wrap(rest, indent)]
    if arguments:
        lines.append(f"\n{margin}Args:\n")
        lines += [wrap(f"{name}: {plain(told)}", indent + 4, hang=4) for name, told in arguments]
    return "".join([*lines, f'{margin}"""\n'])


OF_EVERY_VERB = ("on_progress", "timeout")

COMMON_DOC = [
    (
        "on_progress",
        "Called with a `Progress` now and then, where this call was made; an exception in it cancels the work.",
    ),
    ("timeout", "Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised."),
]

VAULT = {
    False: (
        "Vault",
        "SyncVault",
        "One database and the store that its backups lie in. Use it in a `with` block, or call `close`.",
    ),
    True: (
        "AsyncVault",
        "AsyncVaultBase",
        "A `Vault` for asyncio: every verb is a coroutine. Use it in an `async with` block.",
    ),
}

TYPES_HEAD = f'''"""What goes into verbs and comes out of them, and the errors."""

{MADE}
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from . import _values
from ._errors import BackupError
from ._values import Data'''

VAULTS_HEAD = f'''"""The two vaults and their verbs."""

{MADE}
from __future__ import annotations

import builtins
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from . import _values
from ._async import AsyncVaultBase, OnProgressAsync
from ._sync import OnProgress, SyncVault
from ._types import IMPORTS
'''


def tidy(text: str) -> str:
    """Leaves out imports that nothing uses."""
    head, _, body = text.partition("\nfrom . import")

    def used(match: re.Match[str]) -> str:
        names = [n for n in match[2].split(", ") if re.search(rf"\b{n}\b", body)]
        return f"{match[1]}{', '.join(names)}\n" if names else ""

    head = re.sub(r"^(from (?!__future__)\S+ import )(.*)\n", used, head, flags=re.MULTILINE)
    head = re.sub(
        r"^import (\w+)\n", lambda m: m[0] if re.search(rf"\b{m[1]}\.", body) else "", head, flags=re.MULTILINE
    )
    return f"{head}\nfrom . import{body}"


def main() -> int:
    """Writes the files, or compares them."""
    api = Api((HERE.parent / "core/api.json").read_text("utf-8"))
    status = 0
    for name, text in (("_types.py", tidy(api.types())), ("_vaults.py", tidy(api.vaults()))):
        path = HERE / "python/lastgood" / name
        if sys.argv[1:] != ["--check"]:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            print(f"{path.name} is not what core/api.json says: run bindings-python/generate.py")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
