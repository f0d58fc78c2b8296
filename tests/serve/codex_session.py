"""A coding agent's session over /v1/responses, in the shape in which Codex CLI sends it: nothing is stored, the whole
history comes each time, and tools of several kinds are on offer."""

INSTRUCTIONS = (
    "You are a coding agent in a terminal. Work in the user's repository. Prefer small changes. Run the tests "
    "after each change. Use exec_command to run shell commands, and apply_patch to edit files. Say in one sentence "
    "what you did."
)

PATCH_GRAMMAR = r'''
start: "*** Begin Patch" LF part+ "*** End Patch" LF?
part: ("*** Add File: " | "*** Update File: " | "*** Delete File: ") NAME LF line*
line: /[ +\-@][^\n]*/ LF
NAME: /[^\n]+/
LF: "\n"
'''

TOOLS = [
    {
        "type": "function",
        "name": "exec_command",
        "description": "Runs a command in a terminal and returns its output.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {
                "cmd": {"type": "string", "description": "The command."},
                "workdir": {"type": "string"},
                "yield_time_ms": {"type": "number"},
            },
            "required": ["cmd"],
            "additionalProperties": False,
        },
    },
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files. The input is a patch, not JSON.",
        "format": {"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR},
    },
    {
        "type": "namespace",
        "name": "mcp__issues",
        "description": "The tracker.",
        "tools": [{"type": "function", "name": "show", "parameters": {"type": "object", "properties": {}}}],
    },
    {"type": "web_search", "external_web_access": False},
    {"type": "image_generation", "output_format": "png"},
    {"type": "local_shell"},
]


def message(role, *texts):
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text} for text in texts]}


FIRST_INPUT = [
    message("developer", "<permissions>The sandbox allows writing in the working directory only.</permissions>"),
    message("user", "<environment_context><cwd>/repo</cwd><shell>bash</shell></environment_context>"),
    message("user", "Rename the function old_name to new_name in main.py."),
]

# What the agent sends back of the first turn, and what its tools said.
FIRST_TURN = [
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "I look for the function first."}],
        "content": None,
        "encrypted_content": "pippin-reasoning:I look for the function first.",
    },
    {
        "type": "function_call",
        "name": "exec_command",
        "arguments": '{"cmd": "grep -n old_name main.py"}',
        "call_id": "call_1",
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "1:def old_name():"},
    {
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "call_2",
        "name": "apply_patch",
        "input": "*** Begin Patch\n*** Update File: main.py\n@@\n-def old_name():\n+def new_name():\n*** End Patch",
    },
    {
        "type": "custom_tool_call_output",
        "call_id": "call_2",
        "output": '{"output": "Success", "metadata": {"exit_code": 0}}',
    },
]


def request(items, **more):
    return {
        "model": "default",
        "instructions": INSTRUCTIONS,
        "input": items,
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "client_metadata": {"session_id": "0199a213"},
        "text": {"verbosity": "medium"},
        **more,
    }
