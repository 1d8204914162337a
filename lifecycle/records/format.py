"""A kind of record over the years: a model for each published version, and the way up to today.

Every kept file names its format, `lifecycle/<kind>/<n>`, and the program that wrote it. A format
that was published is read for ever: its model never changes, and a value of version n is lifted to
n + 1 by a function that is written down once. What a newer program wrote is refused by its name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from lifecycle.domain.digests import digest_of
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.version import PROGRAM

FIRST = "lifecycle 0.1.0"  # wrote the formats of version 1, which do not name their program
DIGEST = "digest"
_SCHEMA = re.compile(r"lifecycle/(?P<kind>[a-z]+(-[a-z]+)*)/(?P<number>[1-9][0-9]{0,5})")
Value = dict[str, Any]
Lift = Callable[[Value], Value]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Format(Generic[Model]):
    """One kind of record.

    Attributes:
        kind: as its schema names it.
        models: one for each published version, the first first; the last one is today's.
        lifts: from each version but the last to the one after it. Only the fields are lifted:
            `schema`, and `program` where version 1 had none, are set by `read`.
        unmarked: version 1 was written without `schema` (or with `mark`).
        mark: key and value by which an unmarked version 1 is known, where it had any.
        digested: from this version on the record has `digest`, over everything else in it as it was
            written; 0 where something else vouches for it (a signature, or the build's record).
        cure: what the message about a changed record ends with.
        place: where in its file the record stands, for messages; "" for the whole file.
    """

    kind: str
    models: tuple[type[BaseModel], ...]
    newest: type[Model]
    lifts: tuple[Lift, ...] = ()
    unmarked: bool = False
    mark: tuple[str, Any] | None = None
    digested: int = 0
    cure: str = "restore it from git"
    place: str = ""

    def __post_init__(self) -> None:
        """Every version has a way up."""
        if len(self.lifts) != len(self.models) - 1 or self.models[-1] is not self.newest:
            raise ValueError(f"{self.kind}: a version without a model, or without a way up")

    @property
    def schema(self) -> str:
        """What a record of today says that it is."""
        return self.named(len(self.models))

    def named(self, number: int) -> str:
        """The schema of a version."""
        return f"lifecycle/{self.kind}/{number}"

    def read(self, value: object, where: str) -> Value:
        """A record of any published version, checked by its model and lifted to today's.

        Args:
            value: parsed JSON.
            where: the file, for messages.

        Raises:
            UnusableInputError: a newer program wrote it.
            IntegrityError: it is no record of this kind; names the field.
        """
        number = self.number_of(value, where)
        found = dict(value) if isinstance(value, dict) else {}
        for at in range(number, len(self.models)):
            self._check(at, found, where)
            found = self._lifted(at, found)
        self._check(len(self.models), found, where)
        return found

    def model(self, value: object, where: str) -> Model:
        """As `read`, as the model of today."""
        found = self.read(value, where)
        return self.newest.model_validate(self._bare(found, len(self.models)))

    def write(self, fields: Mapping[str, Any], where: str = "the new record") -> Value:
        """A record of today, with its schema, this program and, where it has one, its digest.

        Raises:
            IntegrityError: the fields are not those of the format (a fault of ours).
        """
        body = {"schema": self.schema, "program": PROGRAM, **fields}
        if self.digested:
            body.pop(DIGEST, None)
            body[DIGEST] = digest_of(body)
        self._check(len(self.models), body, where)
        return body

    def number_of(self, value: object, where: str) -> int:
        """Which version a value says that it is of.

        Raises:
            UnusableInputError: one that only a newer program knows.
            IntegrityError: none of this kind.
        """
        if not isinstance(value, dict):
            raise self._fault(where, f"field {self.place or self.kind}: not an object")
        schema = value.get("schema")
        if schema is None and self.unmarked and self._marked(value):
            if self.has_digest(1):
                self._require_digest(value, where)
            return 1
        place = f"{self.place}.schema".lstrip(".")
        match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
        if schema is None:
            raise self._fault(where, f"field {place}: missing")
        if match is None or match["kind"] != self.kind:
            shown = ascii(schema)[:60]
            raise self._fault(where, f"field {place}: {shown} is no record of {self.kind}")
        number = int(match["number"])
        if self.has_digest(number):
            self._require_digest(value, where)
        if number > len(self.models):
            raise UnusableInputError(
                f"{where} was written by {_writer(value)} ({schema}); this is {PROGRAM}, which "
                f"reads {self.kind} records up to version {len(self.models)}: use the newer program"
            )
        return number

    def has_digest(self, number: int) -> bool:
        """Whether records of a version, a later one too, have `digest`."""
        return 0 < self.digested <= number

    def _marked(self, value: Value) -> bool:
        return self.mark is None or (
            self.mark[0] in value and bool(value[self.mark[0]] == self.mark[1])
        )

    def _fault(self, where: str, fault: str) -> IntegrityError:
        return IntegrityError(f"{where}: {fault}; the file was changed: {self.cure}")

    def _require_digest(self, value: Value, where: str) -> None:
        body = {key: item for key, item in value.items() if key != DIGEST}
        try:
            same = digest_of(body) == value.get(DIGEST)
        except (RecursionError, ValueError):  # nested too deeply, or half a letter
            same = False
        if not same:
            raise self._fault(where, f"field {DIGEST}: not that of the other fields")

    def _check(self, number: int, value: Value, where: str) -> None:
        try:
            self.models[number - 1].model_validate(self._bare(value, number))
        except ValidationError as error:
            raise self._fault(where, explain(error, self.place)) from None

    def _bare(self, value: Value, number: int) -> Value:
        """Without what `number_of` and `_require_digest` have looked at."""
        own = {"schema", DIGEST} if self.has_digest(number) else {"schema"}
        return {key: item for key, item in value.items() if key not in own}

    def _lifted(self, number: int, value: Value) -> Value:
        program = value.get("program", FIRST)
        fields = {k: v for k, v in value.items() if k not in ("schema", "program")}
        raised = self.lifts[number - 1](fields)
        return {"schema": self.named(number + 1), "program": program, **raised}


def same(fields: Value) -> Value:
    """The lift of a version whose fields did not change."""
    return fields


def _writer(value: Value) -> str:
    program = value.get("program")
    known = isinstance(program, str) and program.isprintable() and len(program) <= 80
    return str(program) if known and program else "a newer program"


def explain(error: ValidationError, place: str = "") -> str:
    """The first fault of a record: the field's whole place, and what is wrong with it."""
    fault = error.errors(include_url=False)[0]
    found = place
    for step in fault["loc"]:
        found += f"[{step}]" if isinstance(step, int) else f".{_shown(str(step))}"
    return f"field {found.lstrip('.')}: {_wrong(fault)}"


def _shown(key: str) -> str:
    return (key if key.isprintable() else ascii(key))[:80]


# What a fault is called where the field's type says all.
_CALLED = {
    "extra_forbidden": "not a known field",
    "unexpected_keyword_argument": "not a known field",
    "missing": "missing",
    "missing_argument": "missing",
    "string_type": "not a text",
    "bool_type": "neither true nor false",
    "int_type": "not a whole number",
    "int_from_float": "not a whole number",
    "float_type": "not a number",
    "finite_number": "not a finite number",
    "list_type": "not a list",
    "tuple_type": "not a list",
    "dict_type": "not an object",
    "model_type": "not an object",
    "dataclass_type": "not an object",
    "mapping_type": "not an object",
}


# What it is called where the value or a limit has to be said too.
_SAID: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "value_error": lambda value, context: str(context["error"]),
    "literal_error": lambda value, context: f"{_seen(value)} is none of {context['expected']}",
    "greater_than_equal": lambda value, context: f"{_seen(value)} is less than {context['ge']:g}",
    "too_short": lambda value, context: (
        f"{context['actual_length']} entries, and {context['min_length']} is the least"
    ),
    "too_long": lambda value, context: (
        f"{context['actual_length']} entries, and {context['max_length']} is the most"
    ),
    "string_pattern_mismatch": lambda value, context: (
        "not a SHA-256 in hex" if "{64}" in context["pattern"] else f"{_seen(value)} is none"
    ),
}


def _seen(value: object) -> str:
    return ascii(value)[:60]


def _wrong(fault: Any) -> str:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind in _CALLED:
        return _CALLED[kind]
    if kind in _SAID:
        return _SAID[kind](value, context)
    text = str(fault["msg"])
    return f"{text[0].lower()}{text[1:]} (it is {_seen(value)})"


def published(value: Any, model: type[BaseModel]) -> Value:
    """The fields of a settings value that a format has, as JSON.

    A key that the program got after the format was published, and one that the format does not
    demand, is left out where it says nothing (it has its default): who never used it goes on
    writing the same bytes. Where it does say something it stays, and a format that does not have it
    refuses it: then the format needs its next version.

    Args:
        value: a dataclass.
        model: the format's model of it.
    """
    found: Value = {}
    for field in dataclasses.fields(value):
        item, inner = getattr(value, field.name), model.model_fields.get(field.name)
        demanded = inner is not None and inner.is_required()
        if not demanded and item == default_of(field):
            continue
        found[field.name] = _published(item, None if inner is None else inner.annotation)
    return found


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a dataclass's field; `dataclasses.MISSING` where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def value_of(kind: Any, entry: Mapping[str, Any]) -> Any:
    """The dataclass that `published` wrote down; a key that it got since has its default.

    Args:
        kind: the dataclass.
        entry: JSON that a model of the format has checked.
    """
    hints = get_type_hints(kind)
    return kind(**{key: _valued(hints[key], item) for key, item in entry.items()})


def _valued(kind: Any, item: Any) -> Any:
    inner = next((one for one in get_args(kind) if dataclasses.is_dataclass(one)), None)
    if isinstance(item, dict):  # `inner`: the section may be absent
        known = kind if dataclasses.is_dataclass(kind) else inner
        return item if known is None else value_of(known, item)
    return tuple(_valued(inner, one) for one in item) if isinstance(item, list) else item


def _published(item: Any, kind: Any) -> Any:
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        return published(item, kind) if nested else plain(item)
    return plain(item)


def plain(value: Any) -> Any:
    """A value as JSON: dataclasses and mappings as objects, tuples as lists.

    Fields that are marked `domain.limits.NOT_KEPT` are left out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [f.name for f in dataclasses.fields(value) if f.metadata.get("kept", True)]
        return {name: plain(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
