"""Bodies with every field that a route knows, and addresses with theirs: what the fuzzer breaks."""

PARAMETERS = {"type": "object", "properties": {"x": {"type": "integer"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": PARAMETERS, "strict": False}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

# What chats, completions and responses share.
SAMPLING = {
    "temperature": 1,
    "top_p": 1,
    "top_k": 5,
    "min_p": 0.1,
    "typical_p": 1,
    "top_n_sigma": 0,
    "xtc_probability": 0,
    "dynatemp_range": 0,
    "mirostat": 0,
    "seed": 1,
    "min_tokens": 0,
    "stop": ["x"],
    "stop_token_ids": [1],
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "repetition_penalty": 1,
    "logit_bias": {"1": 1},
    "allowed_tokens": [1],
    "dry_sequence_breakers": ["a"],
    "ignore_eos": False,
    "cache_salt": "s",
    "timeout": 60,
    "priority": 0,
}
LABELS = {
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "store": False,
}
THINKING = {
    "reasoning_effort": "low",
    "thinking_budget": 5,
    "thinking": {"type": "enabled"},
    "reasoning": {"effort": "low"},
    "chat_template_kwargs": {"a": 1},
    "enable_thinking": True,
}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}

CHAT = {
    "model": "default",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "n"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "n": 1,
    "max_tokens": 1,
    "max_completion_tokens": 1,
    "logprobs": True,
    "top_logprobs": 1,
    "prediction": {"type": "content", "content": "x"},
    **SAMPLING,
    **LABELS,
    **THINKING,
    **STREAM,
}
COMPLETION = {
    "model": "default",
    "prompt": ["Hi", [1, 2]],
    "n": 1,
    "best_of": 1,
    "echo": False,
    "logprobs": 1,
    "max_tokens": 1,
    "suffix": "",
    "regex": "[a-z]",
    **SAMPLING,
    **STREAM,
}
RESPONSE = {
    "model": "default",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ],
    "instructions": "Be short.",
    "tools": [
        {"type": "function", **FUNCTION},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": True,
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "top_logprobs": 1,
    "max_output_tokens": 1,
    "max_tool_calls": 1,
    "truncation": "disabled",
    "background": False,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    **SAMPLING,
    **LABELS,
}
TOKENIZE = {"prompt": "Hi", "add_special_tokens": True, "return_token_strs": True}
DETOKENIZE = {"tokens": [1, 2, 3]}

VALID = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETION,
    "/v1/responses": RESPONSE,
    "/v1/responses/input_tokens": RESPONSE,
    "/v1/tokenize": TOKENIZE,
    "/tokenize": TOKENIZE,
    "/v1/detokenize": DETOKENIZE,
    "/detokenize": DETOKENIZE,
}
# (method, path, fields behind the "?")
PATHS = [
    ("GET", "/v1/models/{id}", []),
    ("GET", "/v1/responses/{id}", ["stream", "starting_after", "include"]),
    ("DELETE", "/v1/responses/{id}", []),
    ("POST", "/v1/responses/{id}/cancel", []),
    ("GET", "/v1/responses/{id}/input_items", ["limit", "order", "after", "include"]),
    ("POST", "/v1/requests/{id}/cancel", []),
    ("DELETE", "/v1/requests/{id}", []),
]
# Routes that take nothing that could be wrong.
NO_BODY = {("GET", "/health"), ("GET", "/metrics"), ("GET", "/v1/status"), ("GET", "/v1/models"),
           ("GET", "/v1/routes")}
# Other APIs' routes have other forms of errors, and fuzzers of their own.
OUR_ROUTES = ("/v1/", "/tokenize", "/detokenize", "/health", "/metrics")
# To load and unload a model is no matter of bytes; test_models_pool.py does it.
FOREIGN_ROUTES = ("/v1/messages", "/v1/models/load", "/v1/models/unload")
