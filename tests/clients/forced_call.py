"""ForcedCall: has a model that is too small to call tools by itself call one, in the name of the client.

The first request of each turn that offers the tool leaves with tool_choice set to it; in all, its schema allows just
the arguments wanted. So the server holds the model to the call, and the client, its tool and its next request do the
rest by themselves. Standard library only.
"""

import json


class ForcedCall:
    def __init__(self, name, arguments):
        self.name = name
        self.schema = {
            "type": "object",
            "properties": {name: {"type": "string", "const": value} for name, value in arguments.items()},
            "required": list(arguments),
            "additionalProperties": False,
        }
        self.due = False

    def __call__(self, path, body):
        """Returns the body to send."""
        asked = json.loads(body)
        for tool in asked.get("tools") or []:
            function = tool.get("function", tool)
            if function.get("name") != self.name:
                continue
            function["input_schema" if "input_schema" in function else "parameters"] = self.schema
            function["strict"] = True
            if self.due:
                asked["tool_choice"] = self._choice(path)
            self.due = False
        return json.dumps(asked).encode()

    def _choice(self, path):
        if path.startswith("/v1/messages"):
            return {"type": "tool", "name": self.name}
        if path.startswith("/v1/responses"):
            return {"type": "function", "name": self.name}
        return {"type": "function", "function": {"name": self.name}}
