// Replay: an answer fed to AnswerParser in given pieces, its events joined and checked for order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parse/answer_parser.h"

namespace pippin::parse {

struct ReplayedCall {
  std::string name, arguments;
  bool complete = false;
  bool operator==(const ReplayedCall&) const = default;
};

struct Replay {
  std::string reasoning, content;
  std::vector<ReplayedCall> calls;
  std::string order;  // "RCTC": what came after what, each run once; 'T' for a call
  int notes = 0;
  std::string fault;  // an event out of order, or arguments that are no JSON; empty if none
  bool operator==(const Replay&) const = default;
};

/// Feeds the pieces and checks what holds for every answer.
Replay replay(const AnswerOptions& options, const std::vector<std::string_view>& pieces);

/// The text cut into its characters; bytes that are no UTF-8 stand alone.
std::vector<std::string_view> characters(std::string_view text);

/// The tools that cases and fuzzer offer.
const std::vector<ToolSpec>& example_tools();

std::string describe(const Replay& result);

}  // namespace pippin::parse
