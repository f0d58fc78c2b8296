// Feeds AnswerParser an answer whole and in pieces, under any dialects: the events must keep their
// order, complete arguments must be JSON objects, and the cuts must not matter. The first bytes
// choose.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "parse/registry.h"
#include "parse/replay.h"
#include "target.h"

void pippin::fuzz::one_input(std::string_view input) {
  using namespace pippin::parse;
  if (input.size() < 4) return;
  const auto tools = tool_dialects();
  const auto reasoning = reasoning_dialects();
  AnswerOptions options;
  options.tools = tools[byte_at(input, 0) % tools.size()];
  if (byte_at(input, 1) % 2 == 1)
    options.reasoning = reasoning[byte_at(input, 1) / 2 % reasoning.size()];
  options.starts_inside = byte_at(input, 2) % 2 == 1;
  if (byte_at(input, 2) & 2) options.generation_prefix = options.tools->generation_prefix;
  if (byte_at(input, 2) & 4) options.offered = example_tools();
  const std::string text(input.substr(4));

  const Replay whole = replay(options, {text});
  std::vector<std::string_view> pieces;
  uint32_t random = byte_at(input, 3) + 1;
  for (size_t at = 0; at < text.size();) {
    random = random * 1664525 + 1013904223;
    const size_t bytes = 1 + (random >> 24) % (1 + byte_at(input, 3) % 32);
    pieces.push_back(std::string_view(text).substr(at, bytes));
    at += bytes;
  }
  const Replay cut = replay(options, pieces);
  const bool same = cut == whole;
  if (same && whole.fault.empty()) return;
  std::fprintf(stderr, "%s / %s: %s\nwhole:\n%s\ncut:\n%s\n", options.tools->name.data(),
               options.reasoning ? options.reasoning->name.data() : "none",
               same ? "a fault" : "cuts matter", describe(whole).c_str(), describe(cut).c_str());
  std::abort();
}
