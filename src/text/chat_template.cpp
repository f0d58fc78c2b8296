#include "text/chat_template.h"

#include "text/textkit_support.h"

namespace pippin::text {
namespace {

using textkit::Buffer;
using textkit::slice;

const tk_template* rust(const void* handle) { return static_cast<const tk_template*>(handle); }

/// Owns a tk_rendered.
struct Rendered : tk_rendered {
  Rendered() : tk_rendered{} {}
  ~Rendered() {
    tk_buffer_free(text);
    tk_ids_free(literal_ends);
  }
  Rendered(const Rendered&) = delete;
  Rendered& operator=(const Rendered&) = delete;
};

}  // namespace

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string_view source) {
  tk_template* handle = nullptr;
  Buffer error;
  const tk_status status = tk_template_compile(slice(source), &handle, error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidFile);
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(handle, std::string(source)));
}

ChatTemplate::~ChatTemplate() { tk_template_free(static_cast<tk_template*>(handle_)); }

Result<std::string> ChatTemplate::render(std::string_view context_json,
                                         std::optional<int64_t> unix_time) const {
  Buffer text, error;
  const tk_status status = tk_template_render(rust(handle_), slice(context_json),
                                              unix_time.value_or(TK_NOW), text.out(), error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidArgument);
  return std::string(text.view());
}

Result<std::vector<Span>> ChatTemplate::render_spans(std::string_view context_json,
                                                     const Tokenizer& tokenizer,
                                                     std::optional<int64_t> unix_time) const {
  Rendered rendered;
  Buffer error;
  const tk_status status = tk_template_render_spans(
      rust(handle_), slice(context_json), static_cast<const tk_tokenizer*>(tokenizer.handle()),
      unix_time.value_or(TK_NOW), &rendered, error.out());
  if (status != TK_OK) return textkit::error_of(status, error, Code::kInvalidArgument);

  const std::string_view text =
      rendered.text.len == 0
          ? std::string_view()
          : std::string_view(reinterpret_cast<const char*>(rendered.text.data), rendered.text.len);
  std::vector<Span> spans;
  const auto add = [&](size_t start, size_t end, Specials specials) {
    if (start < end) spans.push_back({std::string(text.substr(start, end - start)), specials});
  };
  size_t done = 0;
  for (size_t i = 0; i + 1 < rendered.literal_ends.len; i += 2) {
    const size_t start = rendered.literal_ends.data[i], end = rendered.literal_ends.data[i + 1];
    add(done, start, Specials::kParse);
    add(start, end, Specials::kText);
    done = end;
  }
  add(done, text.size(), Specials::kParse);
  return spans;
}

}  // namespace pippin::text
