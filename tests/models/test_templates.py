"""Chat templates that lack the system role: said when the model folder is made, and the way round it."""

import json
import shutil

import pytest

from confessions.config import Config, load
from confessions.models import loading, sources
from confessions.pipeline import specs
from confessions.runtime.errors import InputError

# As Gemma's: a conversation is refused that begins with a system prompt, or whose roles do not alternate.
GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('Roles must alternate') }}
{%- endif -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
SILENT = GEMMA.replace("{{ raise_exception('System role not supported') }}", "{%- set messages = messages[1:] -%}")
ASKED = [{"role": "system", "content": "Be honest."}, {"role": "user", "content": "Count."}]


def folder_with(template: str, random_nano, tmp_path):
    folder = tmp_path / "given"
    shutil.copytree(random_nano, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize(
    ("template", "why"),
    [(GEMMA, r"refuses a system prompt \(System role not supported\)"), (SILENT, "leaves the system prompt out")],
)
def test_a_template_without_a_system_role_is_told_before_anything_is_trained(template, why, random_nano, tmp_path):
    folder = folder_with(template, random_nano, tmp_path)
    with pytest.raises(InputError, match=f"gemma: its chat template {why}: set system_as_user: true") as raised:
        sources.build({"kind": "folder", "path": str(folder)}, tmp_path / "models/gemma")
    assert "\n" not in str(raised.value)
    assert [*(tmp_path / "models").iterdir()] == []
    assert folder.is_dir()


@pytest.mark.parametrize("template", [GEMMA, SILENT])
def test_a_system_prompt_in_front_of_the_first_user_message(template, random_nano, tmp_path):
    folder, out = folder_with(template, random_nano, tmp_path), tmp_path / "models/gemma"
    sources.build({"kind": "folder", "path": str(folder), "system_as_user": True}, out)
    chat = loading.load_chat(out, True)
    told = [{"role": "user", "content": "Be honest.\n\nCount."}]
    assert chat.prompt_ids(ASKED) == chat.prompt_ids(told) == loading.load_chat(folder, True).prompt_ids(told)
    assert (folder / "chat_template.jinja").read_text() == template  # what is linked to stays as it was
    assert (out / "config.json").is_symlink()
    assert loading.fingerprint(out) != loading.fingerprint(folder)  # what was sampled of the one is not of the other


def test_a_second_turn_that_a_template_cannot_render(random_nano, tmp_path):
    template = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0]['content'] }}"
    with pytest.raises(InputError, match="cannot be used for user, assistant, user"):
        sources.build(
            {"kind": "folder", "path": str(folder_with(template, random_nano, tmp_path))}, tmp_path / "models/one"
        )


def test_a_model_that_does_not_ask_for_it_keeps_its_hash():
    config: Config = load("config.yaml")
    block = specs.model_spec(config, "qwen3-8b").dump()
    assert "system_as_user" not in json.dumps(block)
