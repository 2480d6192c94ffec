"""YAML text as a tree that remembers the line of every key and the raw text of every scalar.

YAML 1.1 reads an unquoted ``24:00`` as 1440, ``010`` as 8 and ``on`` as true. Nothing here is
converted: a scalar stays the text that was typed, and the field it belongs to says what it means.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pangeo_hpc.errors import Problem

LARGEST_FILE = 1 << 20
_MOST_VALUES = 100_000
_DEEPEST = 40

# The C parser reads faster where it is installed, but words its errors worse and with fewer marks.
_Loader = yaml.SafeLoader


class Scalar(str):
    """The raw text of a scalar; `plain` is False where it was quoted or a block.

    `kind` is what YAML 1.1 would make of it: ``str``, ``int``, ``float``, ``bool``, …
    """

    plain: bool
    kind: str

    def __new__(cls, text: str, *, plain: bool = False, kind: str = "str") -> "Scalar":
        """Return the text with what YAML says about it."""
        self = super().__new__(cls, text)
        self.plain = plain
        self.kind = kind
        return self


@dataclass(frozen=True)
class Mark:
    """The lines, counted from 1, of a key and of its value.

    A value in several lines below its key has the line of the key.
    """

    key: int
    value: int


@dataclass(frozen=True)
class Tree:
    """What a YAML text holds: dicts, lists, `Scalar`s and None.

    `marks` has the lines of each dotted path, such as ``node_types.dask.directives[0]``. The
    problems are those of the text itself; `value` is None if it could not be read at all.
    """

    value: Any
    marks: Mapping[str, Mark] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, path: str, *, of_key: bool = False) -> int | None:
        """Return the line of a path, or of the nearest part of it that is there, else 1."""
        while path:
            mark = self.marks.get(path)
            if mark:
                return mark.key if of_key else mark.value
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
            of_key = True
        return 1 if self.marks or self.value is not None else None


def join(path: str, part: str | int) -> str:
    """Return the dotted path of a key or of an item below another path."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else part


def parse(text: str) -> Tree:
    """Return the tree of a YAML text; whatever is wrong with it is among its problems."""
    if len(text) > LARGEST_FILE:
        problem = Problem("", "the file is larger than 1 MiB", "this cannot be a site YAML", line=1)
        return Tree(None, problems=(problem,))
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return Tree(None, problems=(_syntax(error),))
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        hint = "save the file as UTF-8 text without control characters"
        return Tree(None, problems=(Problem("", f"not text: {_words(error)}", hint, line=line),))
    except RecursionError:
        problem = Problem("", "values are nested too deep", "remove some levels", line=1)
        return Tree(None, problems=(problem,))
    builder = _Builder()
    value = builder.build(node, "", 0) if node is not None else None
    if builder.overflow is not None:
        return Tree(None, problems=(builder.overflow,))
    return Tree(value, builder.marks, tuple(builder.problems))


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    said = (error.problem or error.context or "it cannot be read").strip()
    if "\\t" in said or "'\\t'" in said:
        return Problem("", "a tab where YAML wants blanks", "indent with blanks only", line=line)
    if "another document" in said:
        return Problem("", "a second document begins here", "remove the line with ---", line=line)
    if "mapping values are not allowed" in said:
        hint = "quote a value that has a colon and a blank in it, and check the indentation"
        return Problem("", "a colon where no key can be", hint, line=line)
    hint = "check indentation, quotes and brackets on this line and the one before"
    return Problem("", f"this is not YAML: {said}", hint, line=line)


def _words(error: yaml.YAMLError) -> str:
    return str(error).splitlines()[0]


class _Builder:
    """Walks the nodes once; an alias is walked again where it is used, up to a limit."""

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}
        self.problems: list[Problem] = []
        self.count = 0
        self.overflow: Problem | None = None

    def build(self, node: yaml.Node, path: str, depth: int) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES or depth > _DEEPEST:
            line = node.start_mark.line + 1
            hint = "use fewer levels, anchors and aliases"
            self.overflow = Problem("", "there is too much in this file", hint, line=line)
        if self.overflow is not None:
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, path, depth)
        return self.scalar(node, path)

    def scalar(self, node: yaml.Node, path: str) -> Scalar | None:
        kind = node.tag.rpartition(":")[2]
        if node.tag.startswith("!") or kind not in _KINDS:
            text, hint = f"the tag {node.tag} is not understood", "remove it"
            line = node.start_mark.line + 1
            self.problems.append(Problem(path, text, hint, line=line))
        if kind == "null":
            return None
        text = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            # JSON writes characters beyond 16 bits as two halves
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Scalar(text, plain=getattr(node, "style", None) is None, kind=kind)

    def sequence(self, node: yaml.SequenceNode, path: str, depth: int) -> list[Any]:
        items = []
        for number, child in enumerate(node.value):
            below = join(path, number)
            line = child.start_mark.line + 1
            self.marks[below] = Mark(line, line)
            items.append(self.build(child, below, depth + 1))
        return items

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        seen: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                hint = "write it as `key: value`"
                self.problems.append(Problem(path, "a key is not a word", hint, line=line))
                continue
            if key_node.tag.endswith(":merge"):
                merged.append(child)
                continue
            key = str(key_node.value)
            below = join(path, key)
            if key in seen:
                text = f"the key is here for the second time, the first is in line {seen[key]}"
                hint = "remove one of them"
                self.problems.append(Problem(below, text, hint, line=line))
                continue
            seen[key] = line
            block = isinstance(child, yaml.CollectionNode) and not child.flow_style
            self.marks[below] = Mark(line, line if block else child.start_mark.line + 1)
            result[key] = self.build(child, below, depth + 1)
        for child in merged:
            self.merge(child, path, depth, result)
        return result

    def merge(self, node: yaml.Node, path: str, depth: int, result: dict[str, Any]) -> None:
        """Lay what ``<<`` names under the keys that are already there."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode) or depth > _DEEPEST:
                line = node.start_mark.line + 1
                hint = "write <<: *name, where &name stands before a mapping"
                self.problems.append(Problem(path, "<< names no mapping", hint, line=line))
                continue
            known = dict(self.marks)
            below = self.mapping(source, path, depth + 1)
            for key, value in below.items():
                result.setdefault(key, value)
            self.marks.update(known)


_KINDS = {"str", "int", "float", "bool", "null", "timestamp", "value", "merge"}
