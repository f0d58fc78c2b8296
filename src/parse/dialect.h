// ToolDialect, ReasoningDialect: how a family of models writes calls of tools and its thinking.
// Each is one constant row in tool/ or reasoning/.
// Thread: any.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "parse/texts.h"

namespace pippin::parse {

class Cursor;
struct Head;
struct HeadContext;
struct NestingState;

/// How a call's arguments are written.
enum class ArgumentForm : uint8_t {
  kJson,      // {"k": "v"}
  kTagged,    // <parameter=k>v</parameter>: Tags says how
  kKeywords,  // k='v', n=1 as in Python
  kGemma,     // {k:<|"|>v<|"|>,n:1}: bare keys, strings between Envelope::quote
};

/// The texts around an argument of the tagged form: key_open k key_close v value_close. What a
/// model writes between key_close's first character and its last (attributes) is passed over when
/// `attributes` is set.
struct Tags {
  std::string_view key_open, key_close, value_close;
  std::string_view value_open = {};  // if set: whitespace and this follow key_close
  bool attributes = false;
  std::string_view attributes_end = ">";
  bool cdata = false;   // a value may stand in <![CDATA[ ]]>
  bool nested = false;  // <k>v</k> with a mark before each tag (key_open without its "<"), and
                        // objects and lists (of <item>) in the same way
  Texts ends = {};      // what may follow the last argument
};

/// How the calls of one answer are written: section_begin, calls joined by separator, section_end;
/// a call is prefix, name, infix, arguments, suffix. `{index}` in them stands for the call's number
/// from 0. Grammars for forced calls and the history of calls are made from it.
struct Envelope {
  std::string_view section_begin = {};
  std::string_view prefix = {}, infix = {}, suffix = {};
  std::string_view separator = {};
  std::string_view section_end = {};
  /// Where a message of calls is addressed to its tool: what stands before a section at the start
  /// of an answer, `{name}` in it being the call's, and between such sections of one call each.
  std::string_view address = {}, next_address = {};
  ArgumentForm form = ArgumentForm::kJson;
  const Tags* tags = nullptr;     // of kTagged
  std::string_view quote = "\"";  // around strings of kGemma
};

/// Patterns that tell which dialect a model writes.
struct DetectionPatterns {
  Texts all = {};   // each stands in the chat template
  Texts any = {};   // so does one of these, if there are any
  Texts none = {};  // and none of these
  Texts models =
      {};  // or, without a telling template: a part of the model's or architecture's name
  Texts others = {};  // parts of the names of models that `models` does not mean
};

/// What follows a call.
enum class Next : uint8_t { kText, kCall };

struct ToolDialect {
  std::string_view name;
  Texts aliases = {};
  Texts start_markers = {};  // also the triggers of a grammar in `auto`
  /// Start markers that are ordinary text, too. Only the generic dialect has them, and every other
  /// falls back on it. They count only at the start of a line, outside thinking, and when the call
  /// names an offered tool.
  Texts unmarked = {};
  Texts end_markers = {};  // what ends a call or a section, in JSON and keyword forms
  Texts specials = {};     // special tokens that only the code below names
  Texts stops = {};        // texts that end the answer after a call; the caller's to add
  std::string_view generation_prefix = {};  // a start marker that ends the prompt
  DetectionPatterns detection = {};
  Envelope envelope = {};
  /// Reads what follows a start marker, or a call, up to the arguments. Requires: a pure function
  /// of the text whose answer, once it is not "more", does not change as text follows.
  Head (*head)(Cursor& in, const HeadContext& context);
  /// Reads what follows the arguments. Requires: as `head`.
  Next (*tail)(Cursor& in, NestingState& nesting, const ToolDialect& dialect);
};

/// A text that changes between thinking and content, or that belongs to neither.
struct Mark {
  enum class Turn : uint8_t { kOpen, kClose, kDrop };
  Turn turn;
  std::string_view text;
  std::string_view until = {};  // if set: all up to and with this text belongs to the mark
};

struct ReasoningDialect {
  std::string_view name;
  Texts aliases = {};
  std::array<Mark, 12> marks;  // those with empty texts are unused
  /// Whether thinking may open behind content too, as only special tokens can.
  bool anywhere = false;
  std::string_view end = {};  // what ends thinking early; empty: made of the closing mark
  DetectionPatterns detection = {};
};

/// Returns the text that ends thinking early.
std::string end_of_thinking(const ReasoningDialect& dialect);

/// A tool as the request offers it.
struct ToolSpec {
  std::string name;
  std::string parameters_json;  // its JSON Schema; may be empty
  /// A call without marks counts only where its arguments follow its name, so that they can
  /// be held to the schema while they are written.
  bool strict = false;
};

/// The arguments of a call without marks, before their first byte.
struct ArgumentsAhead {
  std::string name;  // of the tool
  ArgumentForm form = ArgumentForm::kJson;
};

/// An earlier call, to be written into the history.
struct PastCall {
  std::string name;
  std::string arguments_json;
};

/// Returns calls in the dialect's own text, for templates that cannot write them. Arguments that
/// are not a JSON object are written as they are, in whatever form.
std::string render_calls(const ToolDialect& dialect, const std::vector<PastCall>& calls);

}  // namespace pippin::parse
