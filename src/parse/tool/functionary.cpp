// Functionary. v2: <|recipient|>f<|content|>{..}; v3.1: <function=f>{..}</function>; v3.2: >>>f, a
// line end, {..}, where the template has written the first >>>. The recipient "all" is the user.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr size_t kNameBytesMax = 256;

Head recipient(std::string_view name, Cursor& in) {
  Head found;
  found.name = trim(name);
  if (found.name == "all") {
    found.skipped = true;
    return found;
  }
  expect_json_arguments(in, found);
  return found;
}

Head head_2(Cursor& in, const HeadContext&) {
  in.space();
  const std::string_view name = in.until("<|content|>", kNameBytesMax);
  return recipient(name, in);
}

Head head_32(Cursor& in, const HeadContext&) {
  const std::string_view name = in.word();
  in.expect("\n");
  return recipient(name, in);
}

}  // namespace

constexpr ToolDialect kFunctionary2 = {
    .name = "functionary_v2",
    .start_markers = {"<|from|>assistant\n<|recipient|>", "<|recipient|>"},
    .end_markers = {"<|stop|>"},
    .detection = {.all = {"<|recipient|>"}},
    .envelope = {.prefix = "<|recipient|>",
                 .infix = "\n<|content|>",
                 .separator = "\n<|from|>assistant\n"},
    .head = head_2,
    .tail = json_tail,
};

constexpr ToolDialect kFunctionary31 = {
    .name = "functionary_v31",
    .start_markers = {"<function="},
    .end_markers = {"<|eom_id|>"},
    .detection = {.all = {"<function=", "<|start_header_id|>"}, .none = {"<parameter="}},
    .envelope = {.prefix = "<function=", .infix = ">", .suffix = "</function>"},
    .head = tag_head,
    .tail = tag_tail,
};

constexpr ToolDialect kFunctionary32 = {
    .name = "functionary",
    .aliases = {"functionary_v32", "meetkai"},
    .start_markers = {">>>"},
    .generation_prefix = ">>>",
    .detection = {.all = {">>>"}, .models = {"functionary"}},
    .envelope = {.prefix = ">>>", .infix = "\n"},
    .head = head_32,
    .tail = json_tail,
};

}  // namespace pippin::parse
