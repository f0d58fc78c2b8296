// Feeds AnswerParser an answer whole and in pieces, under any dialects: the events must keep their
// order, complete arguments must be JSON objects, and the cuts must not matter. The first bytes
// choose.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "parse/registry.h"
#include "parse/replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pippin::parse;
  if (size < 4) return 0;
  const auto tools = tool_dialects();
  const auto reasoning = reasoning_dialects();
  AnswerOptions options;
  options.tools = tools[data[0] % tools.size()];
  if (data[1] % 2 == 1) options.reasoning = reasoning[data[1] / 2 % reasoning.size()];
  options.starts_inside = data[2] % 2 == 1;
  if (data[2] & 2) options.generation_prefix = options.tools->generation_prefix;
  if (data[2] & 4) options.offered = example_tools();
  const std::string text(reinterpret_cast<const char*>(data) + 4, size - 4);

  const Replay whole = replay(options, {text});
  std::vector<std::string_view> pieces;
  uint32_t random = data[3] + 1;
  for (size_t at = 0; at < text.size();) {
    random = random * 1664525 + 1013904223;
    const size_t bytes = 1 + (random >> 24) % (1 + data[3] % 32);
    pieces.push_back(std::string_view(text).substr(at, bytes));
    at += bytes;
  }
  const Replay cut = replay(options, pieces);
  const bool same = cut == whole;
  if (same && whole.fault.empty()) return 0;
  std::fprintf(stderr, "%s / %s: %s\nwhole:\n%s\ncut:\n%s\n", options.tools->name.data(),
               options.reasoning ? options.reasoning->name.data() : "none",
               same ? "a fault" : "cuts matter", describe(whole).c_str(), describe(cut).c_str());
  std::abort();
}
