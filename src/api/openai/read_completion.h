// Reads the body of POST /v1/completions. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "api/openai/read_common.h"
#include "api/wire/field_reader.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::api::openai {

struct CompletionCall {
  service::Request request;
  StreamOptions stream;
  bool echo = false;
};

/// Reads all fields; the first wrong one is reader.error().
CompletionCall read_completion(FieldReader& reader, const service::Model& model);

}  // namespace pippin::api::openai
