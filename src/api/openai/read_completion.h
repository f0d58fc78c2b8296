// Reads the body of POST /v1/completions. Thread: any.
#pragma once

#include <optional>

#include "api/openai/read_common.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai {

/// What of a completion is the writer's business.
struct CompletionOptions {
  StreamOptions stream;
  bool echo = false;
  bool logprobs = false;  // the client asked for them
  int n = 1;              // answers returned for each prompt: the best of Request::n
};

struct CompletionRequest {
  service::Request request;
  CompletionOptions options;
  std::optional<Error> unsupported;  // a suffix that this model cannot take
};

/// Reads all fields; the first wrong one is reader.error().
CompletionRequest read_completion(FieldReader& reader, const service::Model& model);

}  // namespace pippin::api::openai
