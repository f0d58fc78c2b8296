// Any text, read as a chat template and rendered with a conversation: an error, or a text.
#include <cstdlib>
#include <string_view>

#include "target.h"
#include "text/chat_template.h"
#include "text/small_vocabulary.h"

namespace {

constexpr std::string_view kContext =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"a <|im_end|> b"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{
    "name":"f","arguments":{"x":[1,2.5,null,true]}}}]},{"role":"tool","content":"r"}],
    "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
    "documents":null,"add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>"})";

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  using namespace pippin::text;
  static const auto tokenizer = small_tokenizer({"<|im_start|>"});
  const auto compiled = ChatTemplate::compile(input);
  if (!compiled.ok()) return;
  const auto text = (*compiled)->render(kContext, 0);
  const auto spans = (*compiled)->render_spans(kContext, *tokenizer, 0);
  if (text.ok() && spans.ok()) {
    std::string joined;
    for (const Span& span : *spans) joined += span.text;
    if (joined != *text) std::abort();
  }
}
