// Event: what an answer's text turns out to be, in order: thinking, content, and calls of tools.
// Plain structs. Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pippin::parse {

struct ReasoningText {
  std::string text;
  size_t at = 0;  // where it stands in the answer's text, in bytes
};

struct ContentText {
  std::string text;
  size_t at = 0;  // likewise
};

/// The next call; `index` counts from 0 within an answer. Arguments and one end follow.
struct ToolCallBegin {
  int index = 0;
  std::string name;
};

/// The next piece of a call's arguments, JSON text. The pieces of a complete call, joined, are one
/// JSON object; those of an incomplete call are the start of one.
struct ToolCallArguments {
  int index = 0;
  std::string json;
};

/// The end of a call. `complete` is false when the answer was cut off, or broke, in its arguments:
/// such a call must not be run.
struct ToolCallEnd {
  int index = 0;
  bool complete = true;
};

/// A note for the log: something began as a call and is not one, or only after a repair. Its text
/// has come, or comes, as content or thinking.
struct Malformed {
  std::string_view dialect;
  std::string_view what;
};

using Event = std::variant<ReasoningText, ContentText, ToolCallBegin, ToolCallArguments,
                           ToolCallEnd, Malformed>;
using Events = std::vector<Event>;

}  // namespace pippin::parse
