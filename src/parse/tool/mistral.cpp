// Mistral. Older models: [TOOL_CALLS] and a list of JSON calls; from Devstral and Small 3.2 on:
// [TOOL_CALLS]f[ARGS]{..}. Some write f{..} without [ARGS], or an id in [CALL_ID]. One head reads
// them all.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  in.space();
  const char next = in.peek();
  if (next == '[' || next == '{') return json_head(in, context);
  Head found;
  found.name = in.word();
  if (in.accept("[CALL_ID]")) in.word();
  in.accept("[ARGS]");
  expect_json_arguments(in, found);
  return found;
}

}  // namespace

constexpr ToolDialect kMistral = {
    .name = "mistral",
    .start_markers = {"[TOOL_CALLS]"},
    .specials = {"[CALL_ID]", "[ARGS]"},
    .detection = {.all = {"[TOOL_CALLS]"}, .models = {"mistral", "mixtral", "ministral"}},
    .envelope = json_list("[TOOL_CALLS][", "]"),
    .head = head,
    .tail = json_tail,
};

constexpr ToolDialect kMistralArgs = {
    .name = "mistral_args",
    .aliases = {"devstral", "magistral", "mistral_v11"},
    .start_markers = kMistral.start_markers,
    .specials = kMistral.specials,
    .detection = {.all = {"[TOOL_CALLS]", "[ARGS]"},
                  .models = {"devstral", "magistral", "ministral-3"}},
    .envelope = {.prefix = "[TOOL_CALLS]", .infix = "[ARGS]"},
    .head = head,
    .tail = json_tail,
};

}  // namespace pippin::parse
