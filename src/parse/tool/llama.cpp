// Llama 3: a bare JSON call (the generic dialect reads it), or one behind <|python_tag|>, several
// parted by `;`; built-in tools as tool.call(k="v"). Llama 4: Python calls between <|python_start|>
// and <|python_end|>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

enum Inner { kKeywords = 100 };  // beside tag_head's

Head head(Cursor& in, const HeadContext& context) {
  if (context.start_marker == "<function=") return tag_head(in, context);
  in.space();
  if (json_comes(in)) return json_head(in, context);
  Head found = keyword_head(in, context);
  found.nesting.inner = kKeywords;
  constexpr std::string_view kCall = ".call";
  if (found.name.ends_with(kCall)) found.name.resize(found.name.size() - kCall.size());
  return found;
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  if (nesting.inner == kKeywords) return keyword_tail(in, nesting, dialect);
  if (tag_tail(in, nesting, dialect) == Next::kCall) return Next::kCall;
  const size_t end = in.at();
  in.space();
  if (in.ended()) return Next::kText;
  const bool parted = in.accept(";");
  in.space();
  if (parted && !in.ended() && in.accept("<|python_tag|>")) return Next::kCall;
  if (in.reading()) in.rewind(end);
  return Next::kText;
}

}  // namespace

constexpr ToolDialect kLlama3 = {
    .name = "llama3",
    .aliases = {"llama", "llama3_json"},
    .start_markers = {"<|python_tag|>", "<function="},
    .end_markers = {"<|eom_id|>", "<|eot_id|>"},
    .detection = {.all = {"<|start_header_id|>"},
                  .any = {"<|python_tag|>", "\"parameters\""},
                  .models = {"llama-3", "llama3", "llama_3"}},
    .envelope = {.prefix = kJsonPrefix,
                 .infix = "\", \"parameters\": ",
                 .suffix = kJsonSuffix,
                 .separator = "; "},
    .head = head,
    .tail = tail,
};

constexpr ToolDialect kLlama4 = {
    .name = "llama4",
    .aliases = {"llama4_pythonic", "pythonic"},
    .start_markers = {"<|python_start|>", "<|python_tag|>"},
    .end_markers = {"<|python_end|>"},
    .detection = {.any = {"<|python_start|>"}, .models = {"llama-4", "llama4"}},
    .envelope = {.section_begin = "[",
                 .infix = "(",
                 .suffix = ")",
                 .separator = ", ",
                 .section_end = "]",
                 .form = ArgumentForm::kKeywords},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
