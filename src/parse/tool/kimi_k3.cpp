// Kimi K3: <|open|>call tool="f" index="1"<|sep|>, its arguments with their types, and in place of
// them sometimes one JSON object.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr size_t kNameBytesMax = 256;
constexpr std::string_view kCall = "<|open|>call tool=\"";
constexpr std::string_view kCallEnd = "<|close|>call<|sep|>";
constexpr std::string_view kSectionEnd = "<|close|>tools<|sep|>";
enum Inner { kArguments, kJson };

constexpr Tags kTags = {.key_open = "<|open|>argument key=\"",
                        .key_close = "\"",
                        .value_close = "<|close|>argument<|sep|>",
                        .attributes = true,
                        .attributes_end = "<|sep|>",
                        .ends = {kCallEnd}};

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  in.space();
  if (!context.first || context.start_marker != kCall) in.expect(kCall);
  found.name = in.until("\"", kNameBytesMax);
  in.until("<|sep|>", kNameBytesMax);
  in.space();
  const size_t begin = in.at();
  if (in.accept("<|open|>json")) {
    in.until("<|sep|>", kNameBytesMax);
    found.nesting.inner = kJson;
    expect_json_arguments(in, found);
    return found;
  }
  if (in.reading()) in.rewind(begin);
  found.form = ArgumentForm::kTagged;
  found.tags = &kTags;
  return found;
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect&) {
  in.space();
  if (in.ended()) return Next::kText;
  if (nesting.inner == kJson) in.expect("<|close|>json<|sep|>");
  if (in.ended()) return Next::kText;
  in.space();
  in.expect(kCallEnd);
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept(kSectionEnd)) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept(kCall);
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kKimiK3 = {
    .name = "kimi_k3",
    .start_markers = {"<|open|>tools<|sep|>", kCall},
    .end_markers = {kSectionEnd},
    .detection = {.all = {"<|open|>", "<|sep|>"}, .models = {"kimi-k3", "kimi_k3"}},
    .envelope = {.section_begin = "<|open|>tools<|sep|>",
                 .prefix = kCall,
                 .infix = "\" index=\"{index}\"<|sep|>",
                 .suffix = kCallEnd,
                 .section_end = kSectionEnd,
                 .form = ArgumentForm::kTagged,
                 .tags = &kTags},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
