// The response object, and the items of its output, as JSON. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/custom_input.h"
#include "api/openai/responses/tool_table.h"
#include "service/chat/request.h"
#include "service/json.h"

namespace pippin::api::openai::responses {

/// What every copy of one response repeats.
struct Frame {
  std::string id;  // "resp_..."
  int64_t created_unix_s = 0;
  std::string model;
  std::string echo_json;  // CreateRequest's
  std::vector<Warning> warnings;
  bool store = false;

  /// What the ids of the response's items end with, before their number.
  std::string_view id_end() const { return std::string_view(id).substr(id.find('_') + 1); }
};

/// What changes while it is answered.
struct Progress {
  std::string_view status = "in_progress";  // queued, completed, incomplete, failed, cancelled
  std::string_view output_json = "[]";
  std::optional<service::Usage> usage;
  std::string_view incomplete_reason = {};  // empty: it is not incomplete
  std::string_view error_code = {};         // empty: no error
  std::string_view error_message = {};
};

void write_response(service::JsonWriter& json, const Frame& frame, const Progress& progress);

/// One item of the output, while it is written.
struct OutputItem {
  enum class Kind : uint8_t { kReasoning, kMessage, kCall, kCustomCall };
  Kind kind = Kind::kMessage;
  std::string id;
  int index = 0;
  std::string text;  // thinking, content, arguments or input, so far
  std::vector<service::ScoredToken> tokens;
  bool summary = false;    // kReasoning: shown as a summary
  bool encrypted = false;  // kReasoning: with encrypted_content
  int call = -1;           // calls: their number in the answer
  std::string call_id, name, name_space;
  CustomInput input;
  bool complete = false;  // calls: all of it has come
};

/// Writes the item as it is, or, when it has just been added, without its text.
void write_item(service::JsonWriter& json, const OutputItem& item, std::string_view status,
                bool with_text);
/// Writes {"type": "output_text", ...}.
void write_text_part(service::JsonWriter& json, std::string_view text,
                     const std::vector<service::ScoredToken>& tokens);

}  // namespace pippin::api::openai::responses
