// Reads the bodies of POST /api/chat and POST /api/generate. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/ollama/library.h"
#include "api/ollama/read_options.h"
#include "api/shared/field_reader.h"
#include "api/shared/warning.h"
#include "base/error.h"
#include "service/chat/request.h"

namespace pippin::api::ollama {

/// What concerns the answer's form only.
struct ResponseOptions {
  bool chat = false;  // a message, else a text under "response"
  bool stream = true;
  bool show_thinking = true;
  bool context = false;  // the tokens of prompt and answer are told at the end
  std::string model;     // as the client named it
  std::vector<Warning> warnings;
};

struct GenerateRequest {
  service::Request request;  // without prompts: the model is to be loaded, or let go
  ResponseOptions options;
  std::optional<KeepAlive> keep_alive;
  std::optional<Error> error;  // what is wrong with no field
};

/// Read all fields; the first wrong one is reader.error().
GenerateRequest read_chat(FieldReader& reader, const Served& served);
GenerateRequest read_generate(FieldReader& reader, const Served& served);

}  // namespace pippin::api::ollama
