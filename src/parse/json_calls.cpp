// Calls written as JSON objects.
#include "parse/call.h"
#include "parse/json_text.h"

namespace pippin::parse {
namespace {

constexpr Texts kNameKeys = {"name", "tool_name", "function", "function_name", "tool"};
constexpr Texts kArgumentKeys = {"arguments", "parameters", "args", "input"};
// An unmarked object whose first key is another one is no call: it need not be held back.
constexpr Texts kFirstKeys = {"name",       "tool_name", "function", "arguments",
                              "parameters", "type",      "id",       "tool_call_id"};

/// The members of a call seen so far.
struct Members {
  std::string name;
  std::string arguments;  // as JSON, if they came before the name
};

// "{\"a\": 1}" -> {"a": 1}; "" and null -> {}. Fails on what is no object.
std::string as_object(Cursor& in, const std::string& json) {
  std::string object = json;
  if (json.starts_with('"')) object = to_json(trim(unquoted(json))).value_or("");
  if (json == "null" || json == "\"\"") object = "{}";
  if (!object.starts_with('{')) in.fail();
  return object;
}

// At the value of "arguments" with the name known: decides how they are to be read.
void begin_arguments(Cursor& in, Head& head) {
  const size_t begin = in.at();
  if (in.accept("\"")) {
    in.space();
    if (in.peek() == '{') {
      head.in_string = true;
      return;
    }
    if (!in.reading()) return;
    in.rewind(begin);
  } else if (in.peek() == '{') {
    return;
  }
  head.whole = as_object(in, take_value(in));
}

// Reads one member; returns true where the arguments begin and are to be streamed.
bool read_member(Cursor& in, const HeadContext& context, bool first, Head& head, Members& members) {
  const std::string key = take_string(in);
  if (in.reading() && first && context.unmarked && !kFirstKeys.contains(key)) in.decline();
  in.space();
  in.expect(":");
  in.space();
  if (key == "function" && in.peek() == '{') {
    in.skip();
    ++head.nesting.braces;
    return false;
  }
  if (kNameKeys.contains(key) && in.peek() == '"') {
    members.name = take_string(in);
    return false;
  }
  if (!kArgumentKeys.contains(key)) {
    take_value(in);
    return false;
  }
  if (members.name.empty()) {
    members.arguments = as_object(in, take_value(in));
    return false;
  }
  begin_arguments(in, head);
  return true;
}

}  // namespace

Head json_head(Cursor& in, const HeadContext& context) {
  Head head;
  if (!context.first) head.nesting = context.nesting;
  head.nesting.strict = context.unmarked;
  head.nesting.braces = 1;
  head.nesting.inner = 0;
  // Phi-4's start marker contains the list's bracket.
  if (context.first && context.start_marker.ends_with('[')) head.nesting.list = true;
  in.space();
  if (!head.nesting.list && !context.unmarked && in.accept("[")) {
    head.nesting.list = true;
    in.space();
  }
  // A bare call's start marker is its brace.
  if (!context.first || context.start_marker != "{") in.expect("{");
  // Qwen2.5-Coder's template shows calls with "{{", as if a formatter were to read it, and its
  // models write what they are shown.
  in.space();
  head.nesting.doubled = in.accept("{");
  Members members;
  bool first = true;
  while (in.reading()) {
    in.space();
    if (in.accept("}")) {
      // No arguments behind the name: they came before it, or there are none.
      if (--head.nesting.braces > 0 && members.name.empty()) continue;
      if (context.unmarked && members.arguments.empty()) in.decline();
      head.whole = members.arguments.empty() ? "{}" : members.arguments;
      break;
    }
    if (!first && !in.accept(",")) in.fail();
    in.space();
    const int braces = head.nesting.braces;
    if (read_member(in, context, first, head, members)) break;
    first = head.nesting.braces > braces;
  }
  head.name = members.name;
  return head;
}

void expect_json_arguments(Cursor& in, Head& head) {
  in.space();
  if (in.peek() != '{') in.fail();
  head.form = ArgumentForm::kJson;
}

bool json_comes(Cursor& in) {
  const size_t begin = in.at();
  if (in.accept("[")) in.space();
  const bool json = in.peek() == '{';
  if (in.reading()) in.rewind(begin);
  return json;
}

Next json_close(Cursor& in, NestingState& nesting) {
  while (in.reading() && nesting.braces > 0 && !in.ended()) {
    in.space();
    if (in.accept("}")) {
      --nesting.braces;
    } else if (in.accept(",")) {
      in.space();
      take_string(in);
      in.space();
      in.expect(":");
      in.space();
      take_value(in);
    } else {
      if (nesting.strict) in.fail();
      break;  // a forgotten brace
    }
  }
  if (in.ended()) return Next::kText;
  size_t end = in.at();
  // One too many.
  for (in.space(); (!nesting.strict || nesting.doubled) && in.accept("}"); in.space()) {
    end = in.at();
    nesting.doubled = false;
  }
  if (in.ended()) return Next::kText;
  if (in.accept(",") || in.accept(";")) {
    in.space();
    if (!in.ended() && in.peek() == '{') return Next::kCall;
    if (in.reading() && !nesting.list) in.rewind(end);
    if (!nesting.list) return Next::kText;
  }
  if (nesting.list && in.accept("]")) {
    nesting.list = false;
    return Next::kText;
  }
  if (!in.ended() && in.peek() == '{' && !nesting.strict) return Next::kCall;
  if (in.reading()) in.rewind(end);
  return Next::kText;
}

Next json_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  if (json_close(in, nesting) == Next::kCall) return Next::kCall;
  const size_t end = in.at();
  in.space();
  if (!in.ended() && in.accept_any(dialect.end_markers) < 0 && in.reading()) in.rewind(end);
  return Next::kText;
}

}  // namespace pippin::parse
