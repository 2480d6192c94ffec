"""Reading YAML: raw text, lines, and everything that is wrong with a text."""

import pytest

from pangeo_hpc.site.tree import LARGEST_FILE, Scalar, parse


def test_scalars_keep_the_text_that_was_typed():
    """YAML 1.1 would make 1440, 8, True, 100000.0 and a date of these."""
    text = "a: 24:00\nb: 010\nc: on\nd: 1e5\ne: 2024-01-01\nf: 'yes'\n"
    value = parse(text).value
    assert list(value.values()) == ["24:00", "010", "on", "1e5", "2024-01-01", "yes"]
    assert all(isinstance(item, Scalar) for item in value.values())
    assert value["a"].kind == "int"
    assert value["a"].plain
    assert not value["f"].plain


def test_keys_keep_their_text_too():
    """A queue may be called on, 010 or null, and so may the node type that uses it."""
    assert list(parse("on: 1\n010: 2\nnull: 3\n1e5: 4\n").value) == ["on", "010", "null", "1e5"]


def test_null_is_none_however_it_is_written():
    """An empty value, ~ and null all say nothing."""
    assert parse("a:\nb: ~\nc: null\nd: 'null'").value == {
        "a": None,
        "b": None,
        "c": None,
        "d": "null",
    }


def test_every_key_and_item_knows_its_line():
    """Lines count from 1; a block below its key has the key's line."""
    tree = parse("a:\n  b: 1\n  c:\n    - x\n    - y: z\nd: [1,\n  2]\n")
    assert {path: mark.value for path, mark in tree.marks.items()} == {
        "a": 1,
        "a.b": 2,
        "a.c": 3,
        "a.c[0]": 4,
        "a.c[1]": 5,
        "a.c[1].y": 5,
        "d": 6,
        "d[0]": 6,
        "d[1]": 7,
    }
    assert tree.line("a.b.nothing.there") == 2
    assert tree.line("nothing") == 1


def test_a_second_key_is_told_with_both_lines():
    """The first one counts, so that the rest can still be checked."""
    tree = parse("a: 1\nb: 2\na: 3\n")
    assert tree.value == {"a": "1", "b": "2"}
    (problem,) = tree.problems
    assert (problem.path, problem.line) == ("a", 3)
    assert "line 1" in problem.text


def test_merge_keys_lay_one_mapping_under_another():
    """Own keys win over merged ones, whose lines are where they were written."""
    tree = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc:\n  <<: [*a, {z: 4, x: 9}]\n")
    assert tree.problems == ()
    assert tree.value["b"] == {"x": "1", "y": "3"}
    assert tree.value["c"] == {"x": "1", "y": "2", "z": "4"}
    assert tree.line("b.y") == 4
    assert tree.line("b.x") == 1


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "this is not YAML"),
        ("a: 1\n\tb: 2", "tab"),
        ("a: b: c", "a colon where no key can be"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("? [a, b]\n: 1", "a key is not a word"),
        ("a: !!python/object:os.system x", "is not understood"),
        ("a: !secret x", "is not understood"),
        ("a: \x07", "not text"),
        ("a: *nowhere", "this is not YAML"),
        ("a: &a [*a]", "there is too much"),
        ("[" * 5_000, "nested too deep"),
        ("x" * (LARGEST_FILE + 1), "larger than 1 MiB"),
        (bomb(), "there is too much"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_plain_yaml_is_one_clear_problem(text, said):
    """Each has a line and a hint; nothing is built, executed or expanded."""
    (problem,) = parse(text).problems
    assert said in problem.text
    assert problem.line
    assert problem.hint


def test_halves_of_a_character_become_whole():
    """JSON writes what lies beyond 16 bits as two escapes."""
    assert parse('{"a": "\\ud83d\\ude00"}').value == {"a": "😀"}


def test_nothing_at_all_is_none():
    """A file of comments holds no value, and that is not an error of the text."""
    assert parse("# nothing\n").value is None
    assert parse("").problems == ()
