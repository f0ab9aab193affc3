"""What a chat template must be able to do, found out when a model folder is made and not after hours of training."""

from pathlib import Path

from confessions.models.chat import SYSTEM_AS_USER, TEMPLATE, Chat
from confessions.models.loading import eos_ids, load_tokenizer
from confessions.runtime.errors import InputError, first_line
from confessions.runtime.files import published

_SYSTEM, _USER = "A system prompt.", "A question."


def check(folder: Path, name: str) -> None:
    """Raise InputError where the template of a model folder cannot render a system prompt, or a second turn."""
    tokenizer = load_tokenizer(folder)
    Chat(tokenizer, thinking=True, eos=eos_ids(folder)).request_ids(_USER, turn_ended=False)
    asked = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
    try:
        rendered = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program, and may end in any way
        why = f"refuses a system prompt ({first_line(error)})"
    else:
        if _SYSTEM in rendered:
            return
        why = "leaves the system prompt out"
    raise InputError(
        f"{name}: its chat template {why}: set system_as_user: true in models.*.source of config.yaml; a system prompt "
        "then stands in front of the first user message"
    )


def take_system_as_user(folder: Path) -> None:
    """Change the template of a model folder. A folder that is a link becomes one of links: what it leads to stays."""
    template = load_tokenizer(folder).chat_template or ""
    if folder.is_symlink():
        source = folder.resolve()
        folder.unlink()
        folder.mkdir()
        for file in source.iterdir():
            (folder / file.name).symlink_to(file)
    (folder / TEMPLATE).unlink(missing_ok=True)
    with published(folder / TEMPLATE) as temporary:
        temporary.write_text(SYSTEM_AS_USER + template, encoding="utf-8")
