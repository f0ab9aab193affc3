"""Answers of Word Count with known truth, from a grammar: sentences, labels, markers, headings, markup, line ends.

`answer(rng)` draws one. Every choice is one that a reader of the page is sure about; where a reader may doubt (a line
without a full stop in the middle of the text, a wrapped line in Title Case), nothing is drawn.
"""

import random
from dataclasses import dataclass

_PLAIN = "cat dog river storm lantern morning bakery window children winter letters harbor quiet old"
_OTHER = (
    "12 1999 3.5 10:30 well-known don’t it's naïve café Zürich 北京 двери O'Neill e-mail 2nd 1,200 state-of-the-art"
    " über £5"
    " 50% #tag @home R2D2"
)
_FIRST = "The A Every Some Often Many No My Our When Tonight Yesterday Ça 北京"
PLAIN, FIRST = _PLAIN.split(), _FIRST.split()
WORDS = [*PLAIN, *_OTHER.split()]
TOPICS = ("Cats and dogs", "A Storm at Sea", "The night train", "Winter", "Zürich by night", "Word Count Task")

# fmt: off
# Lines that are no sentences, wherever they stand in front of one. {t}: a topic
HEADINGS = (
    "# {t}", "## {t}  ", "### {t} ###", "#### {t}?", "# {t} (draft)", "# **{t}**", "#\t{t}", "##{t}",
    "**{t}**", "__{t}__", "***{t}***", "___{t}___", "*{t}*", "_{t}_", "**_{t}_**", " **{t}** ", "**{t}?**",
    "**{t}:**",
    "**{t} (draft)**", "**[{t}]**", "*{t} …and more*", "🌊 **{t}** 🌊", "**{t}** 🐈", "**1. {t}**", "**Part 1: {t}**",
    "[{t}]", "【{t}】", "== {t} ==", "--- {t} ---", "*** {t} ***", "~ {t} ~", "🌊 {t} 🌊", "“{t}”", '"{t}"', "({t})",
    "«{t}»",
    "{t}\n===", "{t}\n---", "{t}?\n=======", "{t}\n=", "> # {t}", "> **{t}**", "Title: {t}", "**Title:** {t}",
    "<h1>{t}</h1>", '<h2 class="a b">{t}?</h2>', "<h3>\n{t}\n</h3>", "<b>{t}</b>", "<strong>{t}</strong>",
    "<u>{t}</u>",
    "Here is the paragraph:", "Here is it (as asked):", "Here it is (12, 18 and 12 words): ", "Here you go: 👇",
    "*So:*",
    "Part 1", "Chapter 2: {t}", "Section 3 – {t}", "**Sentences:**", "Paragraph 1:", "Answer:", "**Answer**",
    "---", "***", "* * *", "___", "- - -", "<br>", "<hr/>", "&nbsp;", "<!-- {t}. It was so. -->", "![{t}](a.png)",
    "\u200b",
    "[1]: http://example.org", "[^1]: {t}, a note.", "> [!NOTE]", "| {t} |\n|---|", "```", "~~~",
)
LEADING = (
    "Sure! Here is the paragraph:", "{t}", "Certainly, here it is (as you asked):", "\ufeff# {t}", "```markdown",
    "# {t}\n## {t}",
)
REMARKS = (
    "Word counts: 12, 18", "(Total: 72 words)", "**Total word count:** 72", "Total: 72 words", "Word count: 72.",
    "Sentence 1: 12 words\nSentence 2: 18 words", "- Sentence 1: 12\n- Sentence 2: 18", "1. 12 words\n2. 18 words",
    "[72 words]", "**Word counts:** 12 and 18", "First: 12 words, second: 18 words", "12, 18", "**The End**",
    "---", "```",
)
# {n} 2, {w} two, {o} Second, {r} ii, {l} b
MARKERS = (
    "{n}. ", "{n}) ", "({n}) ", "[{n}] ", "**{n}.** ", "**{n})** ", "{n}\\. ", "{n}.\u00a0", "#{n}: ",
    "{n}\ufe0f\u20e3 ",
    "- ", "* ", "+ ", "• ", "– ", "- [x] ", "- [ ] ", "* [X] ", "{n}. [x] ", "☑ ", "→ ", "- {n}. ", "> {n}. ",
    "{r}. ", "{r}) ",
    "Sentence {n}: ", "Sentence #{n}: ", "Sentence # {n}: ", "Sentence No. {n}: ", "Sentence ({n}): ",
    "sentence {n} - ",
    "**Sentence {n}:** ", "**Sentence {n}**: ", "**Sentence {n}** ", "*Sentence {n}:* ", "### Sentence {n}: ",
    "{n}. **Sentence {n}:** ", "Sentence {n} (12 words): ", "**Sentence {n} (12 words):** ", "[Sentence {n}]: ",
    "Sentence {w}: ", "{o} sentence: ", "S{n}: ", "<li>", "<p>", "{l}) ", "({l}) ",
)
RUNNING = ("{n}. ", "{n}) ", "({n}) ", "Sentence {n}: ")  # of a list on one line
LABELS = (
    "({n})", "( {n} )", "({n} words)", "({n} word)", "(word count: {n})", "(words: {n})", "**({n})**",
    "*({n} words)*", "`({n})`",
    "（{n}）", "\\({n}\\)",
)
EMPHASIS = (
    "**{w}**", "*{w}*", "_{w}_", "`{w}`", "<b>{w}</b>", '<span style="a: b">{w}</span>', "[{w}](http://a.b/c)",
    "[{w}][1]",
    "{w}[^1]", "{w}[3]", "~~{w}~~", "“{w}”",
)
# fmt: on
LINE_ENDS = ("\n", "\n", "\r\n", "\r", "\u2028")
BLANKS = ("", "", " ", "\t", "\u00a0")


@dataclass(frozen=True)
class Answer:
    text: str
    counts: list[int]
    labels: list[int | None]


def sentence(rng: random.Random) -> tuple[list[str], int]:
    """The runs of a sentence without its end, and how many of them are words. It holds no mark that could end one."""
    words = [
        rng.choice(FIRST),
        *rng.choices(WORDS if rng.random() < 0.5 else PLAIN, k=rng.randrange(1, 14)),
        rng.choice(PLAIN),
    ]
    count, runs = len(words), []
    for at, word in enumerate(words):
        if 0 < at < len(words) - 1 and word in PLAIN and rng.random() < 0.1:
            word = rng.choice(EMPHASIS).format(w=word)
        if 0 < at < len(words) - 1 and rng.random() < 0.05:
            goes_on = words[at + 1] in PLAIN  # else the number is a label
            word += rng.choice([",", ";", "—but", "–and", " —", " --", " &", *[" (12)"] * goes_on])
            count += word.endswith(("but", "and", "(12)"))
        runs.append(word)
    return runs, count


def joined(rng: random.Random, runs: list[str], wraps: bool) -> str:
    """The runs as text: broken into lines in front of small letters, where it may be."""
    text = runs[0]
    for run in runs[1:]:
        text += ("\n" if wraps and run[0].islower() and rng.random() < 0.1 else " ") + run
    return text


def answer(rng: random.Random) -> Answer:
    """One answer of one to six sentences."""
    labelled, style = rng.random() < 0.7, rng.choice(["paragraph", "lines", "items", "running", "table", "headed"])
    if style == "running":
        labelled = False
    marker = rng.choice(MARKERS)
    running, wraps, label_form = rng.choice(RUNNING), rng.random() < 0.3, rng.choice(LABELS)
    texts, counts, labels = [], [], []
    for _ in range(rng.randrange(1, 6)):
        runs, count = sentence(rng)
        label = rng.choice([count, 12, 18]) if labelled else None
        body = joined(rng, runs, wraps and style not in ("running", "table"))
        texts.append(_ended(rng, body, label_form, label, style))
        counts.append(count)
        labels.append(label)
    text = _laid_out(rng, style, texts, marker, running)
    return Answer(_surrounded(rng, text), counts, labels)


def _ended(rng: random.Random, body: str, form: str, label: int | None, style: str) -> str:
    stop = rng.choice(["."] * 4 + ["!", "?"])
    if label is None:
        return body + stop
    stated = form.format(n=label)
    ends = [f"{body} {stated}{stop}", f"{body}{stop} {stated}", f"{body} {stated}"]
    if style in ("lines", "items"):
        ends.append(f"{body}{stop}\n{stated}")
    return rng.choice(ends)


def _laid_out(rng: random.Random, style: str, texts: list[str], marker: str, running: str) -> str:
    if style == "running" and len(texts) > 1:
        return " ".join(marked(running, n) + text for n, text in enumerate(texts, 1))
    if style == "table":
        rows = "\n".join(f"| {n} | {text} | 12 words |" for n, text in enumerate(texts, 1))
        return f"| # | Sentence | Words |\n|---|:---|--:|\n{rows}"
    if style == "items":
        between = rng.choice(["\n", "\n\n"])
        return between.join(marked(marker, n) + text for n, text in enumerate(texts, 1))
    if style == "headed":
        heads = [
            _heading(rng, rng.choice([*HEADINGS, f"Sentence {n}", f"**Sentence {n} (12 words)**"])) for n in range(1, 7)
        ]
        return "\n\n".join(f"{head}\n\n{text}" for head, text in zip(heads, texts, strict=False))
    return (" " if style == "paragraph" else "\n\n").join(texts)


def marked(marker: str, n: int) -> str:
    words, nths = (
        ["one", "two", "three", "four", "five", "six"],
        ["First", "Second", "Third", "Fourth", "Fifth", "Sixth"],
    )
    roman = ["i", "ii", "iii", "iv", "v", "vi"][n - 1]
    return marker.format(n=n, w=words[n - 1], o=nths[n - 1], r=roman, l="abcdef"[n - 1])


def _heading(rng: random.Random, form: str) -> str:
    return form.replace("{t}", rng.choice(TOPICS))


def _surrounded(rng: random.Random, text: str) -> str:
    """With headings in front and remarks behind, the line ends of some system, and blanks where none shows."""
    for form in rng.choices(HEADINGS, k=rng.choice([0, 0, 1, 1, 2])):
        text = f"{_heading(rng, form)}\n\n{text}"
    if rng.random() < 0.2:
        text = f"{_heading(rng, rng.choice(LEADING))}\n\n{text}"
    if rng.random() < 0.3:
        text += f"\n\n{rng.choice(REMARKS)}"
    if rng.random() < 0.3:
        text = "\n".join(rng.choice(BLANKS) + line + rng.choice(BLANKS) for line in text.split("\n"))
    return text.replace("\n", rng.choice(LINE_ENDS))
