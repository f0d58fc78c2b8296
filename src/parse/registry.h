// The tables of all dialects, and which of them a model speaks. Thread: any.
#pragma once

#include <span>
#include <string_view>

#include "parse/dialect.h"

namespace pippin::parse {

std::span<const ToolDialect* const> tool_dialects();
std::span<const ReasoningDialect* const> reasoning_dialects();

/// Returns the dialect of this name or alias, or null.
const ToolDialect* find_tool_dialect(std::string_view name);
const ReasoningDialect* find_reasoning_dialect(std::string_view name);

/// Returns the dialect that the template teaches, else the one known of the model's or
/// architecture's name (compared without case), else the generic one.
const ToolDialect& detect_tool_dialect(std::string_view chat_template, std::string_view model);

/// The same for thinking; null if the model is not known to think.
const ReasoningDialect* detect_reasoning_dialect(std::string_view chat_template,
                                                 std::string_view model);

/// Returns whether the parser of these dialects needs a special token's text. All others are no
/// part of an answer's text. Either may be null.
bool looks_for(const ToolDialect* tools, const ReasoningDialect* reasoning,
               std::string_view special);

/// Returns whether the rendered prompt ends inside thinking, so that the answer begins there.
bool starts_inside(const ReasoningDialect& dialect, std::string_view prompt);

/// Returns the start marker that the prompt ends with, so that the answer begins in a call, or "".
std::string_view generation_prefix(const ToolDialect& dialect, std::string_view prompt);

}  // namespace pippin::parse
