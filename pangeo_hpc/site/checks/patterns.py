"""Whether a regular expression could match a blank, a newline or a control character."""

import re

# Outside brackets, and inside them: what stands for characters nobody has named.
_ESCAPES = re.compile(r"\\([sSWDnrtfvaxuUN0-9])")


def allows_blanks(pattern: str) -> str | None:
    r"""Return the part of a pattern that may let a blank or control character through, or None.

    It is strict: only characters that are named, ranges above the blank, and ``\w \d \b`` pass.
    """
    position, inside = 0, False
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            part = pattern[position : position + 2]
            if _ESCAPES.match(part) or part[1:].isspace():
                return part
            position += 2
            continue
        if character.isspace() or not character.isprintable():
            return "the blank"
        if inside:
            inside = character != "]"
        elif character == "[":
            if pattern[position + 1 : position + 2] == "^":
                return "[^"
            inside = True
            # a ] right after the bracket is a character of the set
            position += pattern[position + 1 : position + 2] == "]"
        elif character == ".":
            return "the dot"
        position += 1
    return None
