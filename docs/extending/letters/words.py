"""How Letters reads an answer."""


def listed(answer: str) -> list[str]:
    """Its lines that hold something."""
    return [line.strip() for line in answer.splitlines() if line.strip()]


def begins(line: str, letter: str) -> bool:
    return line.lower().startswith(letter)
