// Blocks that are text, or that a text can stand for.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/anthropic/read_message_parts.h"

namespace pippin::api::anthropic {
namespace {

void append(std::string& text, std::string_view piece) {
  if (!text.empty() && !piece.empty()) text += '\n';
  text += piece;
}

// What a model that reads text only cannot be shown.
bool cannot_show(FieldReader& block, std::string_view what, Others others, MessageRequest& asked,
                 std::string& text) {
  if (others == Others::kRefused) {
    block.wrong("type",
                fmt::format("{}: this model reads text only, no {}.", block.path_of("type"), what),
                "unsupported_value");
    return false;
  }
  asked.warnings.push_back({"unsupported_block", block.path_of(""),
                            fmt::format("This model reads text only; {} of a tool's result are "
                                        "left out.",
                                        what)});
  append(text, fmt::format("[{} left out: this model reads text only]", what));
  return true;
}

// A document as models are shown one: its title, its context, its text.
bool read_document(FieldReader& block, Others others, MessageRequest& asked, std::string& text) {
  const std::string_view title = block.string("title").value_or("");
  const std::string_view about = block.string("context").value_or("");
  const boost::json::object* object = block.required_object("source");
  if (object == nullptr) return false;
  FieldReader source(*object, block.path_of("source"), block);
  const std::optional<std::string_view> type = source.required_string("type");
  if (!type) return false;
  std::string body;
  if (*type == "text") {
    body = source.required_string("data").value_or("");
  } else if (*type == "content") {
    body = read_text_content(source, "content", others, asked);
  } else if (*type == "base64" || *type == "url" || *type == "file") {
    return cannot_show(block, "documents but plain text", others, asked, text);
  } else {
    source.wrong("type", fmt::format("Invalid value: '{}'. Supported values are: 'text' and "
                                     "'content'.",
                                     *type));
  }
  std::string shown = "<document>\n";
  if (!title.empty()) shown += fmt::format("<title>{}</title>\n", title);
  if (!about.empty()) shown += fmt::format("<context>{}</context>\n", about);
  append(text, shown + body + "\n</document>");
  return block.ok();
}

bool read_search_result(FieldReader& block, Others others, MessageRequest& asked,
                        std::string& text) {
  const std::string_view title = block.required_string("title").value_or("");
  const std::string_view source = block.required_string("source").value_or("");
  const std::string body = read_text_content(block, "content", others, asked);
  append(text, fmt::format("<search_result>\n<title>{}</title>\n<source>{}</source>\n{}\n"
                           "</search_result>",
                           title, source, body));
  return block.ok();
}

}  // namespace

void read_cache_control(FieldReader& fields, MessageRequest& asked) {
  const boost::json::object* object = fields.object("cache_control");
  if (object == nullptr) return;
  FieldReader control(*object, fields.path_of("cache_control"), fields);
  const std::string_view type = control.required_string("type").value_or("ephemeral");
  if (type != "ephemeral")
    control.wrong("type", fmt::format("Invalid '{}': '{}'. Supported values are: 'ephemeral'.",
                                      control.path_of("type"), type));
  const std::string_view ttl = control.string("ttl").value_or("5m");
  if (ttl != "5m" && ttl != "1h")
    control.wrong("ttl", fmt::format("Invalid '{}': '{}'. Supported values are: '5m' and '1h'.",
                                     control.path_of("ttl"), ttl));
  asked.cache_marked = true;
}

bool read_text_block(FieldReader& block, std::string_view type, Others others,
                     MessageRequest& asked, std::string& text) {
  read_cache_control(block, asked);
  if (type == "text") {
    const std::optional<std::string_view> piece = block.required_string("text");
    append(text, piece.value_or(""));
    return piece.has_value();
  }
  if (type == "document") return read_document(block, others, asked, text);
  if (type == "search_result") return read_search_result(block, others, asked, text);
  if (type == "image") return cannot_show(block, "images", others, asked, text);
  if (type == "tool_reference") {
    append(text, fmt::format("[tool: {}]", block.required_string("tool_name").value_or("")));
    return block.ok();
  }
  if (others == Others::kLeftOut)
    return cannot_show(block, fmt::format("blocks of type '{}'", type), others, asked, text);
  block.wrong("type", fmt::format("Invalid '{}': blocks of type '{}' cannot stand here.",
                                  block.path_of("type"), type));
  return false;
}

std::string read_text_content(FieldReader& fields, std::string_view name, Others others,
                              MessageRequest& asked) {
  const boost::json::value* content = fields.any(name);
  std::string text;
  if (content == nullptr) return text;
  if (const auto* whole = content->if_string()) return {whole->data(), whole->size()};
  const boost::json::array* blocks = content->if_array();
  if (blocks == nullptr) {
    fields.wrong_type(name, "a string or an array of content blocks", *content);
    return text;
  }
  for (size_t i = 0; i < blocks->size() && fields.ok(); ++i) {
    const std::string path = fmt::format("{}[{}]", name, i);
    const boost::json::object* object = (*blocks)[i].if_object();
    if (object == nullptr) {
      fields.wrong_type(path, "an object", (*blocks)[i]);
      break;
    }
    FieldReader block(*object, fields.path_of(path), fields);
    const std::optional<std::string_view> type = block.required_string("type");
    if (type) read_text_block(block, *type, others, asked, text);
  }
  return text;
}

}  // namespace pippin::api::anthropic
