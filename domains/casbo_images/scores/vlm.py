"""A vision-language model asked about each picture, through an OpenAI-compatible endpoint.

Source: https://platform.openai.com/docs/api-reference/chat; vLLM, llama.cpp, Ollama and others
serve the same.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from casbo.errors import CandidateFailed
from casbo.scorer import Direction

from ..errors import ImageError
from ..pictures import png_bytes
from .candidates import score_pictures
from .rating import rating
from .service import Retries, Service

if TYPE_CHECKING:
    from PIL.Image import Image


class VlmScore:
    """Scorer: N images -> (N,), the numbers with which a model answers a question about each.

    Arguments:
        question: What is asked, "How appetising is this dish?".
        model: The model's name at the endpoint.
        base_url: The endpoint's address before ``/chat/completions``.
        api_key_env: The environment variable that holds the key; it is read at each call and kept
            nowhere. None, or one that is not set, sends no key.
        low, high: The range of answers; others fail.
        direction: Whether high or low answers are good.
        parallel: How many questions are asked at once.
        options: More for the request's body (``{"max_tokens": 16, "seed": 0}``), or other values
            for what stands in it.
        timeout: Seconds an attempt may take.
        attempts: How often a question is sent at most.
        retries: All about waits; takes the place of ``attempts``.

    Raises:
        ImageError: When the address or an option cannot be used.
    """

    def __init__(
        self,
        question: str,
        model: str,
        base_url: str = "http://localhost:8000/v1",
        *,
        api_key_env: str | None = "OPENAI_API_KEY",
        low: float = 0,
        high: float = 10,
        direction: Direction = "maximize",
        parallel: int = 4,
        options: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        retries: Retries | None = None,
    ) -> None:
        if not question.strip():
            raise ImageError("Expected a question about the pictures, got an empty text.")
        if not low < high:
            raise ImageError(f"Expected low < high, got {low} and {high}.")
        if parallel < 1:
            raise ImageError(f"Expected parallel >= 1 questions at once, got {parallel}.")
        self.question, self.model = question, model
        self.low, self.high = low, high
        self.direction = direction
        self.parallel = parallel
        self.options = dict(options or {})
        self.api_key_env = api_key_env
        self.service = Service(
            f"{base_url.rstrip('/')}/chat/completions",
            timeout=timeout,
            retries=retries or Retries(attempts),
        )

    def prepare(self) -> None:
        """Make this process's client; nothing is sent."""
        self.service.prepare()

    def __call__(self, samples: Sequence[Image]) -> list[float | CandidateFailed]:
        self.prepare()  # before there are threads
        return score_pictures(samples, self._answers)

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {
            "name": "VlmScore",
            "question": self.question,
            "model": self.model,
            "url": self.service.address,
            "range": [self.low, self.high],
            "options": self.options,
        }

    def _answers(self, pictures: list[Image]) -> list[float | CandidateFailed]:
        with ThreadPoolExecutor(min(self.parallel, len(pictures))) as threads:
            return list(threads.map(self._answer, range(len(pictures)), pictures))

    def _answer(self, position: int, picture: Image) -> float | CandidateFailed:
        try:
            answer = self.service.post(self._body(picture), key=str(position), headers=self._key())
            return rating(_text(answer), self.low, self.high)
        except CandidateFailed as reason:
            return reason

    def _key(self) -> dict[str, str]:
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _body(self, picture: Image) -> dict[str, Any]:
        task = (
            f"{self.question}\n\nAnswer with one number from {self.low:g} to {self.high:g} and "
            "nothing else."
        )
        address = "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode("ascii")
        content = [
            {"type": "text", "text": task},
            {"type": "image_url", "image_url": {"url": address}},
        ]
        messages = [{"role": "user", "content": content}]
        return {"model": self.model, "messages": messages, "temperature": 0, **self.options}


def _text(answer: Any) -> str:  # noqa: ANN401
    """What the model said.

    Raises:
        CandidateFailed: When the answer is none of a chat, or the model said nothing.
    """
    try:
        message = answer["choices"][0]["message"]
        said = message.get("content") or message.get("refusal") or ""
        if not isinstance(said, str):
            said = "".join(part.get("text", "") for part in said)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise CandidateFailed(f"expected a chat completion, got {answer!r:.120}") from None
    return said
