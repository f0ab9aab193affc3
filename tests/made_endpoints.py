"""Models that Inspect asks, without a network: one in this process, one in any process, and a server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from confessions.models import endpoint

SAYING = '''
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi


@modelapi(name="saying")
class Saying(ModelAPI):
    """Says a verdict where it is asked for one, and else how many words it was asked with."""

    async def generate(self, input, tools, tool_choice, config):
        asked = input[-1].text
        said = "Verdict: Pass" if "Verdict:" in asked else f"{len(asked.split())} words"
        output = ModelOutput.from_content("x", said)
        output.usage = ModelUsage()  # else Inspect counts tokens with a vocabulary from the network
        return output
'''


def folder(path: Path, model: str, **source: Any) -> Path:
    """A model folder as `build-model` makes it."""
    endpoint.write({"kind": "inspect", "model": model, **source}, path)
    return path


def mocked(path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., Any], **source: Any) -> Path:
    """The folder of Inspect's mockllm that says what `say` makes of its messages and its configuration: a text, or a
    ModelOutput, or an exception that is raised."""
    import inspect_ai.model
    from inspect_ai.model import ModelOutput, ModelUsage
    from inspect_ai.model._model import get_model

    def reply(input, tools, tool_choice, config):
        said = say(input, config)
        if isinstance(said, Exception):
            raise said
        output = ModelOutput.from_content("mockllm", said) if isinstance(said, str) else said
        output.usage = ModelUsage()
        return output

    monkeypatch.setattr(
        inspect_ai.model, "get_model", lambda model, **more: get_model(model, custom_outputs=reply, **more)
    )
    return folder(path, "mockllm/model", **source)


def install_saying(site: Path) -> None:
    """Into a folder for PYTHONPATH: a provider of Inspect's as a package brings it along."""
    (site / "saying.py").write_text(SAYING)
    about = site / "saying-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: saying\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[inspect_ai]\nsaying = saying\n")


@contextmanager
def server(answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> Iterator[str]:
    """The address of a server on this machine that speaks /v1/chat/completions: `answer` makes of a request the status
    and the body, a text or what becomes JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked | {"authorization": self.headers["Authorization"], "path": self.path})
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            with suppress(ConnectionError):  # who asked may have waited long enough
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/v1"
    finally:
        listening.shutdown()
        listening.server_close()


def completion(text: str, finish: str = "stop", logprobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A body as OpenAI's API has it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    choice["logprobs"] = logprobs and {"content": logprobs}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "x", "choices": [choice], "usage": usage}
