// Reads the body of POST /v1/completions. Thread: any.
#pragma once

#include <optional>

#include "api/openai/read_common.h"
#include "api/wire/field_reader.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::api::openai {

/// What of a completion is the writer's business.
struct CompletionShape {
  StreamOptions stream;
  bool echo = false;
  bool logprobs = false;  // the client asked for them
  int n = 1;              // answers returned for each prompt: the best of Request::n
};

struct CompletionCall {
  service::Request request;
  CompletionShape shape;
  std::optional<Error> unsupported;  // a suffix that this model cannot take
};

/// Reads all fields; the first wrong one is reader.error().
CompletionCall read_completion(FieldReader& reader, const service::Model& model);

}  // namespace pippin::api::openai
