"""A coding agent's session over /v1/messages, in the shape in which Claude Code sends it: a system prompt of blocks
with a line that changes with each request, tools with cache marks, reminders in the user's turns, and the whole history
each time. The texts are filler of that shape."""

import random

from replay import filler


def words(count, seed):
    """About so many words of filler."""
    return filler(7 * count, count // 12 + 1, seed)


def billing_header(turn):
    mark = random.Random(turn).getrandbits(20)
    return f"x-anthropic-billing-header: cc_version=2.1.{turn}; cc_entrypoint=cli; cch={mark:05x};"


def tool(name, count):
    return {
        "name": name,
        "description": words(count, name),
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "The absolute path to the file."},
                "limit": {"type": "number", "description": "The number of lines."},
            },
            "required": ["file_path"],
            "additionalProperties": False,
        },
    }


class Session:
    """The conversation as the client keeps it."""

    def __init__(self, prompt_words, tools=4):
        self.messages = []
        self.system_words = prompt_words // 2
        self.tools = [tool(name, prompt_words // 2 // tools) for name in ("Read", "Bash", "Edit", "Grep")[:tools]]
        self.turns = 0

    def ask(self, text):
        reminder = "<system-reminder>\nAs you answer, you can use this context:\n# currentDate\n</system-reminder>\n"
        blocks = [{"type": "text", "text": reminder}, {"type": "text", "text": text}]
        self.messages.append({"role": "user", "content": blocks})

    def answered(self, content):
        self.messages.append({"role": "assistant", "content": content})

    def tool_result(self, tool_use_id, text):
        block = {"type": "tool_result", "tool_use_id": tool_use_id, "content": text}
        self.messages.append({"role": "user", "content": [block]})
        self.messages.append({"role": "system", "content": f"Token usage: {len(text)} of 200000"})

    def request(self, **fields):
        """The next request. The order of tools, the first line and the marks change with each, as they do."""
        self.turns += 1
        mark = {"cache_control": {"type": "ephemeral"}}
        system = [
            {"type": "text", "text": billing_header(self.turns)},
            {"type": "text", "text": "You are a coding agent.", **mark},
            {"type": "text", "text": words(self.system_words, "system"), **mark},
        ]
        tools = [dict(tool) for tool in self.tools]
        random.Random(self.turns).shuffle(tools)
        tools[-1] |= mark
        messages = [dict(message) for message in self.messages]
        last = messages[-1]
        if isinstance(last["content"], list):
            last["content"] = [*last["content"][:-1], last["content"][-1] | mark]
        return {
            "model": "claude-sonnet-4-5-20250929",
            "max_tokens": 16,
            "temperature": 0,
            "system": system,
            "tools": tools,
            "messages": messages,
            "metadata": {"user_id": f"user_{self.turns:064x}_account__session_{self.turns}"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        } | fields
