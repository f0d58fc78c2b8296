// Grammars for calls of tools, in every dialect that has an envelope. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "parse/dialect.h"
#include "service/chat/constraint_text.h"
#include "service/chat/request.h"

namespace pippin::service {

/// What the calls of an answer must be.
struct CallRules {
  const parse::ToolDialect& dialect;
  std::vector<Tool> tools;  // those that may be called; not empty
  bool parallel = true;
  /// Tools that are not strict take any JSON object: their schemas were too much.
  bool loose = false;
  /// Each call stands in a message of its own to its tool: Envelope::address.
  bool addressed = false;
};

/// Returns the text that every section of calls begins with, up to the first name.
std::string calls_begin(const parse::ToolDialect& dialect);

/// Returns a grammar for the arguments of an unmarked call, as a JSON object or as keywords with
/// the closing parenthesis. Brackets and spaces may follow, as in the last token. Errors: as
/// calls_grammar.
Result<std::string> unmarked_arguments_grammar(const text::Tokenizer& tokenizer, const Tool& tool,
                                               parse::ArgumentForm form);

/// Returns an expression for one section of calls, without the first `skipped` bytes of its
/// beginning, which stand already. Errors: kInvalidArgument, naming the tool, and the keyword and
/// its place in its schema; kUnsupported for what a dialect cannot say.
Result<std::string> calls_grammar(LarkText& lark, const CallRules& rules, size_t skipped);

}  // namespace pippin::service
