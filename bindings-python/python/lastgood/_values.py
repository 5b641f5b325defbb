"""Values on their way between Python and JSON: one converter a kind of value, each in both directions."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T", bound="Data")


class Converter(Protocol):
    """Converts one kind of value; `None` stays `None`."""

    def decode(self, value: Any) -> Any:
        """Makes of JSON what Python programs like to have."""

    def encode(self, value: Any) -> Any:
        """Makes JSON of what Python programs like to give."""


class _Simple:
    def __init__(self, decode: Callable[[Any], Any], encode: Callable[[Any], Any]) -> None:
        self._decode, self._encode = decode, encode

    def decode(self, value: Any) -> Any:
        return None if value is None else self._decode(value)

    def encode(self, value: Any) -> Any:
        return None if value is None else self._encode(value)


def _timestamp(text: str) -> datetime:
    # Python 3.10 reads neither `Z` nor nanoseconds.
    parts = re.fullmatch(r"(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text, re.ASCII)
    if parts is None:
        raise ValueError(f"{text!r} is not a timestamp")
    whole, fraction, zone = parts.groups()
    micros = (fraction or "").ljust(6, "0")[:6]
    return datetime.fromisoformat(f"{whole}.{micros}{'+00:00' if zone == 'Z' else zone}").astimezone(timezone.utc)


def _text_of_timestamp(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: give datetime(..., tzinfo=timezone.utc), for example")
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def seconds(value: float | timedelta) -> float:
    """Seconds of a number of seconds or a timedelta."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _path_or_text(value: str | os.PathLike[str]) -> str:
    return os.fspath(value)


def _sequence(value: Any) -> list[Any]:
    # A lone text is a sequence of texts, too, and never what was meant.
    if isinstance(value, (str, bytes)):
        raise TypeError(f"give a list of texts, such as [{value!r}]")
    return list(value)


PLAIN: Converter = _Simple(lambda v: v, lambda v: v)
TIMESTAMP: Converter = _Simple(_timestamp, _text_of_timestamp)
MILLISECONDS: Converter = _Simple(lambda v: timedelta(milliseconds=v), lambda v: round(seconds(v) * 1000))
SECONDS: Converter = _Simple(lambda v: timedelta(seconds=v), lambda v: round(seconds(v)))
EXACT_MILLISECONDS: Converter = _Simple(lambda v: timedelta(milliseconds=v), lambda v: seconds(v) * 1000)
EXACT_SECONDS: Converter = _Simple(lambda v: timedelta(seconds=v), seconds)
PATH: Converter = _Simple(Path, _path_or_text)
PATH_OR_TEXT: Converter = _Simple(lambda v: v, _path_or_text)


def each(item: Converter) -> Converter:
    """A list of such values; a tuple in Python, so that reports cannot be changed."""
    return _Simple(
        lambda values: tuple(item.decode(v) for v in values), lambda values: [item.encode(v) for v in _sequence(values)]
    )


def listed(item: Converter) -> Converter:
    """The same, as a list."""
    return _Simple(lambda values: [item.decode(v) for v in values], lambda values: [item.encode(v) for v in values])


def mapped(item: Converter) -> Converter:
    """An object with such values."""
    return _Simple(
        lambda values: {k: item.decode(v) for k, v in values.items()},
        lambda values: {k: item.encode(v) for k, v in values.items()},
    )


def nested(kind: Callable[[], type[Data]]) -> Converter:
    """Another report, which may be defined further down."""
    return _Simple(lambda value: kind().from_dict(value), lambda value: value.to_dict())


def key(name: str, converter: Converter = PLAIN) -> dict[str, Any]:
    """The metadata of a field: its name in JSON, and its converter."""
    return {"key": name, "converter": converter}


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """A report, or an option with parts: plain values, which cannot be changed."""

    @classmethod
    def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
        """Reads what `to_dict` gives."""
        return cls(
            **{f.name: f.metadata["converter"].decode(data.get(f.metadata["key"])) for f in dataclasses.fields(cls)}
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, by the names that the command line's `--json` uses; what is absent is left out."""
        pairs = ((f.metadata, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {m["key"]: m["converter"].encode(value) for m, value in pairs if value is not None}
