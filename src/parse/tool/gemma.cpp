// Gemma 4: <|tool_call>call:f{k:<|"|>v<|"|>}<tool_call|>. FunctionGemma:
// <start_function_call>call:f{k:<escape>v<escape>} <end_function_call>. Keys are bare, numbers and
// booleans too.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  in.space();
  if (in.peek() == '{') return json_head(in, context);
  if (!in.accept("call:")) in.accept("call ");
  in.space();
  found.name = in.word();
  in.space();
  if (in.accept("(")) {
    found.form = ArgumentForm::kKeywords;
    return found;
  }
  expect_json_arguments(in, found);
  found.form = ArgumentForm::kGemma;
  return found;
}

}  // namespace

constexpr ToolDialect kGemma4 = {
    .name = "gemma4",
    .start_markers = {"<|tool_call>"},
    .end_markers = {"<tool_call|>"},
    .stops = {"<|tool_response>"},
    .detection = {.all = {"<|tool_call>"}, .models = {"gemma-4", "gemma4"}},
    .envelope = {.prefix = "<|tool_call>call:",
                 .suffix = "<tool_call|>",
                 .form = ArgumentForm::kGemma,
                 .quote = "<|\"|>"},
    .head = head,
    .tail = json_tail,
};

constexpr ToolDialect kFunctionGemma = {
    .name = "function_gemma",
    .aliases = {"functiongemma"},
    .start_markers = {"<start_function_call>"},
    .end_markers = {"<end_function_call>"},
    .stops = {"<start_function_response>"},
    .detection = {.all = {"<start_function_call>"}, .models = {"functiongemma", "function-gemma"}},
    .envelope = {.prefix = "<start_function_call>call:",
                 .suffix = "<end_function_call>",
                 .form = ArgumentForm::kGemma,
                 .quote = "<escape>"},
    .head = head,
    .tail = json_tail,
};

}  // namespace pippin::parse
