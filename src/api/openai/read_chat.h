// Reads the body of POST /v1/chat/completions. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "api/openai/read_common.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai {

/// What concerns the answer's form only.
struct ChatOptions {
  StreamOptions stream;
  bool show_reasoning = true;
  bool timings = false;                   // llama-server's "timings", in every chunk
  std::string service_tier;               // as answered; empty if not asked for
  std::vector<std::string> custom_tools;  // their names: calls of these have an input of plain text
};

struct ChatRequest {
  service::Request request;
  ChatOptions options;
};

/// Reads all fields; the first wrong one is reader.error().
ChatRequest read_chat(FieldReader& reader, const service::Model& model);

}  // namespace pippin::api::openai
