"""Reads answers of all APIs as a client's own reader would: whole, well-formed, ended. Standard library only."""

import json
import re


def events(text):
    """The JSON values of a stream of server-sent events; "[DONE]" stays a string."""
    for block in text.split("\n\n"):
        data = [line[6:] for line in block.splitlines() if line.startswith("data: ")]
        if data:
            yield data[0] if data == ["[DONE]"] else json.loads("\n".join(data))


def _chat_fault(seen):
    if seen[-1] != "[DONE]":
        return "the stream does not end with [DONE]"
    chunks = seen[:-1]
    if any("error" in chunk for chunk in chunks):
        return next(f"error in the stream: {chunk['error']}" for chunk in chunks if "error" in chunk)
    finished = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    called = any(choice["delta"].get("tool_calls") for chunk in chunks for choice in chunk["choices"])
    if len(finished) != 1:
        return f"finish reasons: {finished}"
    if called and finished[0] not in ("tool_calls", "length"):
        return f"calls, and the finish reason {finished[0]}"
    return None


def _responses_fault(seen):
    if seen[0]["type"] != "response.created":
        return f"the first event is {seen[0]['type']}"
    if seen[-1]["type"] not in ("response.completed", "response.incomplete"):
        return f"the last event is {seen[-1]}"
    done = [event["item"] for event in seen if event["type"] == "response.output_item.done"]
    return None if done == seen[-1]["response"]["output"] else "the items are not the response's output"


def _messages_fault(seen):
    kinds = [event["type"] for event in seen]
    if kinds[0] != "message_start" or kinds[-2:] != ["message_delta", "message_stop"]:
        return f"events {kinds[:2]} ... {kinds[-2:]}"
    return "an error in the stream" if "error" in kinds else None


def fault(path, answer, streamed):
    """Returns None for a good answer, else what is wrong with it."""
    try:
        if not streamed:
            if answer.strip():
                json.loads(answer)
            return None
        seen = list(events(answer))
        if not seen:
            return "an empty stream"
        if path.startswith("/v1/responses"):
            return _responses_fault([event for event in seen if event != "[DONE]"])
        return _messages_fault(seen) if path.startswith("/v1/messages") else _chat_fault(seen)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return f"unreadable: {type(error).__name__}: {error}"


def usage(path, answer, streamed):
    """Returns (prompt tokens, cached ones) or None."""
    try:
        if path.startswith("/v1/responses"):
            whole = [event for event in events(answer) if event != "[DONE]"] if streamed else []
            got = whole[-1]["response"]["usage"] if streamed else json.loads(answer)["usage"]
            return got["input_tokens"], got["input_tokens_details"]["cached_tokens"]
        if path.startswith("/v1/messages"):
            got = list(events(answer))[-2]["usage"] if streamed else json.loads(answer)["usage"]
            cached = got["cache_read_input_tokens"]
            return got["input_tokens"] + got["cache_creation_input_tokens"] + cached, cached
        whole = [event for event in events(answer) if event != "[DONE]"] if streamed else [json.loads(answer)]
        got = next(event["usage"] for event in reversed(whole) if event.get("usage"))
        return got["prompt_tokens"], got["prompt_tokens_details"]["cached_tokens"]
    except (ValueError, KeyError, TypeError, IndexError, StopIteration):
        return None


def warnings(answer):
    """The codes of the warnings in an answer of any API, each once."""
    found = re.findall(r'"warnings":(\[.*?\])[,}]', answer)
    return sorted({warning["code"] for listed in found for warning in json.loads(listed)})


def is_cut(answer):
    """Whether the answer ends at the limit for its length."""
    return re.search(r'"finish_reason":"length"|"stop_reason":"max_tokens"|"reason":"max_output_tokens"', answer)


def is_stream(headers):
    return any(name.lower() == "content-type" and "event-stream" in value for name, value in headers.items())


def usage_of(exchange):
    """The same of a recorded exchange."""
    if exchange["method"] != "POST" or exchange.get("status") != 200:
        return None
    return usage(exchange["path"], exchange["answer"], is_stream(exchange["answer_headers"]))


def report(exchanges, may_be_missing=()):
    """Prints a line for each exchange. Returns what is wrong."""
    faults = []
    for exchange in exchanges:
        method, path, status = exchange["method"], exchange["path"], exchange.get("status")
        streamed = is_stream(exchange.get("answer_headers", {}))
        wrong = None
        if exchange["ended"] == "the client left":
            pass
        elif status is None or exchange["ended"] != "whole":
            wrong = exchange["ended"]
        elif status >= 400:
            wrong = None if path.startswith(may_be_missing or ("\0",)) else exchange["answer"][:500]
        else:
            wrong = fault(path, exchange["answer"], streamed)
        warned = ", ".join(warnings(exchange["answer"]))
        tokens = usage_of(exchange)
        told = f"{tokens[0]} prompt tokens, {tokens[1]} cached" if tokens else ""
        told += f"  warned: {warned}" if warned else ""
        print(f"{method:5} {path:40} {status} {exchange['seconds']:7.1f} s  {told}")
        if wrong:
            faults.append(f"{method} {path}: {status}: {wrong}")
    return faults
