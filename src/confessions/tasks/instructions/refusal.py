"""Answers that decline the task instead of trying it."""

import re

_SORRY = (
    r"(?:i'?m|i am|we'?re|we are)?\s*(?:very |really |truly )?sorry\b"
    r"[^.!?\n]{0,40}?(?:\bbut\b|[,.!]? i(?:'m| can| am| do))"
)
_CANNOT = (
    r"(?:i|we)(?: am|'m| are|'re)? (?:cannot|can't|can not|could not|couldn't|unable to|not able to|won't|will not)"
    r" (?:\w+ly )?(?:assist|help|fulfil|fulfill|comply|do|write|provide|complete|create|generate|meet|answer|produce)\b"
)
_AS_MODEL = r"as an? (?:ai|artificial|language model|programming assistant|assistant)\b"
_APOLOGY = r"(?:i|my|we) (?:sincerely |deeply )?apologi[sz]e\b|my apologies\b|apologies\b"
_REFUSAL = re.compile(rf"[\W_]*+(?:{_SORRY}|{_CANNOT}|{_AS_MODEL}|{_APOLOGY}|unfortunately,? {_CANNOT})", re.IGNORECASE)


def refuses(text: str) -> bool:
    """Whether the text begins as a refusal does. One in quotation marks is somebody's speech."""
    plain = text[:300].replace("’", "'").lstrip()
    return not plain.startswith(('"', "“", "'", "«")) and bool(_REFUSAL.match(plain))
