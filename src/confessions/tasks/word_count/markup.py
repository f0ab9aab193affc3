"""The lines of an answer as a reader of the page sees them: HTML as markdown, links as their text, no fences.

What is left of markup (marks of emphasis, #, list markers, rules) is a part of a line: `_headings` reads it. Every
step is linear in the text.
"""

import html
import re

_UNSEEN = dict.fromkeys(
    map(ord, "\ufeff\u200b\u2060\u00ad\ufe0e\ufe0f⁰¹²³⁴⁵⁶⁷⁸⁹")
)  # shown as nothing, or a footnote's mark
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")

# The whole of a tag; text in angle brackets ("a<b and c>d", "<https://...>") is none
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*+)((?:\s[^<>]*+)?)/?>(\s*+)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MARKS = {"b": "**", "strong": "**", "u": "**", "i": "*", "em": "*"}
_HEADINGS = re.compile("h[1-6]|title|summary|caption|figcaption|legend|th|dt")
_BLOCKS = re.compile(
    "address|article|aside|blockquote|body|center|dd|details|div|dl|figure|footer|form|head|header|hr|html|main|nav|ol|p"
    "|pre|section|table|tbody|td|tfoot|thead|tr|ul"
)

_IMAGE = re.compile(r"!\[[^\[\]\n]*+\](?:\([^()\n]*+\)|\[[^\[\]\n]*+\])")
_LINK = re.compile(r"\[([^\[\]\n]++)\](?:\((?!\d{1,3}\))[^()\n]*+\)|\[[^\[\]\n]*+\])")  # "[text](12)" has a label
_NOTE_MARK = re.compile(r"(?<=\S)[ \t]?(?:\[\^[^\[\]\n]++\](?!:)|\[\d{1,3}\])")
_ADDRESS = r"(?=\S*?(?:[/#<:]|\.\w))\S++"
_DEFINITION = re.compile(rf"\[(?:\^[^\[\]]++\]:|[^\[\]]++\]:[ \t]*{_ADDRESS}[ \t]*(?:[\"'(][^\"')]*+[\"')])?$)")

_QUOTED = re.compile(r"(?:>[ \t]*)++")
_FENCE = re.compile(r"(?:`{3,}|~{3,})[ \t]*[\w+#.:-]*+(?:[ \t]+(?:\{[^}]*\}|\w+=\S+))*$")


def inline(text: str) -> str:
    """The text with HTML as markdown and links as their text; without comments, images and marks of footnotes."""
    if not text.isascii():
        text = text.translate(_UNSEEN)
    if "<" in text:
        end = text.rfind("-->") + 1  # a comment that is not closed is none
        text = _TAG.sub(_as_markdown, _COMMENT.sub("", text[: end + 2]) + text[end + 2 :] if end else text)
    if "&" in text:
        text = html.unescape(text)
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    if "[" in text:
        text = _NOTE_MARK.sub("", _LINK.sub(r"\1", _IMAGE.sub("", text)))
    return text


def lines(answer: str) -> list[str]:
    """The lines without blanks around them; empty ones where a paragraph ends. Fences and definitions of links and
    footnotes are empty."""
    found = [line.strip() for line in inline(answer).splitlines()]
    for at, line in enumerate(found):
        if not line:
            continue
        if line[0] == ">":
            line = found[at] = line[_QUOTED.match(line).end() :]
        if (line[:3] in ("```", "~~~") and _FENCE.match(line)) or (line[:1] == "[" and _DEFINITION.match(line)):
            found[at] = ""
    return found


def _as_markdown(tag: re.Match[str]) -> str:
    closes, name, attributes, blank = tag.groups()
    name = name.lower()
    if attributes.strip(" \t\n/") and "=" not in attributes:
        return tag[0]
    if _HEADINGS.fullmatch(name):
        return "\n\n" if closes else "\n\n# "
    if name == "li":
        return "\n\n" if closes else "\n- "
    if _BLOCKS.fullmatch(name):
        return "\n\n"
    return ("\n" if name == "br" else _MARKS.get(name, "")) + blank
