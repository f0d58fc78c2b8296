// Reads the bodies of POST /api/chat and POST /api/generate. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/ollama/library.h"
#include "api/ollama/read_options.h"
#include "api/wire/field_reader.h"
#include "api/wire/warning.h"
#include "base/error.h"
#include "service/request.h"

namespace pippin::api::ollama {

/// What concerns the answer's form only.
struct AnswerShape {
  bool chat = false;  // a message, else a text under "response"
  bool stream = true;
  bool show_thinking = true;
  bool context = false;  // the tokens of prompt and answer are told at the end
  std::string model;     // as the client named it
  std::vector<Warning> warnings;
};

struct AnswerCall {
  service::Request request;  // without prompts: the model is to be loaded, or let go
  AnswerShape shape;
  std::optional<KeepAlive> keep_alive;
  std::optional<Error> error;  // what is wrong with no field
};

/// Read all fields; the first wrong one is reader.error().
AnswerCall read_chat(FieldReader& reader, const Served& served);
AnswerCall read_generate(FieldReader& reader, const Served& served);

}  // namespace pippin::api::ollama
