// Harmony, gpt-oss: a message whose header names a recipient is a call:
// <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{..}<|call|>.
// The recipient may stand before the channel. Messages without one are thinking or content, which
// the reasoning dialect tells apart.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr size_t kHeaderBytesMax = 256;

Head head(Cursor& in, const HeadContext&) {
  Head found;
  const std::string_view header = in.until("<|message|>", kHeaderBytesMax);
  if (!in.reading()) return found;
  const size_t to = header.find("to=");
  const bool other = header.find("<|message") != std::string_view::npos ||
                     header.find("<|end|>") != std::string_view::npos;
  if (to == std::string_view::npos || other) {
    in.decline();
    return found;
  }
  std::string_view name = header.substr(to + 3);
  name = name.substr(0, name.find_first_of(" <\n"));
  constexpr std::string_view kNamespace = "functions.";
  if (name.starts_with(kNamespace)) name.remove_prefix(kNamespace.size());
  found.name = name;
  expect_json_arguments(in, found);
  return found;
}

}  // namespace

constexpr ToolDialect kHarmony = {
    .name = "harmony",
    .aliases = {"gpt-oss", "gpt_oss", "openai"},
    .start_markers = {"<|start|>assistant", "<|channel|>commentary", "<|channel|>analysis"},
    .end_markers = {"<|call|>", "<|end|>"},
    .stops = {"<|call|>"},
    .generation_prefix = "<|start|>assistant",
    .detection = {.all = {"<|channel|>", "<|message|>"}, .models = {"gpt-oss", "gpt_oss"}},
    .envelope = {.prefix = "<|start|>assistant<|channel|>commentary to=functions.",
                 .infix = " <|constrain|>json<|message|>",
                 .suffix = "<|call|>"},
    .head = head,
    .tail = json_tail,
};

}  // namespace pippin::parse
