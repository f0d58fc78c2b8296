// Head, NestingState, and the heads and tails that dialects share. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parse/cursor.h"
#include "parse/dialect.h"

namespace pippin::parse {

/// What a head has opened and the tail must close.
struct NestingState {
  int braces = 0;        // JSON objects around the arguments
  bool doubled = false;  // the first brace came twice; the last one may, too
  bool list = false;     // a list of calls
  bool fence = false;    // a ``` block
  bool strict = false;   // unmarked: nothing missing is forgiven
  int inner = 0;         // dialect's own: an inner tag to close
};

/// A call up to its arguments.
struct Head {
  std::string name;
  ArgumentForm form = ArgumentForm::kJson;
  bool in_string = false;      // the JSON stands in a JSON string
  const Tags* tags = nullptr;  // of kTagged
  std::optional<std::string>
      whole;  // all arguments, where they came before the name, or not at all
  NestingState nesting = {};
  bool skipped = false;       // a marker that is no call and no text
  bool offered_only = false;  // no call unless the name is offered
};

struct HeadContext {
  const ToolDialect& dialect;
  std::string_view start_marker;  // of the call or, behind another call, of its section
  bool unmarked;                  // the start marker is ordinary text, too
  bool first;                     // of its section
  NestingState nesting;           // of the call before, if not the first
};

/// JSON calls: {"name": .., "arguments": {..}}, or a list of them, or {"function": {..}} around.
Head json_head(Cursor& in, const HeadContext& context);
/// Returns whether a JSON call, or a list of them, comes next, for models that write Python calls
/// too; takes nothing.
bool json_comes(Cursor& in);
/// Closes what json_head opened, then one of dialect.end_markers if it has any.
Next json_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect);
/// Closes only the objects and lists; returns kCall if another call follows.
Next json_close(Cursor& in, NestingState& nesting);

/// A name from outside JSON, followed by a JSON object: the reading stops at its brace.
void expect_json_arguments(Cursor& in, Head& head);

/// Python calls, f(a=1), or a list of them.
Head keyword_head(Cursor& in, const HeadContext& context);
Next keyword_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect);

/// Closes a list, then one of `end_markers`, if there are any; without, more calls may follow.
Next keyword_close(Cursor& in, NestingState& nesting, const Texts& end_markers);

/// <invoke name="f"> with tagged arguments; the envelope's prefix and tags tell the texts.
Head invoke_head(Cursor& in, const HeadContext& context);
Next invoke_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect);

/// What stands in <tool_call>: JSON, <function=f> with parameters, or f with <arg_key>s.
Head tag_head(Cursor& in, const HeadContext& context);
Next tag_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect);
extern const Tags kParameterTags;  // <parameter=k>v</parameter>
extern const Tags kArgKeyTags;     // <arg_key>k</arg_key><arg_value>v</arg_value>

}  // namespace pippin::parse
